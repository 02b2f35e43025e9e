use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::{DType, Error, Result};

/// Numbers on the host with a shape, row-major: what goes into a session and comes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    I64(Vec<i64>),
    I32(Vec<i32>),
}

impl Tensor {
    /// f32 numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] where the count is not the shape's product.
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Result<Tensor> {
        Tensor::checked(shape, data.len(), Data::F32(data))
    }

    /// i64 numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] where the count is not the shape's product.
    pub fn i64(shape: &[usize], data: Vec<i64>) -> Result<Tensor> {
        Tensor::checked(shape, data.len(), Data::I64(data))
    }

    /// An array of f32, in any order of its axes.
    pub fn from_array(array: &ndarray::ArrayD<f32>) -> Tensor {
        let shape = array.shape().to_vec();
        let data = array.iter().copied().collect();
        Tensor { shape, data: Data::F32(data) }
    }

    /// The numbers as an array of f32; exact for every float type.
    ///
    /// # Errors
    /// None in practice: the count always fits the shape.
    pub fn into_array(self) -> Result<ndarray::ArrayD<f32>> {
        let shape = self.shape.clone();
        let found = format!("{shape:?}");
        ndarray::ArrayD::from_shape_vec(shape, self.into_f32())
            .map_err(|e| Error::shape("Tensor", e.to_string(), found))
    }

    pub(crate) fn checked(shape: &[usize], count: usize, data: Data) -> Result<Tensor> {
        if shape.iter().product::<usize>() != count {
            return Err(Error::shape(
                "Tensor",
                format!("{shape:?} must have as many elements"),
                count.to_string(),
            ));
        }
        Ok(Tensor { shape: shape.to_vec(), data })
    }

    /// Sizes of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            Data::F32(_) => DType::F32,
            Data::F16(_) => DType::F16,
            Data::Bf16(_) => DType::Bf16,
            Data::I64(_) => DType::I64,
            Data::I32(_) => DType::I32,
        }
    }

    /// The numbers as f32; exact for every float type.
    pub fn into_f32(self) -> Vec<f32> {
        match self.data {
            Data::F32(data) => data,
            Data::F16(data) => widened(&data),
            Data::Bf16(data) => widened(&data),
            Data::I64(data) => data.into_iter().map(|n| n as f32).collect(),
            Data::I32(data) => data.into_iter().map(|n| n as f32).collect(),
        }
    }

    /// One number of shape [1] as shape [].
    pub(crate) fn into_scalar(mut self) -> Tensor {
        self.shape.clear();
        self
    }

    pub(crate) fn into_data(self) -> Data {
        self.data
    }

    /// The same numbers as another type. Floats become integers only where nothing is lost.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a number that the type cannot hold.
    pub fn to_dtype(&self, to: DType) -> Result<Tensor> {
        if self.dtype() == to {
            return Ok(self.clone());
        }
        let data = match (to, &self.data) {
            (DType::I64, Data::I32(data)) => Data::I64(data.iter().map(|n| (*n).into()).collect()),
            (DType::I64, _) => Data::I64(self.integers()?),
            (DType::I32, Data::I64(data)) => Data::I32(narrow(data)?),
            (DType::I32, _) => Data::I32(narrow(&self.integers()?)?),
            (DType::F32, _) => Data::F32(self.clone().into_f32()),
            (DType::F16, _) => Data::F16(self.clone().into_f32().into_iter().map(f16::from_f32).collect()),
            (DType::Bf16, _) => Data::Bf16(self.clone().into_f32().into_iter().map(bf16::from_f32).collect()),
            (DType::Bool | DType::U8, _) => return Err(lossy(to.safetensors(), "numbers".into())),
        };
        Ok(Tensor { shape: self.shape.clone(), data })
    }

    fn integers(&self) -> Result<Vec<i64>> {
        let whole =
            |x: f32| if x.fract() == 0.0 { Ok(x as i64) } else { Err(lossy("whole numbers", x.to_string())) };
        self.clone().into_f32().into_iter().map(whole).collect()
    }
}

/// Whole slices at once: a chunk of a video has tens of millions of numbers.
fn widened<T>(data: &[T]) -> Vec<f32>
where
    [T]: HalfFloatSliceExt,
{
    let mut wide = vec![0.0; data.len()];
    data.convert_to_f32_slice(&mut wide);
    wide
}

fn narrow(data: &[i64]) -> Result<Vec<i32>> {
    data.iter().map(|n| i32::try_from(*n).map_err(|_| lossy("32-bit integers", n.to_string()))).collect()
}

fn lossy(kind: &str, value: String) -> Error {
    Error::Invalid { field: "tensor".into(), rule: format!("must hold {kind}"), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_keep_their_order() -> Result<()> {
        let tensor = Tensor::f32(&[2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])?;
        let array = tensor.clone().into_array()?;
        assert_eq!(array[[1, 0]], 3.0);
        assert_eq!(Tensor::from_array(&array), tensor);
        // A slice from the middle of a larger allocation, and an array with its axes swapped.
        let row = array.clone().slice_move(ndarray::s![1.., ..]).into_dyn();
        assert_eq!(Tensor::from_array(&row), Tensor::f32(&[1, 3], vec![3.0, 4.0, 5.0])?);
        let swapped = Tensor::from_array(&array.reversed_axes());
        assert_eq!(swapped, Tensor::f32(&[3, 2], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0])?);
        Ok(())
    }
}
