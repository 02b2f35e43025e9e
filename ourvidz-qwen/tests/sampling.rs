//! Processed logits against transformers 5.17.0; made by `scripts/goldens/qwen_sampling.py`.
#![allow(clippy::unwrap_used)]

use ourvidz_qwen::{Error, Sampling};
use serde_json::Value;

/// Every step left out.
const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: None, top_p: 1.0, repetition_penalty: 1.0 };

fn floats(value: &Value) -> Vec<f32> {
    let float = |v: &Value| v.as_f64().map_or(f32::NEG_INFINITY, |v| v as f32);
    value.as_array().unwrap().iter().map(float).collect()
}

#[test]
fn processed_logits_equal_transformers() {
    let golden: Value = serde_json::from_str(include_str!("golden/sampling.json")).unwrap();
    let cases = golden.as_array().unwrap();
    assert!(cases.len() >= 12);
    for (i, case) in cases.iter().enumerate() {
        let number = |field: &str| case[field].as_f64().map_or(1.0, |v| v as f32);
        let sampling = Sampling {
            temperature: number("temperature"),
            top_k: case["top_k"].as_u64().map(|k| k as usize),
            top_p: number("top_p"),
            repetition_penalty: number("repetition_penalty"),
        };
        let previous: Vec<u32> = serde_json::from_value(case["previous"].clone()).unwrap();
        let mut logits = floats(&case["logits"]);
        sampling.process(&mut logits, &previous).unwrap();
        for (token, (found, expected)) in logits.iter().zip(floats(&case["processed"])).enumerate() {
            // The same f32 operations in the same order; only torch's division may be by a reciprocal.
            let near = *found == expected || (found - expected).abs() <= expected.abs() * 1.2e-7;
            assert!(near, "case {i}, token {token}: {found} against {expected} ({sampling:?})");
        }
    }
}

#[test]
fn draws_follow_the_probabilities() {
    // Probabilities 1/8, 2/8, 0, 5/8.
    let logits = [1.0_f32.ln(), 2.0_f32.ln(), f32::NEG_INFINITY, 5.0_f32.ln()];
    let next = |random| PLAIN.next_token(&mut logits.clone(), &[], random).unwrap();
    let cases = [(0.0, 0), (0.12, 0), (0.13, 1), (0.37, 1), (0.38, 3), (0.999_999_999_999, 3)];
    for (random, token) in cases {
        assert_eq!(next(random), token, "{random}");
    }
}

#[test]
fn zero_temperature_takes_the_first_of_the_highest() {
    let greedy = Sampling { temperature: 0.0, top_k: Some(1), top_p: 0.1, ..PLAIN };
    for random in [0.0, 0.99] {
        assert_eq!(greedy.next_token(&mut [1.0, 3.0, 3.0, -2.0], &[], random).unwrap(), 1);
    }
    let penalised = Sampling { repetition_penalty: 2.0, ..greedy };
    assert_eq!(penalised.next_token(&mut [2.0, 3.0, 1.0], &[1, 1], 0.0).unwrap(), 0);
    assert_eq!(penalised.next_token(&mut [-2.0, -3.0], &[0], 0.0).unwrap(), 1);
}

#[test]
fn a_temperature_that_overflows_is_an_error() {
    let tiny = Sampling { temperature: 1e-40, ..PLAIN };
    let error = tiny.next_token(&mut [-1.0, 3.0, 0.5], &[], 0.5).unwrap_err();
    assert!(matches!(error, Error::Logit { token: 1, value: f32::INFINITY }), "{error}");
}

#[test]
fn top_p_of_zero_keeps_the_most_likely_token() {
    let mut logits = [1.0, 3.0, 2.0];
    Sampling { top_p: 0.0, ..PLAIN }.process(&mut logits, &[]).unwrap();
    assert_eq!(logits, [f32::NEG_INFINITY, 3.0, f32::NEG_INFINITY]);
}

#[test]
fn wrong_parameters_are_refused_by_name() {
    let cases = [
        ("temperature", Sampling { temperature: -0.1, ..PLAIN }),
        ("temperature", Sampling { temperature: f32::NAN, ..PLAIN }),
        ("top_k", Sampling { top_k: Some(0), ..PLAIN }),
        ("top_p", Sampling { top_p: 1.5, ..PLAIN }),
        ("repetition_penalty", Sampling { repetition_penalty: 0.0, ..PLAIN }),
    ];
    for (name, sampling) in cases {
        match sampling.next_token(&mut [0.0], &[], 0.0) {
            Err(Error::Sampling { field, .. }) => assert_eq!(field, name),
            other => assert_eq!(format!("{other:?}"), "an error", "{name}"),
        }
    }
    assert!(PLAIN.next_token(&mut [0.0], &[], 1.0).is_err());
}

#[test]
fn logits_without_a_choice_are_errors() {
    let next = |logits: &mut [f32], previous: &[u32]| PLAIN.next_token(logits, previous, 0.5).unwrap_err();
    assert!(matches!(next(&mut [], &[]), Error::NothingToChoose { count: 0 }));
    assert!(matches!(next(&mut [f32::NEG_INFINITY; 2], &[]), Error::NothingToChoose { count: 2 }));
    assert!(matches!(next(&mut [0.0, f32::NAN], &[]), Error::Logit { token: 1, .. }));
    assert!(matches!(next(&mut [0.0, 1.0], &[2]), Error::Token { token: 2, vocabulary: 2 }));
}

/// The highest logits are enough, or it is said that they are not.
#[test]
fn a_draw_from_the_highest_is_the_draw_from_all() {
    use proptest::prelude::*;
    let mut enough = 0;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let logits = prop::collection::vec(-8i8..8, 40);
    let choice = (0u8..3, prop::option::of(1usize..12), 0.1f32..1.0, 0.8f32..1.6, 0.0f64..1.0);
    let case = (logits, prop::collection::vec(0u32..40, 0..20), choice);
    let check = |(logits, previous, (heat, top_k, top_p, penalty, random)): (Vec<i8>, Vec<u32>, _)| {
        let repetition_penalty = if random < 0.2 { 1.0 } else { penalty };
        let sampling = Sampling { temperature: f32::from(heat) * 0.6, top_k, top_p, repetition_penalty };
        let logits: Vec<f32> = logits.into_iter().map(|n| f32::from(n) * 0.5).collect();
        let mut order: Vec<u32> = (0..40).collect();
        order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
        order.truncate(16);
        let top: Vec<f32> = order.iter().map(|token| logits[*token as usize]).collect();
        let expected = sampling.next_token(&mut logits.clone(), &previous, random).unwrap();
        if let Some(token) = sampling.next_token_of_top(&top, &order, &previous, random).unwrap() {
            prop_assert_eq!(token, expected);
            enough += 1;
        }
        Ok(())
    };
    let check = std::cell::RefCell::new(check);
    runner.run(&case, |case| (check.borrow_mut())(case)).unwrap();
    assert!(enough > 60, "{enough}");
}
