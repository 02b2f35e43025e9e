//! The gate before generation: sexual content involving minors is never made.
//!
//! ```
//! use ourvidz_core::policy;
//!
//! assert!(policy::check("kid goat in a meadow").is_ok());
//! let refused = policy::check("erotic photo, 14yo");
//! assert_eq!(refused.unwrap_err().to_string(), format!("refused by the content policy: {}", policy::RULE));
//! ```
//!
//! A prompt is refused when it names a minor (a word, or an age under 18) and anything sexual, in any order
//! and at any distance. Compared are whole words after compatibility normalisation (NFKD), removal of
//! diacritics and invisible characters, lower-casing, look-alike letters of other alphabets, digits and signs
//! that stand for letters, and letters set apart (`n u d e`). The word list is English (`terms.txt`); it does
//! not see other languages, pictures, or meaning. Negative prompts are not checked: what they name is kept out.

mod age;
mod terms;
mod words;

#[cfg(test)]
mod tests;

use crate::job::{Job, JobRequest};
use crate::{Error, Result};
use terms::Terms;
use words::Words;

/// The text of every refusal. It does not repeat the prompt.
pub const RULE: &str = "sexual content involving minors is never made";

/// Checks one prompt.
///
/// # Errors
/// [`Error::ContentPolicy`] with [`RULE`]. Permanent: the same prompt is refused again.
pub fn check(prompt: &str) -> Result<()> {
    let terms = Terms::get();
    let mut words = Words::of(prompt);
    words.remove(&terms.harmless);
    let minor = || words.contain(&terms.minor) || age::names_a_minor(&words, &terms.aged_thing);
    if words.contain(&terms.always) || (words.contain(&terms.sexual) && minor()) {
        return Err(Error::ContentPolicy { rule: RULE.to_owned() });
    }
    Ok(())
}

/// Checks all text of a job that reaches the model as prompt: the prompt and the weighted words together.
///
/// # Errors
/// As [`check`].
pub fn check_job(job: &Job) -> Result<()> {
    match &job.request {
        JobRequest::Sdxl(request) => match &request.compel_weights {
            Some(weights) => check(&format!("{}\n{weights}", request.prompt)),
            None => check(&request.prompt),
        },
        JobRequest::Wan(request) => check(&request.prompt),
    }
}
