use super::{Graph, Value};
use crate::graph::Source;
use crate::weights::{Conversion, INT4_BLOCK, Int4Part, Layout};
use crate::{DType, Error, Result, Weights};

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

    /// `weight` [`out`, `input`] as four-bit integers [out, input / 32, 16] and their scales [out * input / 32].
    ///
    /// # Errors
    /// As [`Graph::weight`]; [`Error::Shape`] where blocks of 32 do not divide a row.
    pub(crate) fn weight_int4(&mut self, w: &Weights<'_>, out: usize, input: usize) -> Result<[Value; 2]> {
        let view = w.tensor("weight", &[out, input])?;
        if !input.is_multiple_of(INT4_BLOCK) || view.stored_transposed {
            let rule = format!("needs rows of a multiple of {INT4_BLOCK} numbers, in the checkpoint's order");
            return Err(Error::shape("int4", rule, format!("{} [{out}, {input}]", w.name("weight"))));
        }
        if !view.dtype.is_float() {
            let (path, tensor) = (view.file.to_path_buf(), w.name("weight"));
            return Err(Error::TensorType { path, tensor, dtype: view.dtype.to_string() });
        }
        let scale_type = self.dtype;
        let parts = [(Int4Part::Packed, DType::U8, "int4"), (Int4Part::Scales, scale_type, "scales")];
        Ok(parts.map(|(part, dtype, suffix)| {
            let (name, layout) = (format!("{}.{suffix}", w.name("weight")), Layout::Int4(part, scale_type));
            let conversion = Conversion { name: name.clone(), view: view.clone(), dtype, layout };
            let shape = conversion.shape().into_iter().map(Into::into).collect();
            let value = self.value(name, dtype, shape);
            self.initializers.push((value, Source::Converted(conversion)));
            value
        }))
    }
}
