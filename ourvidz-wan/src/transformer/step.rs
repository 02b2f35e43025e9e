use ourvidz_runtime::nn::{self, Residual, RotaryTables};
use ourvidz_runtime::{DType, Dim, Graph, Value, Weights};

use super::Tap;
use super::block::{CrossAttention, Shared};
use super::modulation::{Modulation, modulations};
use crate::{Result, WanTransformerConfig};

/// One prediction.
pub(super) fn build(
    g: &mut Graph,
    w: &Weights<'_>,
    config: &WanTransformerConfig,
    tap: &mut Tap<'_>,
) -> Result<()> {
    let (d, eps) = (config.inner_dim(), config.eps as f32);
    let hidden_states = video_input(g, "hidden_states", config.in_channels);
    let m = modulations(g, w, config, tap)?;
    let table = |g: &mut Graph, name| {
        let shape = vec!["tokens".into(), (config.attention_head_dim / 2).into()];
        g.input(name, DType::F32, shape)
    };
    let num_heads = config.num_attention_heads;
    let rotary = RotaryTables { cos: table(g, "cos"), sin: table(g, "sin"), num_heads };
    let shared = Shared { config, rotary };
    let cross: Vec<CrossAttention> =
        super::blocks(config).map(|block| cross_inputs(g, &block, config)).collect();
    let (of_blocks, of_control) = m.blocks.split_at(config.num_layers);
    let (cross_of_blocks, cross_of_control) = cross.split_at(config.num_layers);

    let patches = nn::patches(g, hidden_states, config.patch_size)?;
    let tokens = nn::patch_embedding(g, &w.at("patch_embedding"), &patches, d)?; // [B, L, D]
    tap(g, "patch_embedding", tokens);
    let mut control = match &config.vace_layers {
        Some(layers) => Some(Control::new(g, w, &shared, layers, tokens, (of_control, cross_of_control))?),
        None => None,
    };
    let mut x = Residual::new(tokens);
    for (i, (m, cross)) in of_blocks.iter().zip(cross_of_blocks).enumerate() {
        let hint = match &mut control {
            Some(control) => control.hint(g, w, &shared, i)?,
            None => None,
        };
        let mut named = |g: &mut Graph, name: &str, value| match name {
            "input" if i == 0 => (),
            "input" => tap(g, &format!("block.{}", i - 1), value),
            _ => tap(g, &format!("block.{i}.{name}"), value),
        };
        x = shared.block(g, &w.at("blocks").at(i), x, *m, cross, &mut named)?;
        if let Some(hint) = hint {
            let tokens = x.value(g)?;
            x = Residual::new(g.add(tokens, hint)?);
        }
    }
    let normed = x.layer_norm(g, m.scale, m.shift, eps)?;
    let last = x.value(g)?;
    tap(g, &format!("block.{}", config.num_layers - 1), last);
    let each = config.out_channels * config.patch_size.iter().product::<usize>();
    let x = nn::linear(g, &w.at("proj_out"), normed, each)?; // [B, L, p_f p_h p_w C_out]
    tap(g, "proj_out", x);
    let sample = nn::unpatchify(g, x, &patches)?;
    g.output("sample", sample);
    Ok(())
}

/// The control branch of VACE: its blocks run beside the others and give hints to some of them.
struct Control<'a> {
    layers: &'a [usize],
    /// Tokens of the control latents as the blocks so far left them: [B, L, D].
    states: Value,
    /// Strength of each hint, [1] each.
    scales: Vec<Value>,
    modulations: &'a [Modulation],
    cross: &'a [CrossAttention],
}

impl<'a> Control<'a> {
    /// `tokens`: [B, L, D] of the video, before its first block.
    fn new(
        g: &mut Graph,
        w: &Weights<'_>,
        shared: &Shared<'_>,
        layers: &'a [usize],
        tokens: Value,
        (modulations, cross): (&'a [Modulation], &'a [CrossAttention]),
    ) -> Result<Control<'a>> {
        let (config, dtype) = (shared.config, g.dtype());
        let latents = video_input(g, "control_hidden_states", config.vace_in_channels);
        let scales = g.input("control_hidden_states_scale", DType::F32, vec![layers.len().into()]);
        let scales = g.cast(scales, dtype);
        let scales = g.split(scales, 0, layers.len())?;
        let patches = nn::patches(g, latents, config.patch_size)?;
        let states = nn::patch_embedding(g, &w.at("vace_patch_embedding"), &patches, config.inner_dim())?;
        let states = nn::linear(g, &w.at("vace_blocks.0.proj_in"), states, config.inner_dim())?;
        let states = g.add(states, tokens)?;
        Ok(Control { layers, states, scales, modulations, cross })
    }

    /// What is added behind block `layer`: [B, L, D], or nothing.
    fn hint(
        &mut self,
        g: &mut Graph,
        w: &Weights<'_>,
        shared: &Shared<'_>,
        layer: usize,
    ) -> Result<Option<Value>> {
        let Some(i) = self.layers.iter().position(|l| *l == layer) else { return Ok(None) };
        let w = w.at("vace_blocks").at(i);
        let no_tap: &mut Tap<'_> = &mut |_, _, _| ();
        let states = Residual::new(self.states);
        let mut states = shared.block(g, &w, states, self.modulations[i], &self.cross[i], no_tap)?;
        self.states = states.value(g)?;
        let hint = nn::linear(g, &w.at("proj_out"), self.states, shared.config.inner_dim())?;
        Ok(Some(g.mul(hint, self.scales[i])?))
    }
}

/// [B, C, F, H, W]
fn video_input(g: &mut Graph, name: &str, channels: usize) -> Value {
    let sizes = ["frames", "height", "width"].map(Dim::from);
    let shape = [Dim::from("batch"), channels.into()].into_iter().chain(sizes);
    g.input(name, g.dtype(), shape.collect())
}

fn cross_inputs(g: &mut Graph, block: &str, config: &WanTransformerConfig) -> CrossAttention {
    let mut input = |name: &str, length: &str| {
        let shape = vec!["batch".into(), length.into(), config.inner_dim().into()];
        g.input(&format!("{block}.{name}"), g.dtype(), shape)
    };
    let text = (input("key", "sequence"), input("value", "sequence"));
    let image = config
        .image_dim
        .map(|_| (input("added_key", "image_sequence"), input("added_value", "image_sequence")));
    CrossAttention { text, image }
}
