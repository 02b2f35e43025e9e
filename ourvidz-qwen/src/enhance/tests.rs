//! Attempts with answers that are given; templates and what is made of answers.
#![allow(clippy::unwrap_used)]

use super::*;

fn answer(text: &str, finish_reason: FinishReason) -> Result<Attempt> {
    let generated = Generated {
        text: text.into(),
        tokens: vec![1, 2, 3],
        finish_reason,
        seed: 9,
        prompt_tokens: 5,
        first_token_seconds: 0.0,
        seconds: 0.0,
    };
    Ok((generated, None))
}

fn enhanced(answers: &[fn() -> Result<Attempt>]) -> (Enhanced, Vec<GenerateOptions>) {
    let mut seen = Vec::new();
    let request = EnhancePrompt { seed: Some(40), ..EnhancePrompt::new("fox in snow") };
    let result = attempts(&request, EnhanceStyle::Base, &mut |options| {
        seen.push(options.clone());
        answers[seen.len() - 1]()
    });
    (result.unwrap(), seen)
}

const GOOD: &str = " Enhanced prompt: \"A red fox in\nfresh snow, golden hour.\" ";

#[test]
fn a_good_answer_is_taken_at_once() {
    let (result, seen) = enhanced(&[|| answer(GOOD, FinishReason::StopText)]);
    assert_eq!(result.prompt, "A red fox in fresh snow, golden hour.");
    assert_eq!(result.to_string(), result.prompt);
    assert_eq!((result.source.as_str(), result.attempts, result.tokens), ("qwen_base", 1, 3));
    assert_eq!((result.seed, result.failure), (Some(9), None));
    assert_eq!((seen[0].seed, seen[0].max_new_tokens), (Some(40), 150));
    assert!(seen[0].deadline.unwrap() <= Duration::from_secs(60));
    assert!(seen[0].stop.contains(&"\n\n".to_owned()));
}

#[test]
fn the_second_attempt_has_another_seed() {
    let (result, seen) = enhanced(&[
        || answer("too short", FinishReason::StopToken),
        || answer(GOOD, FinishReason::MaxNewTokens),
    ]);
    assert_eq!((result.source, result.attempts, seen[1].seed), (EnhancementSource::Base, 2, Some(41)));
    assert_eq!(result.failure.unwrap(), "the answer is too short: \"too short\"");
    assert_eq!(result.tokens, 6);
}

#[test]
fn the_original_is_kept_and_the_reason_told() {
    let broken = || Err(Error::NothingToChoose { count: 0 });
    let (result, _) = enhanced(&[|| answer("", FinishReason::StopToken), broken]);
    assert_eq!((result.prompt.as_str(), result.source.as_str()), ("fox in snow", "original"));
    assert_eq!((result.attempts, result.seed), (2, None));
    assert_eq!(result.failure.unwrap(), "no token can be chosen from 0 logits");
    let (result, _) = enhanced(&[|| answer(GOOD, FinishReason::Cancelled)]);
    assert_eq!((result.source, result.failure.unwrap().as_str()), (EnhancementSource::Original, "cancelled"));
    // Half a sentence that the time cut off is no prompt.
    let late = || answer(GOOD, FinishReason::Deadline);
    let (result, _) = enhanced(&[late, late]);
    assert_eq!(result.failure.unwrap(), "no answer within 60 s");
}

#[test]
fn no_time_is_no_attempt() {
    let request = EnhancePrompt { deadline: Duration::ZERO, ..EnhancePrompt::new("fox") };
    let result =
        attempts(&request, EnhanceStyle::Instruct, &mut |_| answer(GOOD, FinishReason::StopToken)).unwrap();
    assert_eq!((result.attempts, result.source), (0, EnhancementSource::Original));
}

#[test]
fn the_caller_s_instructions_win() {
    let styles = [EnhanceStyle::Instruct, EnhanceStyle::Base];
    let targets = [PromptTarget::Image, PromptTarget::Video];
    let mut all = Vec::new();
    for (style, target) in styles.iter().flat_map(|style| targets.map(|target| (*style, target))) {
        let request = EnhancePrompt { target, ..EnhancePrompt::new("fox") };
        let text = request.instructions(style).to_owned();
        for word in ["subject", "light", "camera", "composition", "style"] {
            assert!(text.contains(word), "{style:?} {target:?} lacks {word}");
        }
        all.push(text);
        let own = EnhancePrompt { system_prompt: " Add a hat. ".into(), target, ..EnhancePrompt::new("fox") };
        assert_eq!(own.instructions(style), "Add a hat.");
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4);
    assert!(
        templates::to_continue("Do so.", "fox").ends_with("Do so.\n\nShort prompt: fox\nDetailed prompt:")
    );
}

#[test]
fn answers_are_cleaned() {
    let clean = |text: &str| templates::accepted(text);
    assert_eq!(clean("PROMPT: a fox in fresh snow").unwrap(), "a fox in fresh snow");
    assert_eq!(clean("“a fox, called “Red”, in snow”").unwrap(), "“a fox, called “Red”, in snow”");
    assert_eq!(clean("\"a fox in fresh snow\"").unwrap(), "a fox in fresh snow");
    assert_eq!(clean("雪の中を走る赤い狐、夕暮れ").unwrap(), "雪の中を走る赤い狐、夕暮れ");
    assert!(clean("a fox in snow \u{fffd}").is_err());
    assert!(clean("Prompt:   ").is_err());
    let thought = "<think>\nThe prompt: a fox.\n</think>\n\n";
    assert_eq!(clean(&format!("{thought}A fox in fresh snow.")).unwrap(), "A fox in fresh snow.");
    assert_eq!(clean("<think>\n\n</think>\n\nA fox in fresh snow.").unwrap(), "A fox in fresh snow.");
    assert!(clean(thought).is_err());
    assert!(clean("<think>\nThe user wants a fox, so").unwrap_err().contains("thought"));
}

#[test]
fn wrong_requests_are_refused() {
    let refused = |request: EnhancePrompt| request.validate().unwrap_err().to_string();
    let new = || EnhancePrompt::new("fox");
    assert_eq!(
        refused(EnhancePrompt::new(" \n")),
        "prompt must be a text that is not blank, got a blank one"
    );
    assert_eq!(refused(EnhancePrompt { attempts: 0, ..new() }), "attempts must be at least 1, got 0");
    assert_eq!(
        refused(EnhancePrompt { max_new_tokens: 0, ..new() }),
        "max_new_tokens must be at least 1, got 0"
    );
}
