use super::{Attribute, Dim, Graph, Node, Value};
use crate::DType;

impl Graph {
    /// [`Graph::operator_with_outputs`] where outputs may be left out: those that are `None`.
    ///
    /// The value of an output that is left out must not be used.
    pub fn operator_with_optional_outputs(
        &mut self,
        domain: &str,
        op: &str,
        inputs: &[Option<Value>],
        attributes: Vec<(&str, Attribute)>,
        outputs: Vec<Option<(DType, Vec<Dim>)>>,
    ) -> Vec<Value> {
        let name = format!("{op}_{}", self.nodes.len());
        let dtype = self.dtype;
        let outputs: Vec<Value> = outputs
            .into_iter()
            .enumerate()
            .map(|(i, output)| match output {
                Some((dtype, shape)) => self.value(format!("{name}.{i}"), dtype, shape),
                // ONNX writes an absent output as an empty name.
                None => self.value(String::new(), dtype, vec![]),
            })
            .collect();
        self.nodes.push(Node {
            domain: domain.to_owned(),
            op: op.to_owned(),
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            attributes: attributes.into_iter().map(|(name, a)| (name.to_owned(), a)).collect(),
        });
        outputs
    }
}
