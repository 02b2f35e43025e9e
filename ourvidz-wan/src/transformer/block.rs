use ourvidz_runtime::nn::{self, Attention, Residual};
use ourvidz_runtime::{Graph, Value, Weights};

use super::Tap;
use super::modulation::Modulation;
use crate::{Result, WanTransformerConfig};

/// What blocks read beside the tokens and their own modulation.
pub(super) struct Shared<'a> {
    pub(super) config: &'a WanTransformerConfig,
    pub(super) rotary: nn::RotaryTables,
}

/// Keys and values of text, and of images where the model takes them: [B, S, D] each.
pub(super) struct CrossAttention {
    pub(super) text: (Value, Value),
    pub(super) image: Option<(Value, Value)>,
}

impl Shared<'_> {
    /// `WanTransformerBlock`: x [B, L, D] -> [B, L, D].
    ///
    /// `tap` sees x under the name `input`.
    pub(super) fn block(
        &self,
        g: &mut Graph,
        w: &Weights<'_>,
        mut x: Residual,
        m: Modulation,
        cross: &CrossAttention,
        tap: &mut Tap<'_>,
    ) -> Result<Residual> {
        let (eps, d) = (self.config.eps as f32, self.config.inner_dim());
        let h = x.layer_norm(g, m.scale_msa, m.shift_msa, eps)?;
        let input = x.value(g)?;
        tap(g, "input", input);
        let h = self.attend_self(g, &w.at("attn1"), h)?;
        tap(g, "attn1", h);
        x = x.add_gated(g, h, m.gate_msa)?;

        let h = if self.config.cross_attn_norm {
            let [scale, shift] = nn::layer_norm_weights(g, &w.at("norm2"), d)?;
            x.layer_norm(g, scale, shift, eps)?
        } else {
            x.value(g)?
        };
        let attn2 = w.at("attn2");
        let h = self.attend_cross(g, &attn2, h, cross)?;
        let tokens = x.value(g)?;
        tap(g, "attn2.before", tokens);
        let y = nn::linear_residual(g, &attn2.at("to_out.0"), h, tokens)?;
        tap(g, "attn2.after", y);
        x = Residual::new(y);

        let h = x.layer_norm(g, m.c_scale_msa, m.c_shift_msa, eps)?;
        let h = nn::linear_gelu_tanh(g, &w.at("ffn.net.0.proj"), h, self.config.ffn_dim)?; // [B, L, D_ffn]
        let h = nn::linear(g, &w.at("ffn.net.2"), h, d)?;
        tap(g, "ffn", h);
        Ok(x.add_gated(g, h, m.c_gate_msa)?)
    }

    fn attend_self(&self, g: &mut Graph, w: &Weights<'_>, x: Value) -> Result<Value> {
        let d = self.config.inner_dim();
        let [q, k] = [("to_q", "norm_q"), ("to_k", "norm_k")].map(|(projection, norm)| {
            let y = nn::linear(g, &w.at(projection), x, d)?;
            nn::rms_norm_rotary(g, &w.at(norm), y, self.config.eps as f32, &self.rotary)
        });
        let v = nn::linear(g, &w.at("to_v"), x, d)?;
        let y = nn::attention(g, q?, k?, v, self.heads())?;
        Ok(nn::linear(g, &w.at("to_out.0"), y, d)?)
    }

    /// x: [B, L, D] looks at the text, and beside it at the images; before the last projection.
    fn attend_cross(
        &self,
        g: &mut Graph,
        w: &Weights<'_>,
        x: Value,
        cross: &CrossAttention,
    ) -> Result<Value> {
        let d = self.config.inner_dim();
        let q = nn::linear(g, &w.at("to_q"), x, d)?;
        let q = nn::rms_norm(g, &w.at("norm_q"), q, self.config.eps as f32)?;
        let mut y = nn::attention(g, q, cross.text.0, cross.text.1, self.heads())?;
        if let Some((key, value)) = cross.image {
            let of_image = nn::attention(g, q, key, value, self.heads())?;
            y = g.add(y, of_image)?;
        }
        Ok(y)
    }

    fn heads(&self) -> Attention {
        Attention { num_heads: self.config.num_attention_heads, causal: false }
    }
}
