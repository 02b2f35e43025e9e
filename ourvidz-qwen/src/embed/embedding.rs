use crate::{Error, Result};

/// The embedding of one text: a unit vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    vector: Vec<f32>,
    tokens: usize,
    truncated_tokens: usize,
}

impl Embedding {
    /// Scales `vector`, or its first `dimensions` numbers, to length 1.
    pub(super) fn new(
        index: usize,
        mut vector: Vec<f32>,
        dimensions: usize,
        (tokens, truncated_tokens): (usize, usize),
    ) -> Result<Embedding> {
        vector.truncate(dimensions);
        let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() || norm == 0.0 {
            return Err(Error::NonFinite { index });
        }
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        Ok(Embedding { vector, tokens, truncated_tokens })
    }

    /// The numbers, whose squares sum up to 1.
    pub fn as_slice(&self) -> &[f32] {
        &self.vector
    }

    /// The numbers, without a copy.
    pub fn into_vec(self) -> Vec<f32> {
        self.vector
    }

    /// Cosine of the angle between two texts, from -1 to 1; not a number where their dimensions differ.
    pub fn cosine_similarity(&self, other: &Embedding) -> f32 {
        if self.vector.len() != other.vector.len() {
            return f32::NAN;
        }
        self.vector.iter().zip(&other.vector).map(|(a, b)| a * b).sum()
    }

    /// Tokens that the model read, special tokens and prompt included.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Tokens at the end of the text that did not fit into the model's length and were left out; mostly 0.
    pub fn truncated_tokens(&self) -> usize {
        self.truncated_tokens
    }
}

impl AsRef<[f32]> for Embedding {
    fn as_ref(&self) -> &[f32] {
        &self.vector
    }
}
