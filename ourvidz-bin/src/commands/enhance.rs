use ourvidz_qwen::{EnhancePrompt, Enhanced};
use serde_json::json;

use crate::cli::{EnhanceOptions, Style};
use crate::failure::Failure;
use crate::load_qwen::{load_enhancer, load_qwen};
use crate::output;
use crate::progress::{Lap, Progress};

/// `ourvidz enhance`
pub(crate) fn enhance(options: &EnhanceOptions, json: bool) -> Result<(), Failure> {
    let new = EnhancePrompt::new(&options.prompt);
    let request = EnhancePrompt {
        target: options.target.into(),
        system_prompt: options.system_prompt.clone(),
        style: options.style.map(Into::into),
        max_new_tokens: options.sampling.max_new_tokens.unwrap_or(new.max_new_tokens),
        sampling: options.sampling.sampling(new.sampling),
        seed: options.sampling.seed,
        deadline: options.timeout,
        attempts: options.attempts,
        ..new
    };
    request.validate()?;
    let (mut progress, mut lap) = (Progress::new(), Lap::start());
    // The demo model answers; it does not continue a text.
    let mut qwen = match options.style {
        Some(Style::Base) => load_qwen(&options.model, true, &mut progress)?,
        _ => load_enhancer(&options.model, &mut progress)?,
    };
    let loading = lap.next();
    let enhanced = qwen.enhance_prompt(&request)?;
    let Enhanced { prompt, source, seconds, attempts, seed, tokens, failure, cut } = &enhanced;
    if json {
        output::json(&json!({
            "enhanced_prompt": prompt, "original_prompt": options.prompt,
            "enhancement_source": source.as_str(), "seconds": seconds, "attempts": attempts, "seed": seed,
            "tokens": tokens, "failure": failure, "cut": cut.map(|cut| cut.to_string()),
            "loading_seconds": loading, "model": qwen.name(), "device": qwen.device().to_string(),
            "precision": qwen.precision().to_string(), "weights": qwen.weights().to_string(),
        }));
        return Ok(());
    }
    output::line(prompt);
    if let Some(cut) = cut {
        output::error(&format!("the prompt is too long: {cut}"));
    }
    let why = failure.as_ref().map(|failure| format!("; {failure}")).unwrap_or_default();
    output::error(&format!(
        "{} after {attempts} attempts, {tokens} tokens, {seconds:.2} s, loading {loading:.2} s{why}",
        source.as_str()
    ));
    Ok(())
}
