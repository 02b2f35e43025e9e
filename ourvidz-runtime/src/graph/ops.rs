use super::shape::broadcast;
use super::{Attribute, Dim, Graph, Value, show};
use crate::{DType, Error, Result};

/// One method per standard operator, named as ONNX names it.
impl Graph {
    /// x -> x
    pub fn identity(&mut self, x: Value) -> Value {
        self.unary("Identity", x)
    }

    /// Sum with broadcasting.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes do not fit.
    pub fn add(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary("Add", a, b)
    }

    /// Product with broadcasting.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes do not fit.
    pub fn mul(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary("Mul", a, b)
    }

    /// Difference with broadcasting.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes do not fit.
    pub fn sub(&mut self, a: Value, b: Value) -> Result<Value> {
        self.binary("Sub", a, b)
    }

    /// 1 / (1 + exp(-x))
    pub fn sigmoid(&mut self, x: Value) -> Value {
        self.unary("Sigmoid", x)
    }

    /// Sine of x in radians.
    pub fn sin(&mut self, x: Value) -> Value {
        self.unary("Sin", x)
    }

    /// Cosine of x in radians.
    pub fn cos(&mut self, x: Value) -> Value {
        self.unary("Cos", x)
    }

    /// Softmax over the last axis.
    pub fn softmax(&mut self, x: Value) -> Value {
        let out = (self.dtype_of(x), self.shape(x).to_vec());
        self.operator("", "Softmax", &[Some(x)], vec![("axis", Attribute::Int(-1))], out)
    }

    /// Change of element type.
    pub fn cast(&mut self, x: Value, to: DType) -> Value {
        if self.dtype_of(x) == to {
            return x;
        }
        let out = (to, self.shape(x).to_vec());
        let to = vec![("to", Attribute::Int(to.onnx().into()))];
        self.operator("", "Cast", &[Some(x)], to, out)
    }

    /// a: [..., M, K], b: [..., K, N] -> [..., M, N]; leading axes broadcast.
    ///
    /// # Errors
    /// [`Error::Shape`]
    pub fn matmul(&mut self, a: Value, b: Value) -> Result<Value> {
        let (sa, sb) = (self.shape(a), self.shape(b));
        let shape = match (sa, sb) {
            ([ba @ .., m, ka], [bb @ .., kb, n]) if ka == kb => broadcast(ba, bb).map(|mut lead| {
                lead.extend([m.clone(), n.clone()]);
                lead
            }),
            _ => None,
        };
        let Some(shape) = shape else {
            return Err(Error::shape("MatMul", "needs [..., M, K] x [..., K, N]", self.show_two(a, b)));
        };
        let out = (self.dtype_of(a), shape);
        Ok(self.operator("", "MatMul", &[Some(a), Some(b)], vec![], out))
    }

    /// Axes reordered: output axis i is input axis `perm[i]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where `perm` is not a permutation of the axes.
    pub fn transpose(&mut self, x: Value, perm: &[usize]) -> Result<Value> {
        let shape = self.shape(x);
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..shape.len()) {
            return Err(Error::shape("Transpose", format!("needs {} axes", perm.len()), show(shape)));
        }
        let out = (self.dtype_of(x), perm.iter().map(|i| shape[*i].clone()).collect());
        let perm = vec![("perm", Attribute::Ints(perm.iter().map(|i| *i as i64).collect()))];
        Ok(self.operator("", "Transpose", &[Some(x)], perm, out))
    }

    /// `pattern` as in ONNX: 0 keeps the axis, -1 takes what remains. `shape` is the result's shape.
    ///
    /// # Errors
    /// [`Error::Shape`] where fixed sizes contradict `shape`.
    pub fn reshape(&mut self, x: Value, pattern: &[i64], shape: Vec<Dim>) -> Result<Value> {
        let from = self.shape(x);
        let fits = pattern.len() == shape.len()
            && pattern.iter().zip(&shape).enumerate().all(|(i, (p, dim))| match p {
                0 => from.get(i) == Some(dim),
                -1 => true,
                n => dim.fixed() == Some(*n),
            });
        let count = |s: &[Dim]| s.iter().try_fold(1, |n, d| d.fixed().map(|d| n * d));
        let counts_fit = match (count(from), count(&shape)) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        if !fits || !counts_fit {
            let rule = format!("{pattern:?} must give {}", show(&shape));
            return Err(Error::shape("Reshape", rule, show(from)));
        }
        let out = (self.dtype_of(x), shape);
        let pattern = self.constant_i64(&[pattern.len()], pattern);
        Ok(self.operator("", "Reshape", &[Some(x), Some(pattern)], vec![], out))
    }

    /// Brings x into the shape that `like` has when the graph runs.
    pub fn reshape_like(&mut self, x: Value, like: Value) -> Value {
        let shape = self.shape(like).to_vec();
        let rank = Dim::from(shape.len());
        let sizes = self.operator("", "Shape", &[Some(like)], vec![], (DType::I64, vec![rank]));
        let out = (self.dtype_of(x), shape);
        self.operator("", "Reshape", &[Some(x), Some(sizes)], vec![], out)
    }

    /// Joins along `axis`; the other axes must agree.
    ///
    /// # Errors
    /// [`Error::Shape`]
    pub fn concat(&mut self, parts: &[Value], axis: usize) -> Result<Value> {
        let first = parts.first().map(|p| self.shape(*p).to_vec()).unwrap_or_default();
        let mut total = 0;
        for part in parts {
            let shape = self.shape(*part);
            let agree = shape.len() == first.len()
                && shape.iter().zip(&first).enumerate().all(|(i, (a, b))| i == axis || a == b);
            match shape.get(axis).and_then(Dim::fixed) {
                Some(n) if agree => total += n,
                _ => {
                    let rule = format!("needs shapes like {} except on axis {axis}", show(&first));
                    return Err(Error::shape("Concat", rule, show(shape)));
                }
            }
        }
        let mut shape = first;
        if let Some(dim) = shape.get_mut(axis) {
            *dim = Dim::Fixed(total);
        }
        let dtype = parts.first().map_or(self.dtype, |p| self.dtype_of(*p));
        let inputs: Vec<_> = parts.iter().copied().map(Some).collect();
        Ok(self.operator("", "Concat", &inputs, vec![("axis", Attribute::Int(axis as i64))], (dtype, shape)))
    }

    /// Elements `start..end` of a fixed axis.
    ///
    /// # Errors
    /// [`Error::Shape`] where the range leaves the axis.
    pub fn slice(&mut self, x: Value, axis: usize, start: usize, end: usize) -> Result<Value> {
        let mut shape = self.shape(x).to_vec();
        if start >= end || end > self.fixed(x, axis as isize)? {
            return Err(Error::shape(
                "Slice",
                format!("{start}..{end} must lie in axis {axis}"),
                show(&shape),
            ));
        }
        shape[axis] = (end - start).into();
        let out = (self.dtype_of(x), shape);
        let [starts, ends, axes] = [start, end, axis].map(|n| self.constant_i64(&[1], &[n as i64]));
        Ok(self.operator("", "Slice", &[Some(x), Some(starts), Some(ends), Some(axes)], vec![], out))
    }

    /// Rows of a table: table [V, D], ids [...] -> [..., D].
    ///
    /// # Errors
    /// [`Error::Shape`] where the table is not a matrix.
    pub fn gather(&mut self, table: Value, ids: Value) -> Result<Value> {
        let [_, width] = self.shape(table) else {
            return Err(Error::shape("Gather", "needs a table [V, D]", show(self.shape(table))));
        };
        let mut shape = self.shape(ids).to_vec();
        shape.push(width.clone());
        let out = (self.dtype_of(table), shape);
        Ok(self.operator("", "Gather", &[Some(table), Some(ids)], vec![("axis", Attribute::Int(0))], out))
    }

    pub(crate) fn unary(&mut self, op: &str, x: Value) -> Value {
        let out = (self.dtype_of(x), self.shape(x).to_vec());
        self.operator("", op, &[Some(x)], vec![], out)
    }

    fn binary(&mut self, op: &str, a: Value, b: Value) -> Result<Value> {
        let Some(shape) = broadcast(self.shape(a), self.shape(b)) else {
            return Err(Error::shape(op, "needs shapes that broadcast", self.show_two(a, b)));
        };
        if self.dtype_of(a) != self.dtype_of(b) {
            let found = format!("{} and {}", self.dtype_of(a), self.dtype_of(b));
            return Err(Error::shape(op, "needs one data type", found));
        }
        let out = (self.dtype_of(a), shape);
        Ok(self.operator("", op, &[Some(a), Some(b)], vec![], out))
    }

    fn show_two(&self, a: Value, b: Value) -> String {
        format!("{} and {}", show(self.shape(a)), show(self.shape(b)))
    }
}
