use super::{Graph, Value};
use crate::weights::Layout;
use crate::{DType, Result, Weights};

/// Weights of the checkpoint under other shapes.
impl Graph {
    /// A weight of shape `stored`, taken as `shape`: the numbers keep their order.
    ///
    /// # Errors
    /// As [`Graph::weight`].
    pub(crate) fn weight_viewed(
        &mut self,
        w: &Weights<'_>,
        name: &str,
        stored: &[usize],
        shape: &[usize],
    ) -> Result<Value> {
        self.weight_viewed_as(w, name, [stored, shape], self.dtype)
    }

    /// A weight stored with the first shape, taken with the second one in another type.
    ///
    /// # Errors
    /// As [`Graph::weight`].
    pub(crate) fn weight_viewed_as(
        &mut self,
        w: &Weights<'_>,
        name: &str,
        [stored, shape]: [&[usize]; 2],
        dtype: DType,
    ) -> Result<Value> {
        let value = self.weight_as(w, name, stored, dtype, Layout::AsStored)?;
        self.values[value.0].shape = shape.iter().map(|n| (*n).into()).collect();
        Ok(value)
    }

    /// One time step of `weight` [O, I, kT, kH, kW] as [O, kH, kW, I].
    ///
    /// # Errors
    /// As [`Graph::weight`].
    pub(crate) fn weight_tap(&mut self, w: &Weights<'_>, shape: &[usize; 5], step: usize) -> Result<Value> {
        self.weight_as(w, "weight", shape, self.dtype, Layout::Tap(step))
    }
}
