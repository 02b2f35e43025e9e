use crate::graph::{Attribute, Graph, Target, Value, show};
use crate::{DType, Error, Result, cuda};

/// Layer normalisation whose scale and shift are computed by the model: x [..., D], `scale` `[D]`, `shift` `[D]`
/// -> [..., D]. The vectors may be f32 whatever x is.
///
/// # Errors
/// None in practice; the kernel checks the sizes of scale and shift.
pub fn modulated_layer_norm(g: &mut Graph, x: Value, scale: Value, shift: Value, eps: f32) -> Result<Value> {
    let out = (g.dtype_of(x), g.shape(x).to_vec());
    if g.target() == Target::Cuda {
        let [scale, shift] = [scale, shift].map(|vector| Some(g.cast(vector, DType::F32)));
        let eps = vec![("epsilon", Attribute::Float(eps))];
        return Ok(g.operator(cuda::DOMAIN, "LayerNorm", &[Some(x), scale, shift], eps, out));
    }
    let [scale, shift] = [scale, shift].map(|vector| Some(g.cast(vector, out.0)));
    let attributes = vec![("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(eps))];
    Ok(g.operator("", "LayerNormalization", &[Some(x), scale, shift], attributes, out))
}

/// x + y * gate: x [..., D], y [..., D], gate `[D]` -> [..., D]. The gate may be f32 whatever x is.
///
/// # Errors
/// [`Error::Shape`] where the shapes differ.
pub fn gated_residual(g: &mut Graph, x: Value, y: Value, gate: Value) -> Result<Value> {
    let like = (g.dtype_of(x), g.shape(x).to_vec());
    alike(g, x, y)?;
    if g.target() == Target::Cuda {
        let gate = g.cast(gate, DType::F32);
        let inputs = [Some(x), Some(y), Some(gate)];
        return Ok(g.operator(cuda::DOMAIN, "GatedResidual", &inputs, vec![], like));
    }
    let gate = g.cast(gate, like.0);
    let gated = g.mul(y, gate)?;
    g.add(x, gated)
}

/// The tokens of a transformer between its layers, [..., D]: what a layer gives is added when the next norm reads it,
/// so that one kernel does both.
#[derive(Debug, Clone, Copy)]
pub struct Residual {
    x: Value,
    pending: Option<(Value, Value)>,
}

impl Residual {
    /// Tokens as they are: [..., D].
    pub fn new(x: Value) -> Residual {
        Residual { x, pending: None }
    }

    /// Adds y [..., D] times gate `[D]`.
    ///
    /// # Errors
    /// As [`gated_residual`].
    pub fn add_gated(mut self, g: &mut Graph, y: Value, gate: Value) -> Result<Residual> {
        let x = self.value(g)?;
        Ok(Residual { x, pending: Some((y, gate)) })
    }

    /// The tokens themselves: [..., D].
    ///
    /// # Errors
    /// As [`gated_residual`].
    pub fn value(&mut self, g: &mut Graph) -> Result<Value> {
        if let Some((y, gate)) = self.pending.take() {
            self.x = gated_residual(g, self.x, y, gate)?;
        }
        Ok(self.x)
    }

    /// [`modulated_layer_norm`] of the tokens: [..., D].
    ///
    /// # Errors
    /// As [`gated_residual`].
    pub fn layer_norm(&mut self, g: &mut Graph, scale: Value, shift: Value, eps: f32) -> Result<Value> {
        if g.target() != Target::Cuda || self.pending.is_none() {
            let x = self.value(g)?;
            return modulated_layer_norm(g, x, scale, shift, eps);
        }
        let Some((y, gate)) = self.pending.take() else { return Ok(self.x) };
        alike(g, self.x, y)?;
        let like = (g.dtype_of(self.x), g.shape(self.x).to_vec());
        let [scale, shift, gate] = [scale, shift, gate].map(|vector| Some(g.cast(vector, DType::F32)));
        let inputs = [Some(self.x), Some(y), scale, shift, gate];
        let eps = vec![("epsilon", Attribute::Float(eps))];
        let outputs = [like.clone(), like];
        let [sum, normed] = g.operator_with_outputs(cuda::DOMAIN, "ResidualLayerNorm", &inputs, eps, outputs);
        self.x = sum;
        Ok(normed)
    }
}

fn alike(g: &Graph, x: Value, y: Value) -> Result<()> {
    if g.shape(x) == g.shape(y) {
        return Ok(());
    }
    let found = format!("{} and {}", show(g.shape(x)), show(g.shape(y)));
    Err(Error::shape("residual", "needs two tensors of one shape", found))
}
