use ourvidz_runtime::nn::{CachedAttention, Norm};
use ourvidz_runtime::{Attribute, DType, Dim, Graph, Target, Value, Weights, nn};

use super::{CacheAttention, DecoderOptions, Matrices, QwenConfig, cache_names};
use crate::{Error, Result};

/// What the attentions of all layers share.
pub(super) struct Attention<'a> {
    config: &'a QwenConfig,
    matrices: Matrices,
    capacity: usize,
    cached: bool,
    cache_attention: CacheAttention,
    lowering: Lowering,
}

enum Lowering {
    /// Standard operators; the cache grows by joining.
    Portable { cos: Value, sin: Value, mask: Value },
    /// `GroupQueryAttention` or our own `CachedAttention`; the cache is written in place.
    Fused { cos: Value, sin: Value, seqlens_k: Value, total_sequence_length: Value },
}

impl<'a> Attention<'a> {
    pub(super) fn new(
        g: &mut Graph,
        config: &'a QwenConfig,
        options: &DecoderOptions,
        cached: bool,
    ) -> Result<Attention<'a>> {
        let lowering = match g.target() {
            Target::Cuda => Lowering::fused(g, config, options.capacity),
            Target::Portable | Target::Cpu => Lowering::portable(g, config, cached)?,
        };
        let &DecoderOptions { capacity, matrices, cache_attention, .. } = options;
        Ok(Attention { config, matrices, capacity, cached, cache_attention, lowering })
    }

    /// x: [B, L, D] -> [B, L, D]: x and the attention of its norm. Reads both of the layer's place.
    pub(super) fn layer(&self, g: &mut Graph, w: &Weights<'_>, x: Value, layer: usize) -> Result<Value> {
        let (norm, w) = (w.at("input_layernorm"), &w.at("self_attn"));
        let norm = Norm { weights: &norm, eps: self.config.rms_norm_eps };
        let (c, bias) = (self.config, self.config.qkv_bias());
        let widths = [c.num_attention_heads, c.num_key_value_heads, c.num_key_value_heads];
        let widths = widths.map(|heads| heads * c.head_dim());
        let places = ["q_proj", "k_proj", "v_proj"].map(|name| w.at(name));
        let packed = matches!(self.lowering, Lowering::Fused { .. }) && !c.qk_norm();
        let y = if packed {
            let places = places.each_ref();
            let qkv = nn::project_three(g, places, x, Some(norm), widths, bias, self.matrices)?;
            self.fused(g, [Some(qkv), None, None], layer)?
        } else {
            let normed = nn::rms_norm(g, norm.weights, x, norm.eps)?;
            let mut project =
                |i: usize| nn::project(g, &places[i], normed, None, widths[i], bias, self.matrices);
            let [q, k, v] = [project(0)?, project(1)?, project(2)?];
            match &self.lowering {
                Lowering::Portable { cos, sin, mask } => {
                    let q = self.heads(g, w, "q_norm", q)?; // [B, L, N, H]
                    let k = self.heads(g, w, "k_norm", k)?; // [B, L, K, H]
                    let v = split_heads(g, v, c.head_dim())?;
                    let q = nn::rotary_halves(g, q, *cos, *sin)?;
                    let k = nn::rotary_halves(g, k, *cos, *sin)?;
                    self.portable(g, [q, k, v], *mask, layer)?
                }
                Lowering::Fused { .. } => {
                    let q = self.normed(g, w, "q_norm", q)?;
                    let k = self.normed(g, w, "k_norm", k)?;
                    self.fused(g, [q, k, v].map(Some), layer)?
                }
            }
        };
        Ok(nn::project_residual(g, &w.at("o_proj"), y, x, false, self.matrices)?)
    }

    /// x: [B, L, N * H] -> [B, L, N, H], each head normalised where the model does that.
    fn heads(&self, g: &mut Graph, w: &Weights<'_>, norm: &str, x: Value) -> Result<Value> {
        let x = split_heads(g, x, self.config.head_dim())?;
        if !self.config.qk_norm() {
            return Ok(x);
        }
        Ok(nn::rms_norm(g, &w.at(norm), x, self.config.rms_norm_eps)?)
    }

    /// [`heads`](Self::heads), joined again: x [B, L, N * H] -> [B, L, N * H].
    fn normed(&self, g: &mut Graph, w: &Weights<'_>, norm: &str, x: Value) -> Result<Value> {
        if !self.config.qk_norm() {
            return Ok(x);
        }
        let shape = g.shape(x).to_vec();
        let width = g.fixed(x, -1)? as i64;
        let x = self.heads(g, w, norm, x)?;
        Ok(g.reshape(x, &[0, 0, width], shape)?)
    }

    /// q: [B, L, N, H], k, v: [B, L, K, H] -> [B, L, N * H]
    fn portable(&self, g: &mut Graph, [q, k, v]: [Value; 3], mask: Value, layer: usize) -> Result<Value> {
        let c = self.config;
        let (kv, h) = (c.num_key_value_heads, c.head_dim());
        let groups = c.num_attention_heads / kv;
        // The scale is shared between q and k, as everywhere in this suite.
        let scale = g.constant_float(&[], &[(h as f32).powf(-0.25)]);
        let q = g.mul(q, scale)?;
        let shape = vec!["batch".into(), "length".into(), kv.into(), groups.into(), h.into()];
        let q = g.reshape(q, &[0, 0, kv as i64, groups as i64, h as i64], shape)?;
        let q = g.transpose(q, &[0, 2, 3, 1, 4])?; // [B, K, N/K, L, H]
        let k = g.transpose(k, &[0, 2, 1, 3])?; // [B, K, L, H]
        let v = g.transpose(v, &[0, 2, 1, 3])?;
        let [k, v] = self.joined(g, [k, v], layer);
        let k = g.mul(k, scale)?;
        let total = g.shape(k)[2].clone();
        let one = g.constant_i64(&[1], &[2]);
        let mut expanded = |x: Value| {
            let shape = vec!["batch".into(), kv.into(), 1.into(), total.clone(), h.into()];
            g.operator("", "Unsqueeze", &[Some(x), Some(one)], vec![], (g.dtype(), shape))
        };
        let (k, v) = (expanded(k), expanded(v)); // [B, K, 1, T, H]
        let k = g.transpose(k, &[0, 1, 2, 4, 3])?;
        let scores = g.matmul(q, k)?; // [B, K, N/K, L, T]
        let scores = g.add(scores, mask)?;
        let probabilities = g.softmax(scores);
        let y = g.matmul(probabilities, v)?; // [B, K, N/K, L, H]
        let y = g.transpose(y, &[0, 3, 1, 2, 4])?; // [B, L, K, N/K, H]
        let width = c.num_attention_heads * h;
        let shape = vec!["batch".into(), "length".into(), width.into()];
        Ok(g.reshape(y, &[0, 0, width as i64], shape)?)
    }

    /// New keys and values behind those of the cache: [B, K, L, H] each -> [B, K, T, H] each.
    fn joined(&self, g: &mut Graph, new: [Value; 2], layer: usize) -> [Value; 2] {
        if !self.cached {
            return new;
        }
        let names = cache_names(layer);
        let mut joined = new;
        for ((past, present), value) in names.iter().zip(&mut joined) {
            let mut shape = g.shape(*value).to_vec();
            shape[2] = "past".into();
            let before = g.input(past, g.dtype(), shape.clone());
            shape[2] = "total".into();
            let axis = vec![("axis", Attribute::Int(2))];
            *value = g.operator("", "Concat", &[Some(before), Some(*value)], axis, (g.dtype(), shape));
            g.output(present, *value);
        }
        joined
    }

    /// q: [B, L, N * H], k, v: [B, L, K * H], or all three side by side in the first -> [B, L, N * H]
    fn fused(&self, g: &mut Graph, [q, k, v]: [Option<Value>; 3], layer: usize) -> Result<Value> {
        let (Some(first), Lowering::Fused { cos, sin, seqlens_k, total_sequence_length }) =
            (q, &self.lowering)
        else {
            return Err(Error::NothingToChoose { count: 0 });
        };
        let c = self.config;
        let length: Dim = if self.cached { self.capacity.into() } else { "length".into() };
        let cache: Vec<Dim> = vec!["batch".into(), c.num_key_value_heads.into(), length, c.head_dim().into()];
        let names = cache_names(layer);
        let dtype = g.dtype();
        let past = names.each_ref().map(|(past, _)| self.cached.then(|| g.input(past, dtype, cache.clone())));
        let own = self.cache_attention == CacheAttention::Own && nn::cached_attention_fits(c.head_dim());
        if let ([Some(keys), Some(values)], true) = (past, own) {
            let attention = CachedAttention {
                qkv: (first, k.zip(v).map(|(k, v)| [k, v])),
                cache: [keys, values],
                last: *seqlens_k,
                total: *total_sequence_length,
                tables: [*cos, *sin],
                num_heads: c.num_attention_heads,
                kv_num_heads: c.num_key_value_heads,
            };
            let [y, keys, values] = nn::cached_attention(g, attention)?;
            for ((_, present), value) in names.iter().zip([keys, values]) {
                g.output(present, value);
            }
            return Ok(y);
        }
        let inputs = [
            q,
            k,
            v,
            past[0],
            past[1],
            Some(*seqlens_k),
            Some(*total_sequence_length),
            Some(*cos),
            Some(*sin),
        ];
        let attributes = vec![
            ("num_heads", Attribute::Int(c.num_attention_heads as i64)),
            ("kv_num_heads", Attribute::Int(c.num_key_value_heads as i64)),
            ("do_rotary", Attribute::Int(1)),
        ];
        let mut shape = g.shape(first).to_vec();
        shape[2] = (c.num_attention_heads * c.head_dim()).into();
        let like = (dtype, shape);
        let outputs = [like, (dtype, cache.clone()), (dtype, cache)];
        let outputs =
            g.operator_with_outputs("com.microsoft", "GroupQueryAttention", &inputs, attributes, outputs);
        if self.cached {
            for ((_, present), value) in names.iter().zip(&outputs[1..]) {
                g.output(present, *value);
            }
        }
        Ok(outputs[0])
    }
}

impl Lowering {
    fn fused(g: &mut Graph, config: &QwenConfig, capacity: usize) -> Lowering {
        let seqlens_k = g.input("seqlens_k", DType::I32, vec!["batch".into()]);
        let total_sequence_length = g.input("total_sequence_length", DType::I32, vec![1.into()]);
        let frequencies = frequencies(config);
        let angles = (0..capacity).flat_map(|position| frequencies.iter().map(move |f| position as f32 * f));
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        let shape = [capacity, frequencies.len()];
        let (cos, sin) = (g.constant_float(&shape, &cos), g.constant_float(&shape, &sin));
        Lowering::Fused { cos, sin, seqlens_k, total_sequence_length }
    }

    fn portable(g: &mut Graph, config: &QwenConfig, cached: bool) -> Result<Lowering> {
        let length = Dim::from("length");
        let positions = g.input("positions", DType::I64, vec![length.clone()]);
        let keys = match cached {
            true => g.input("key_positions", DType::I64, vec!["total".into()]),
            false => positions,
        };
        let rows = g.reshape(positions, &[-1, 1], vec![length.clone(), 1.into()])?; // [L, 1]
        let frequencies = frequencies(config);
        let table = g.constant_f32(&[1, frequencies.len()], &frequencies);
        let float = g.cast(rows, DType::F32);
        let angles = g.mul(float, table)?; // [L, H / 2]
        let (cos, sin) = (g.cos(angles), g.sin(angles));
        let (cos, sin) = (g.cast(cos, g.dtype()), g.cast(sin, g.dtype()));

        let shape = vec![length, g.shape(keys)[0].clone()];
        let seen =
            g.operator("", "LessOrEqual", &[Some(keys), Some(rows)], vec![], (DType::Bool, shape.clone()));
        let lowest = if g.dtype() == DType::F16 { -65504.0 } else { f32::MIN };
        let (zero, lowest) = (g.constant_float(&[], &[0.0]), g.constant_float(&[], &[lowest]));
        let inputs = [Some(seen), Some(zero), Some(lowest)];
        let mask = g.operator("", "Where", &inputs, vec![], (g.dtype(), shape)); // [L, T]
        Ok(Lowering::Portable { cos, sin, mask })
    }
}

/// Angle per position of each pair: [H / 2].
fn frequencies(config: &QwenConfig) -> Vec<f32> {
    let h = config.head_dim();
    // transformers computes them in f32.
    let base = config.rope_theta() as f32;
    (0..h / 2).map(|i| 1.0 / base.powf((2 * i) as f32 / h as f32)).collect()
}

/// x: [B, L, N * H] -> [B, L, N, H]
fn split_heads(g: &mut Graph, x: Value, head_dim: usize) -> Result<Value> {
    let heads = g.fixed(x, -1)? / head_dim;
    let shape = vec!["batch".into(), "length".into(), heads.into(), head_dim.into()];
    Ok(g.reshape(x, &[0, 0, heads as i64, head_dim as i64], shape)?)
}
