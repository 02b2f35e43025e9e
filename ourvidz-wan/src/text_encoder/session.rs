use ourvidz_runtime::{Session, Tensor};

use super::Umt5Config;
use super::buckets::position_buckets;
use crate::{Error, Result};

/// Runs the text encoder on one prompt at a time.
#[derive(Debug)]
pub struct TextEncoder {
    session: Session,
    config: Umt5Config,
}

impl TextEncoder {
    /// Takes a session of the graph that [`build`](super::build) made for `config`.
    pub fn new(session: Session, config: Umt5Config) -> TextEncoder {
        TextEncoder { session, config }
    }

    /// Hidden states of a prompt: ids `[L]` -> [1, L, D], in the type of the session's precision.
    ///
    /// Only the tokens are encoded, without padding. The reference pads to 512, masks the padding out and cuts it off
    /// again: the same numbers for 512 / L times the work.
    ///
    /// # Errors
    /// [`Error::Input`] without ids, and for an id that the table has no row for; ONNX Runtime fails.
    pub fn encode(&mut self, ids: &[i64]) -> Result<Tensor> {
        let rows = self.config.vocab_size;
        if ids.is_empty() {
            return Err(refuse("at least one token".into(), "none".into()));
        }
        if let Some(id) = ids.iter().find(|id| usize::try_from(**id).map_or(true, |id| id >= rows)) {
            return Err(refuse(format!("from 0 up to {rows}, the rows of the embedding"), id.to_string()));
        }
        let length = ids.len();
        let buckets = Tensor::i64(&[length, length], position_buckets(length, &self.config))?;
        let ids = Tensor::i64(&[1, length], ids.to_vec())?;
        let inputs = [("input_ids", &ids), ("position_buckets", &buckets)];
        Ok(self.session.run(&inputs, &["last_hidden_state"])?.remove(0))
    }

    /// [`encode`](Self::encode) with zeros behind the tokens: ids `[L]` -> [1, `length`, D] in f32.
    ///
    /// What the transformer takes as `encoder_hidden_states`, with 512 as `length`.
    ///
    /// # Errors
    /// As `encode`; [`Error::Input`] for more ids than `length`.
    pub fn encode_padded(&mut self, ids: &[i64], length: usize) -> Result<Tensor> {
        if ids.len() > length {
            return Err(refuse(format!("at most {length} tokens"), ids.len().to_string()));
        }
        let width = self.config.d_model;
        let mut states = self.encode(ids)?.into_f32();
        states.resize(length * width, 0.0);
        Ok(Tensor::f32(&[1, length, width], states)?)
    }
}

fn refuse(rule: String, value: String) -> Error {
    Error::Input { input: "input_ids", rule, value }
}
