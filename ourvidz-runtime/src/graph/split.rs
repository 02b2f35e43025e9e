use super::{Attribute, Dim, Graph, Node, Value, show};
use crate::{Error, Result};

impl Graph {
    /// Cuts a fixed axis into `parts` equal pieces.
    ///
    /// # Errors
    /// [`Error::Shape`] where `parts` does not divide the axis.
    pub fn split(&mut self, x: Value, axis: usize, parts: usize) -> Result<Vec<Value>> {
        let mut shape = self.shape(x).to_vec();
        let length = self.fixed(x, axis as isize)?;
        if parts == 0 || length % parts != 0 {
            let rule = format!("axis {axis} must be divisible by {parts}");
            return Err(Error::shape("Split", rule, show(&shape)));
        }
        shape[axis] = Dim::from(length / parts);
        let dtype = self.dtype_of(x);
        let name = format!("Split_{}", self.nodes.len());
        let outputs: Vec<_> =
            (0..parts).map(|i| self.value(format!("{name}.{i}"), dtype, shape.clone())).collect();
        let attributes = [("axis", axis), ("num_outputs", parts)];
        self.nodes.push(Node {
            domain: String::new(),
            op: "Split".into(),
            inputs: vec![Some(x)],
            outputs: outputs.clone(),
            attributes: attributes.map(|(name, n)| (name.to_owned(), Attribute::Int(n as i64))).into(),
        });
        Ok(outputs)
    }
}
