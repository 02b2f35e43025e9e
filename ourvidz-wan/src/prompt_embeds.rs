use ourvidz_runtime::Tensor;

/// States of the text encoder for one request.
#[derive(Debug, Clone)]
pub struct PromptEmbeds {
    /// Of the prompt: [1, 512, D], zero behind its tokens.
    pub prompt_embeds: Tensor,
    /// Of the negative prompt; `None` without guidance.
    pub negative_prompt_embeds: Option<Tensor>,
    /// What of the prompt did not fit into 512 tokens.
    pub cut: Option<String>,
}
