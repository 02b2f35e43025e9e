//! A sentencepiece model as the tokenizer that `tokenizer.json` would describe.

use prost::Message;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Replace, Sequence};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{AddedToken, Result, Tokenizer};

/// The fields of `sentencepiece_model.proto` that are needed.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer_spec: Option<TrainerSpec>,
    #[prost(message, optional, tag = "3")]
    normalizer_spec: Option<NormalizerSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct Piece {
    #[prost(string, optional, tag = "1")]
    piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct TrainerSpec {
    /// 1 for unigram.
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct NormalizerSpec {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
}

const UNIGRAM: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;

/// As transformers converts umT5's model: no byte fallback, runs of blanks become one, and a blank before the text.
pub(super) fn tokenizer(bytes: &[u8]) -> Result<Tokenizer> {
    let model = ModelProto::decode(bytes).map_err(|e| format!("is no sentencepiece model: {e}"))?;
    let kind = model.trainer_spec.as_ref().and_then(|spec| spec.model_type).unwrap_or(UNIGRAM);
    if kind != UNIGRAM {
        return Err(format!("must be a unigram model (model_type 1), got model_type {kind}").into());
    }
    let unknown = model.pieces.iter().position(|piece| piece.kind == Some(UNKNOWN));
    let unknown = unknown.ok_or("has no piece for what is unknown")?;
    let special: Vec<AddedToken> = model
        .pieces
        .iter()
        .filter(|piece| matches!(piece.kind, Some(UNKNOWN | CONTROL)))
        .filter_map(|piece| Some(AddedToken::from(piece.piece.clone()?, true).normalized(false)))
        .collect();
    let charsmap =
        model.normalizer_spec.and_then(|spec| spec.precompiled_charsmap).filter(|map| !map.is_empty());
    let pieces = model.pieces.into_iter();
    let vocab =
        pieces.map(|p| (p.piece.unwrap_or_default(), f64::from(p.score.unwrap_or_default()))).collect();
    let mut tokenizer = Tokenizer::new(Unigram::from(vocab, Some(unknown), false)?);
    let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
    if let Some(map) = charsmap {
        let map = Precompiled::from(&map).map_err(|e| format!("has a damaged map of characters: {e}"))?;
        normalizers.push(map.into());
    }
    normalizers.push(Replace::new(ReplacePattern::Regex(" {2,}".into()), " ")?.into());
    tokenizer.with_normalizer(Some(Sequence::new(normalizers)))?;
    tokenizer.with_pre_tokenizer(Some(Metaspace::new('\u{2581}', PrependScheme::Always, true)));
    tokenizer.add_special_tokens(special)?;
    Ok(tokenizer)
}
