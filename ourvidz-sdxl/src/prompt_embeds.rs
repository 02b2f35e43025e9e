use ourvidz_runtime::{Result, Tensor};

/// What the text encoders make of a prompt and of the negative prompt.
#[derive(Debug, Clone)]
pub struct PromptEmbeds {
    /// [1, L, D]: the second-to-last hidden states of both encoders, side by side; L is 77 per window.
    pub prompt_embeds: Tensor,
    /// [1, P]: the projected pooled output of text encoder 2, first window.
    pub pooled_prompt_embeds: Tensor,
    /// The same two for the negative prompt; absent without guidance.
    pub negative: Option<(Tensor, Tensor)>,
}

impl PromptEmbeds {
    /// Conditioning of a UNet call: ([B, L, D], [B, P]), B being `num_images`, or twice that with the negative half
    /// first.
    pub(crate) fn batch(&self, num_images: usize) -> Result<(Tensor, Tensor)> {
        let negative = self.negative.iter().map(|(embeds, pooled)| (embeds, pooled));
        let halves: Vec<_> = negative.chain([(&self.prompt_embeds, &self.pooled_prompt_embeds)]).collect();
        let embeds: Vec<_> = halves.iter().map(|(embeds, _)| *embeds).collect();
        let pooled: Vec<_> = halves.iter().map(|(_, pooled)| *pooled).collect();
        Ok((repeat(&embeds, num_images)?, repeat(&pooled, num_images)?))
    }
}

/// Each of `parts` [1, ...] `times` times over: [parts * times, ...]
fn repeat(parts: &[&Tensor], times: usize) -> Result<Tensor> {
    let mut shape = parts.first().map(|part| part.shape().to_vec()).unwrap_or_default();
    if let Some(batch) = shape.first_mut() {
        *batch = parts.len() * times;
    }
    let data = parts.iter().flat_map(|part| (*part).clone().into_f32().repeat(times)).collect();
    Tensor::f32(&shape, data)
}
