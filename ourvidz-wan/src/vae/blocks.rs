use ourvidz_runtime::nn::{self, Attention, CausalClip, ClipKernels, ClipSum, Conv3d};
use ourvidz_runtime::{Graph, Value, Weights};

use crate::Result;

/// Frames that a causal convolution of three keeps from one chunk to the next.
const CACHE_T: usize = 2;

/// A graph of the VAE under construction: of the first frame, or of a chunk that follows.
///
/// Frames that the next chunk needs leave the graph as `next_cache.{i}` and enter the following one as `cache.{i}`,
/// counted in the order of the layers.
pub(super) struct Builder<'g> {
    pub(super) g: &'g mut Graph,
    pub(super) kernels: ClipKernels,
    pub(super) first: bool,
    caches: usize,
}

impl<'g> Builder<'g> {
    pub(super) fn new(g: &'g mut Graph, kernels: ClipKernels, first: bool) -> Builder<'g> {
        Builder { g, kernels, first, caches: 0 }
    }

    /// x with the last `n` frames of the chunk before it; keeps its own last `n` for the next.
    pub(super) fn follow(&mut self, x: Value, n: usize) -> Result<CausalClip> {
        let clip = match self.first {
            true => nn::after_nothing(x),
            false => {
                let before = self.before(x, n);
                nn::after_frames(self.g, before, x)?
            }
        };
        let kept = nn::last_frames(self.g, clip, n)?;
        self.keep(kept);
        Ok(clip)
    }

    /// Keeps zeros: the layer sees nothing of the first chunk.
    pub(super) fn forget(&mut self, x: Value) {
        let kept = nn::zero_frames(self.g, x, CACHE_T);
        self.keep(kept);
    }

    fn before(&mut self, x: Value, n: usize) -> Value {
        nn::clip_state(self.g, &format!("cache.{}", self.caches), x, n)
    }

    fn keep(&mut self, frames: Value) {
        self.g.output(&format!("next_cache.{}", self.caches), frames);
        self.caches += 1;
    }

    /// `WanCausalConv3d`: x [1, C_in, F, H, W] -> [1, C_out, F, H, W]
    pub(super) fn conv(
        &mut self,
        w: &Weights<'_>,
        x: Value,
        out_channels: usize,
        kernel: [usize; 3],
    ) -> Result<ClipSum> {
        let clip = if kernel[0] == 1 { nn::after_nothing(x) } else { self.follow(x, CACHE_T)? };
        self.conv_of(w, clip, out_channels, kernel, 1)
    }

    pub(super) fn conv_of(
        &mut self,
        w: &Weights<'_>,
        clip: CausalClip,
        out_channels: usize,
        kernel: [usize; 3],
        time_stride: usize,
    ) -> Result<ClipSum> {
        let conv = Conv3d { out_channels, kernel, time_stride, kernels: self.kernels };
        Ok(nn::conv3d_sum(self.g, w, clip, conv)?)
    }

    /// `WanRMS_norm` and SiLU: [1, C, F, H, W] -> [1, C, F, H, W]
    pub(super) fn norm_silu(&mut self, w: &Weights<'_>, x: &ClipSum, channels: usize) -> Result<Value> {
        Ok(x.norm_silu(self.g, w, &[channels, 1, 1, 1])?)
    }

    /// `WanResidualBlock`: x [1, C_in, F, H, W] -> [1, C_out, F, H, W]
    pub(super) fn residual(&mut self, w: &Weights<'_>, x: &ClipSum, channels: [usize; 2]) -> Result<ClipSum> {
        let [from, to] = channels;
        let (x, mut h) = x.value_and_norm_silu(self.g, &w.at("norm1"), &[from, 1, 1, 1])?;
        let sum = self.conv(&w.at("conv1"), h, to, [3, 3, 3])?;
        h = self.norm_silu(&w.at("norm2"), &sum, to)?;
        let sum = self.conv(&w.at("conv2"), h, to, [3, 3, 3])?;
        let x = match from == to {
            true => x.into(),
            false => self.conv(&w.at("conv_shortcut"), x, to, [1, 1, 1])?,
        };
        Ok(sum.plus(self.g, x)?)
    }

    /// `WanAttentionBlock`, each frame by itself with one head: [1, C, F, H, W] -> [1, C, F, H, W]
    fn attend(&mut self, w: &Weights<'_>, x: Value) -> Result<Value> {
        let g = &mut *self.g;
        let c = nn::clip_channels(g, x)?;
        let normed = nn::rms_norm_channels(g, &w.at("norm"), x, &[c, 1, 1])?;
        let tokens = nn::clip_to_tokens(g, normed)?; // [F, H*W, C]
        let qkv = nn::pointwise(g, &w.at("to_qkv"), tokens, 3 * c)?;
        let [q, k, v] = [0, 1, 2].map(|i| g.slice(qkv, 2, i * c, (i + 1) * c));
        let y = nn::attention(g, q?, k?, v?, Attention { num_heads: 1, causal: false })?;
        let y = nn::pointwise(g, &w.at("proj"), y, c)?;
        let y = nn::tokens_to_clip(g, y, x)?;
        Ok(g.add(y, x)?)
    }

    /// `WanMidBlock`: [1, C, F, H, W] -> [1, C, F, H, W]
    pub(super) fn mid(&mut self, w: &Weights<'_>, x: &ClipSum, channels: usize) -> Result<ClipSum> {
        let x = self.residual(&w.at("resnets.0"), x, [channels; 2])?.value(self.g)?;
        let x = self.attend(&w.at("attentions.0"), x)?;
        self.residual(&w.at("resnets.1"), &x.into(), [channels; 2])
    }
}
