//! Graphs of `WanTransformer3DModel` and `WanVACETransformer3DModel`, and the sessions that run them.
//!
//! What depends on the prompt alone, the keys and values of cross-attention, is a graph of its own: it runs once, and
//! its outputs are inputs of the graph that runs at every step.

mod block;
mod conditioning;
mod modulation;
mod session;
mod step;

use ourvidz_runtime::{Graph, TensorSet, Value};

use crate::{Result, WanTransformerConfig};

pub use session::{Conditioning, ConditioningInputs, Control, Transformer};

/// Sees values inside of the graphs by the names of diffusers' modules.
type Tap<'a> = dyn FnMut(&mut Graph, &str, Value) + 'a;

/// Adds both graphs of a transformer and checks that together they read every tensor.
///
/// `conditioning`: `encoder_hidden_states` [B, S, D_text]; with `image_dim` also `encoder_hidden_states_image`
/// [B, S_image, D_image], or [2 B, S_image, D_image] where the checkpoint has positions for two frames. Outputs for
/// every block `blocks.{i}` and `vace_blocks.{i}`: `{block}.key` and `{block}.value` [B, S, D], and `{block}.added_key`
/// and `{block}.added_value` [B, S_image, D].
///
/// `step`: `hidden_states` [B, C, F, H, W], `timestep` f32 `[1]`, `cos` and `sin` [L, D_head / 2]
/// ([`RotaryTables`](crate::RotaryTables), every second number), the outputs of `conditioning`; with VACE also
/// `control_hidden_states` [B, C_control, F, H, W] and `control_hidden_states_scale` f32 `[layers]`. Output `sample`
/// [B, C_out, F, H, W]. Frames, rows and columns are multiples of the patch.
///
/// # Errors
/// A configuration that cannot be built; tensors that are missing, of the wrong shape, or never read.
pub fn build(
    conditioning: &mut Graph,
    step: &mut Graph,
    tensors: &TensorSet,
    config: &WanTransformerConfig,
) -> Result<()> {
    build_tapped(conditioning, step, tensors, config, &mut |_, _, _| ())
}

/// As [`build`], and shows `tap` the values `timesteps_proj`, `temb`, `timestep_proj`, `text`, `patch_embedding`,
/// `block.{i}.attn1`, the tokens `block.{i}.attn2.before` and `block.{i}.attn2.after` cross-attention is added to them,
/// `block.{i}.ffn`, `block.{i}` (with VACE, behind the hint) and `proj_out`.
///
/// # Errors
/// As [`build`].
pub fn build_tapped(
    conditioning: &mut Graph,
    step: &mut Graph,
    tensors: &TensorSet,
    config: &WanTransformerConfig,
    tap: &mut Tap<'_>,
) -> Result<()> {
    config.check()?;
    // Queries of images have a norm in some files that no model reads.
    for (name, _) in tensors.iter().filter(|(name, _)| name.contains(".norm_added_q.")) {
        tensors.skip(name);
    }
    conditioning::build(conditioning, &tensors.root(), config, tap)?;
    step::build(step, &tensors.root(), config, tap)?;
    Ok(tensors.finish()?)
}

/// Places of every block in the checkpoint: those that control comes from behind the others.
fn blocks(config: &WanTransformerConfig) -> impl Iterator<Item = String> {
    let vace = config.vace_layers.as_ref().map_or(0, Vec::len);
    (0..config.num_layers).map(|i| format!("blocks.{i}")).chain((0..vace).map(|i| format!("vace_blocks.{i}")))
}

/// What cross-attention takes from the conditioning graph: suffixes of the values' names.
fn conditioned(config: &WanTransformerConfig) -> &'static [&'static str] {
    if config.image_dim.is_some() { &["key", "value", "added_key", "added_value"] } else { &["key", "value"] }
}
