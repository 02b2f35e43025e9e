/// The embedding of one text: a unit vector, and how much of the text is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    vector: Vec<f32>,
    tokens: usize,
    truncated_tokens: usize,
}

impl Embedding {
    /// Scales `vector` to length 1; `None` where it has none: it is zero, or not finite.
    pub fn scaled(mut vector: Vec<f32>) -> Option<Embedding> {
        let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if !norm.is_finite() || norm == 0.0 {
            return None;
        }
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        Some(Embedding { vector, tokens: 0, truncated_tokens: 0 })
    }

    /// Says how many tokens the model read, and how many did not fit.
    #[must_use]
    pub fn of_tokens(self, tokens: usize, truncated_tokens: usize) -> Embedding {
        Embedding { tokens, truncated_tokens, ..self }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_direction_is_no_embedding() {
        assert!(Embedding::scaled(vec![]).is_none());
        assert!(Embedding::scaled(vec![0.0, 0.0]).is_none());
        assert!(Embedding::scaled(vec![1.0, f32::NAN]).is_none());
        assert!(Embedding::scaled(vec![1.0, f32::INFINITY]).is_none());
        // Squares of these leave the range of f32.
        for size in [1e-30, 1e30] {
            let found = Embedding::scaled(vec![3.0 * size, 4.0 * size]);
            assert!(found.is_some_and(|e| (e.as_slice()[0] - 0.6).abs() < 1e-6));
        }
    }

    #[test]
    fn similarity_is_of_directions() {
        let of = |vector: &[f32]| Embedding::scaled(vector.to_vec());
        let (a, b, c) = (of(&[2.0, 0.0]), of(&[1.0, 1.0]), of(&[-3.0, 0.0]));
        let (Some(a), Some(b), Some(c)) = (a, b, c) else { panic!("directions") };
        assert!((a.cosine_similarity(&b) - 0.5f32.sqrt()).abs() < 1e-6);
        assert_eq!(a.cosine_similarity(&c), -1.0);
    }
}
