use super::activation::silu;
use super::clip_norm::{gamma_f32, norm_attributes, rms_norm_channels};
use crate::graph::{Attribute, Graph, Value, show};
use crate::{Error, Result, Weights, cuda};

/// Parts that our kernels add at once.
const MOST_PARTS: usize = 4;

/// A clip [1, C, F, H, W] that is still a sum: products of a convolution, its bias, what a residual connection adds.
/// The norm that reads it adds it up.
#[derive(Debug, Clone)]
pub struct ClipSum {
    parts: Vec<Value>,
    /// `[C]` in f32, where channels lie last.
    bias: Option<Value>,
}

impl From<Value> for ClipSum {
    fn from(x: Value) -> ClipSum {
        ClipSum { parts: vec![x], bias: None }
    }
}

impl ClipSum {
    pub(super) fn new(parts: Vec<Value>, bias: Option<Value>) -> ClipSum {
        ClipSum { parts, bias }
    }

    /// The sum of both.
    ///
    /// # Errors
    /// [`Error::Shape`] where their shapes differ.
    pub fn plus(mut self, g: &mut Graph, other: ClipSum) -> Result<ClipSum> {
        let [ours, theirs] = [&self, &other].map(|sum| sum.parts.first().map(|x| g.shape(*x).to_vec()));
        if ours != theirs {
            let found =
                format!("{} and {}", show(&ours.unwrap_or_default()), show(&theirs.unwrap_or_default()));
            return Err(Error::shape("ClipSum", "needs two clips of one shape", found));
        }
        let other = match self.parts.len() + other.parts.len() > MOST_PARTS {
            true => ClipSum::from(other.value(g)?),
            false => other,
        };
        self.parts.extend(other.parts);
        self.bias = match (self.bias, other.bias) {
            (Some(a), Some(b)) => Some(g.add(a, b)?),
            (a, b) => a.or(b),
        };
        Ok(self)
    }

    /// The clip itself: [1, C, F, H, W].
    ///
    /// # Errors
    /// None in practice; the parts have one shape.
    pub fn value(&self, g: &mut Graph) -> Result<Value> {
        let [first, rest @ ..] = &self.parts[..] else {
            return Err(Error::shape("ClipSum", "needs a part", "none"));
        };
        let Some(bias) = self.bias else {
            return rest.iter().try_fold(*first, |sum, part| g.add(sum, *part));
        };
        let inputs: Vec<_> = [first, &bias].into_iter().chain(rest).map(|x| Some(*x)).collect();
        let like = (g.dtype_of(*first), g.shape(*first).to_vec());
        Ok(g.operator(cuda::DOMAIN, "BiasSum", &inputs, vec![], like))
    }

    /// SiLU of [`rms_norm_channels`]: [1, C, F, H, W]. Reads `gamma` as that does.
    ///
    /// # Errors
    /// Missing or wrongly shaped weights.
    pub fn norm_silu(&self, g: &mut Graph, w: &Weights<'_>, gamma: &[usize]) -> Result<Value> {
        if !g.channels_last() {
            let x = self.value(g)?;
            let x = rms_norm_channels(g, w, x, gamma)?;
            return silu(g, x);
        }
        let inputs = self.norm_inputs(g, w, gamma)?;
        let attributes = self.norm_attributes(g)?;
        let like = (g.dtype_of(self.parts[0]), g.shape(self.parts[0]).to_vec());
        Ok(g.operator(cuda::DOMAIN, "RmsNorm", &inputs, attributes, like))
    }

    /// The clip itself and [`ClipSum::norm_silu`] of it.
    ///
    /// # Errors
    /// As [`ClipSum::norm_silu`].
    pub fn value_and_norm_silu(
        &self,
        g: &mut Graph,
        w: &Weights<'_>,
        gamma: &[usize],
    ) -> Result<(Value, Value)> {
        if !g.channels_last() || self.bias.is_none() {
            let x = self.value(g)?;
            return Ok((x, ClipSum::from(x).norm_silu(g, w, gamma)?));
        }
        let inputs = self.norm_inputs(g, w, gamma)?;
        let attributes = self.norm_attributes(g)?;
        let like = (g.dtype_of(self.parts[0]), g.shape(self.parts[0]).to_vec());
        let outputs = [like.clone(), like];
        let [sum, y] = g.operator_with_outputs(cuda::DOMAIN, "SumRmsNorm", &inputs, attributes, outputs);
        Ok((sum, y))
    }

    fn norm_inputs(&self, g: &mut Graph, w: &Weights<'_>, gamma: &[usize]) -> Result<Vec<Option<Value>>> {
        let c = g.fixed(self.parts[0], -1)?;
        let weight = gamma_f32(g, w, gamma, c)?;
        let mut inputs = vec![Some(self.parts[0]), Some(weight)];
        if self.bias.is_some() || self.parts.len() > 1 {
            let bias = match self.bias {
                Some(bias) => bias,
                None => g.constant_f32(&[c], &vec![0.0; c]),
            };
            inputs.push(Some(bias));
            inputs.extend(self.parts[1..].iter().copied().map(Some));
        }
        Ok(inputs)
    }

    fn norm_attributes(&self, g: &Graph) -> Result<Vec<(&'static str, Attribute)>> {
        let mut attributes = norm_attributes(g.fixed(self.parts[0], -1)?);
        attributes.push(("silu", Attribute::Int(1)));
        Ok(attributes)
    }
}
