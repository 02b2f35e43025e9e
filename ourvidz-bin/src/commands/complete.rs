use std::ops::ControlFlow;

use ourvidz_qwen::{CompleteRequest, GenerateOptions};
use ourvidz_runtime::Tensor;

use super::check_file;
use crate::cli::CompleteOptions;
use crate::failure::Failure;
use crate::load_qwen::{load_qwen, report, tokens_per_second};
use crate::progress::Progress;
use crate::{output, tensors};

/// `ourvidz complete`
pub(crate) fn complete(options: &CompleteOptions, json: bool) -> Result<(), Failure> {
    let default = GenerateOptions { stop: options.stop.clone(), ..GenerateOptions::default() };
    let request = CompleteRequest {
        options: options.sampling.options(default),
        ..CompleteRequest::new(&options.prompt)
    };
    request.options.validate()?;
    if let Some(dump) = &options.dump {
        check_file("--dump", dump)?;
    }
    let mut qwen = load_qwen(&options.model, true, &mut Progress::new())?;
    let show = |piece: &str| {
        if !json {
            output::piece(piece);
        }
        ControlFlow::Continue(())
    };
    let generated = match &options.dump {
        None => qwen.complete_with(&request, show)?,
        Some(path) => {
            let recorded = qwen.complete_recorded(&request, show)?;
            let ids: Vec<i64> = recorded.token_ids.iter().map(|id| i64::from(*id)).collect();
            let shape = [ids.len(), qwen.config().vocab_size];
            let ids = Tensor::i64(&shape[..1], ids)?;
            let logits = Tensor::f32(&shape, recorded.logits)?;
            tensors::write(path, vec![("token_ids".to_owned(), ids), ("logits".to_owned(), logits)])?;
            recorded.generated
        }
    };
    if json {
        output::json(&report(&qwen, &generated, &request.options));
        return Ok(());
    }
    output::piece("\n");
    output::error(&format!(
        "{} tokens behind {}, {:.3} s to the first, {:.1} per second, ended by {}",
        generated.tokens.len(),
        generated.prompt_tokens,
        generated.first_token_seconds,
        tokens_per_second(&generated),
        generated.finish_reason.as_str(),
    ));
    Ok(())
}
