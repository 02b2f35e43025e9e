use std::fmt;
use std::sync::Arc;

/// One dimension: a number, or a name for what is known only when the graph runs (`batch`, `height`).
///
/// Names compare as text: `ceil(height/2)` equals only `ceil(height/2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Known while building.
    Fixed(i64),
    /// Known when the graph runs.
    Named(Arc<str>),
}

impl Dim {
    /// The number, where it is known.
    pub fn fixed(&self) -> Option<i64> {
        match self {
            Dim::Fixed(n) => Some(*n),
            Dim::Named(_) => None,
        }
    }

    /// Product of two dimensions.
    pub fn times(&self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a * b),
            (Dim::Fixed(1), d) | (d, Dim::Fixed(1)) => d.clone(),
            (a, b) => Dim::from(format!("{a}*{b}").as_str()),
        }
    }

    /// Output size of a convolution along one axis.
    pub(crate) fn convolved(&self, kernel: i64, stride: i64, pads: (i64, i64)) -> Dim {
        let extra = pads.0 + pads.1 - kernel;
        match self {
            Dim::Fixed(n) => Dim::Fixed((n + extra) / stride + 1),
            named if stride == 1 && extra == -1 => named.clone(),
            named if stride == 2 && extra == -1 => Dim::from(format!("ceil({named}/2)").as_str()),
            named if stride == 2 && extra == -2 => Dim::from(format!("floor({named}/2)").as_str()),
            named => Dim::from(format!("floor(({named}+{extra})/{stride})+1").as_str()),
        }
    }
}

impl From<i32> for Dim {
    fn from(n: i32) -> Dim {
        Dim::Fixed(n.into())
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Dim {
        Dim::Fixed(n as i64)
    }
}

impl From<&str> for Dim {
    fn from(name: &str) -> Dim {
        Dim::Named(name.into())
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(n) => write!(f, "{n}"),
            Dim::Named(name) => f.write_str(name),
        }
    }
}

/// `[2, 4, height, width]`
pub(crate) fn show(shape: &[Dim]) -> String {
    let parts: Vec<String> = shape.iter().map(Dim::to_string).collect();
    format!("[{}]", parts.join(", "))
}

/// The shape of an element-wise operation on `a` and `b` (numpy's broadcasting), or nothing where they do not fit.
pub(crate) fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let at = |s: &[Dim], i: usize| (i + s.len()).checked_sub(rank).map(|i| s[i].clone());
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (Some(x), Some(y)) if x == y => Some(x),
            (Some(Dim::Fixed(1)), Some(y)) | (None, Some(y)) => Some(y),
            (Some(x), Some(Dim::Fixed(1)) | None) => Some(x),
            _ => None,
        })
        .collect()
}
