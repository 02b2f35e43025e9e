//! The loop with a model that records what it is given and says what it was told to.
#![allow(clippy::unwrap_used)]

use super::*;

/// Tokens are bytes of UTF-8; 256 and above are special.
struct FakeModel {
    answer: Vec<u32>,
    said: usize,
    capacity: usize,
    seen: Vec<Vec<u32>>,
    randoms: Vec<f64>,
    resets: usize,
}

impl FakeModel {
    fn new(answer: impl AsRef<[u8]>) -> FakeModel {
        let mut answer: Vec<u32> = answer.as_ref().iter().map(|b| u32::from(*b)).collect();
        answer.push(END);
        FakeModel { answer, said: 0, capacity: 1000, seen: vec![], randoms: vec![], resets: 0 }
    }
}

const END: u32 = 256;

impl LanguageModel for FakeModel {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn reset(&mut self) -> Result<()> {
        self.resets += 1;
        self.said = 0;
        self.seen.clear();
        Ok(())
    }

    fn next(&mut self, tokens: &[u32], choice: &Choice<'_>) -> Result<u32> {
        self.seen.push(tokens.to_vec());
        self.randoms.push(choice.random);
        assert_eq!(choice.previous.len(), self.seen.iter().map(Vec::len).sum::<usize>());
        self.said += 1;
        Ok(self.answer[self.said - 1])
    }
}

fn bytes(tokens: &[u32]) -> Result<String> {
    let bytes: Vec<u8> = tokens.iter().filter_map(|t| u8::try_from(*t).ok()).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn generate(model: &mut FakeModel, options: &GenerateOptions) -> (Generated, Vec<String>) {
    let mut pieces = Vec::new();
    let parts = Loop { decode: &bytes, stop_tokens: &[END] };
    let result = parts.run(model, &[1, 2, 3], options, &mut |piece| {
        pieces.push(piece.to_owned());
        ControlFlow::Continue(())
    });
    (result.unwrap(), pieces)
}

#[test]
fn the_prompt_goes_in_once_and_then_each_token() {
    let mut model = FakeModel::new("fox");
    let (answer, pieces) = generate(&mut model, &GenerateOptions::default());
    assert_eq!(model.seen, [vec![1, 2, 3], vec![102], vec![111], vec![120]]);
    assert_eq!((answer.text.as_str(), answer.finish_reason), ("fox", FinishReason::StopToken));
    assert_eq!((answer.tokens, answer.prompt_tokens, model.resets), (vec![102, 111, 120], 3, 1));
    assert_eq!(pieces, ["f", "o", "x"]);
}

#[test]
fn characters_come_whole() {
    let text = "é雪🦊 x\u{fffd}!";
    let (answer, pieces) = generate(&mut FakeModel::new(text), &GenerateOptions::default());
    assert_eq!(answer.text, text);
    let pieces: Vec<_> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    assert_eq!(pieces, ["é", "雪", "🦊", " ", "x", "\u{fffd}!"]);
    // Bytes that are no text become U+FFFD, as in the whole.
    let broken = [0xf0, 0x9f, b'a', 0xff, 0xfe, b'b', 0xe9, 0x9b];
    let (answer, pieces) = generate(&mut FakeModel::new(broken), &GenerateOptions::default());
    assert_eq!(answer.text, String::from_utf8_lossy(&broken));
    assert_eq!(pieces.concat(), answer.text);
}

#[test]
fn a_stop_text_ends_the_answer_and_is_never_shown() {
    let options = |stop: &[&str]| GenerateOptions {
        stop: stop.iter().map(|s| (*s).to_owned()).collect(),
        ..GenerateOptions::default()
    };
    let (answer, pieces) = generate(&mut FakeModel::new("a fo\n\nx"), &options(&["\n\n", "foo"]));
    assert_eq!((answer.text.as_str(), answer.finish_reason), ("a fo", FinishReason::StopText));
    assert_eq!(pieces.concat(), "a fo");
    // What only began like one is shown after all.
    let (answer, pieces) = generate(&mut FakeModel::new("a fo\nox fo"), &options(&["\n\n", "foo"]));
    assert_eq!((answer.text.as_str(), pieces.concat().as_str()), ("a fo\nox fo", "a fo\nox fo"));
    assert_eq!(answer.finish_reason, FinishReason::StopToken);
}

#[test]
fn every_limit_ends_it_by_its_name() {
    let limited = |options: GenerateOptions, capacity: usize| {
        let mut model = FakeModel { capacity, ..FakeModel::new("0123456789") };
        let (answer, _) = generate(&mut model, &options);
        (answer.text, answer.finish_reason)
    };
    let options = GenerateOptions::default;
    let four = GenerateOptions { max_new_tokens: 4, ..options() };
    assert_eq!(limited(four, 100), ("0123".into(), FinishReason::MaxNewTokens));
    assert_eq!(limited(options(), 8), ("01234".into(), FinishReason::Capacity));
    let late = GenerateOptions { deadline: Some(Duration::ZERO), ..options() };
    assert_eq!(limited(late, 100), (String::new(), FinishReason::Deadline));

    let mut count = 0;
    let parts = Loop { decode: &bytes, stop_tokens: &[] };
    let answer = parts.run(&mut FakeModel::new("0123456789"), &[7], &options(), &mut |_| {
        count += 1;
        if count == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let answer = answer.unwrap();
    assert_eq!((answer.text.as_str(), answer.finish_reason), ("012", FinishReason::Cancelled));
}

#[test]
fn a_seed_gives_the_same_numbers() {
    let numbers = |seed| {
        let mut model = FakeModel::new("fox");
        let (answer, _) = generate(&mut model, &GenerateOptions { seed, ..GenerateOptions::default() });
        (answer.seed, model.randoms)
    };
    assert_eq!(numbers(Some(5)), numbers(Some(5)));
    assert_ne!(numbers(Some(5)).1, numbers(Some(6)).1);
    let (drawn, randoms) = numbers(None);
    assert_eq!(numbers(Some(drawn)).1, randoms);
}

#[test]
fn what_cannot_be_is_refused_before_the_model_runs() {
    let mut model = FakeModel { capacity: 3, ..FakeModel::new("x") };
    let parts = Loop { decode: &bytes, stop_tokens: &[] };
    let mut refused = |prompt: &[u32], options: GenerateOptions| {
        parts.run(&mut model, prompt, &options, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string()
    };
    let options = GenerateOptions::default;
    assert_eq!(refused(&[], options()), "prompt must be from 1 to 2 tokens, got 0");
    assert_eq!(refused(&[1, 2, 3], options()), "prompt must be from 1 to 2 tokens, got 3");
    let none = GenerateOptions { max_new_tokens: 0, ..options() };
    assert_eq!(refused(&[1], none), "max_new_tokens must be at least 1, got 0");
    let empty = GenerateOptions { stop: vec![String::new()], ..options() };
    assert_eq!(refused(&[1], empty), "stop must be texts of at least one character, got an empty one");
    let hot = Sampling { temperature: -1.0, ..Sampling::default() };
    let hot = GenerateOptions { sampling: hot, ..options() };
    assert_eq!(refused(&[1], hot), "temperature must be 0 or more, got -1");
    assert_eq!(model.resets, 0);
}
