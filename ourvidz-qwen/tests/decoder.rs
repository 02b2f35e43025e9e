//! Tiny decoders against transformers 5.17.0, whole arrays; made by `scripts/goldens/qwen_tiny.py`.

mod common;

use anyhow::{Result, ensure};
use common::{Golden, LOWERINGS, MODELS, decoder, error, hidden_states};
use ourvidz_qwen::graphs::Matrices;
use ourvidz_qwen::{Choice, LanguageModel, Sampling};
use ourvidz_runtime::Target;

#[test]
fn logits_of_prompt_and_of_cached_steps() -> Result<()> {
    for model in MODELS {
        let golden = Golden::open(model)?;
        let (prompt, decoded) = (golden.ids("prompt_ids")?, golden.ids("decoded_ids")?);
        ensure!(decoded.len() == 32);
        for lowering in LOWERINGS {
            let mut decoder = decoder(model, lowering, Matrices::Float)?;
            let found = decoder.logits(&prompt, true)?;
            ensure!(found.shape() == [1, prompt.len(), 512]);
            let of_prompt = error(&found.into_f32(), &golden.floats("prompt_logits")?);
            ensure!(of_prompt <= 1e-4, "{model} {lowering:?}: prompt {of_prompt:.1e}");
            let mut steps = Vec::new();
            for token in &decoded {
                steps.extend(decoder.logits(&[*token], false)?.into_f32());
            }
            let of_steps = error(&steps, &golden.floats("decoded_logits")?);
            ensure!(of_steps <= 1e-4, "{model} {lowering:?}: steps {of_steps:.1e}");
            ensure!(decoder.used() == prompt.len() + 32);
        }
    }
    Ok(())
}

/// A prompt in two parts is the prompt: the second sees the first in the cache.
#[test]
fn a_prompt_may_come_in_parts() -> Result<()> {
    for model in MODELS {
        let golden = Golden::open(model)?;
        let (prompt, expected) = (golden.ids("prompt_ids")?, golden.floats("prompt_logits")?);
        for lowering in LOWERINGS {
            let mut decoder = decoder(model, lowering, Matrices::Float)?;
            for round in 0..2 {
                let mut found = decoder.logits(&prompt[..20], true)?.into_f32();
                found.extend(decoder.logits(&prompt[20..], true)?.into_f32());
                let error = error(&found, &expected);
                ensure!(error <= 1e-4, "{model} {lowering:?} {round}: {error:.1e}");
                decoder.reset()?;
            }
        }
    }
    Ok(())
}

#[test]
fn the_likeliest_tokens_are_the_reference_s() -> Result<()> {
    let greedy = Sampling { temperature: 0.0, repetition_penalty: 1.0, ..Sampling::default() };
    for model in MODELS {
        let golden = Golden::open(model)?;
        let (prompt, decoded) = (golden.ids("prompt_ids")?, golden.ids("decoded_ids")?);
        for lowering in LOWERINGS {
            let mut decoder = decoder(model, lowering, Matrices::Float)?;
            let mut all = prompt.clone();
            let mut found = Vec::new();
            for i in 0..32 {
                let new = if i == 0 { prompt.as_slice() } else { &all[all.len() - 1..] };
                let choice = Choice { sampling: &greedy, previous: &all, random: 0.0 };
                let token = decoder.next(new, &choice)?;
                found.push(token);
                all.push(token);
            }
            ensure!(found == decoded, "{model} {lowering:?}: {found:?} {decoded:?}");
        }
    }
    Ok(())
}

/// Drawn from the highest logits on the device, or from all on the host: one token.
#[test]
fn all_lowerings_draw_the_same_tokens() -> Result<()> {
    let prompt = Golden::open("qwen3")?.ids("prompt_ids")?;
    let top_k = Sampling { temperature: 1.2, top_k: Some(40), top_p: 0.9, repetition_penalty: 1.1 };
    for sampling in [top_k, Sampling { top_k: None, ..top_k }, Sampling { repetition_penalty: 0.9, ..top_k }]
    {
        let mut texts = Vec::new();
        for lowering in LOWERINGS {
            let mut decoder = decoder("qwen3", lowering, Matrices::Float)?;
            let mut all = prompt.clone();
            for i in 0..24 {
                let random = f64::from(i * 37 % 24) / 24.0;
                let new = if i == 0 { prompt.as_slice() } else { &all[all.len() - 1..] };
                let token = decoder.next(new, &Choice { sampling: &sampling, previous: &all, random })?;
                all.push(token);
            }
            texts.push(all);
        }
        ensure!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        ensure!(texts[0][prompt.len()..].iter().collect::<std::collections::BTreeSet<_>>().len() > 8);
    }
    Ok(())
}

/// The reference rounds the same weights to four bits and back.
#[test]
fn matrices_of_four_bits() -> Result<()> {
    let golden = Golden::open("qwen2_tied")?;
    let (prompt, expected) = (golden.ids("prompt_ids")?, golden.floats("int4_logits")?);
    let whole = error(&golden.floats("prompt_logits")?, &expected);
    ensure!((0.03..0.5).contains(&whole), "rounding changes logits by {whole}");
    for lowering in LOWERINGS {
        let found = decoder("qwen2_tied", lowering, Matrices::Int4)?.logits(&prompt, true)?.into_f32();
        let error = error(&found, &expected);
        ensure!(error <= 1e-4, "{lowering:?}: {error:.1e}");
    }
    Ok(())
}

#[test]
fn hidden_states_need_no_cache() -> Result<()> {
    for model in MODELS {
        let golden = Golden::open(model)?;
        let prompt = golden.ids("prompt_ids")?;
        for target in [Target::Portable, Target::Cuda] {
            let found = hidden_states(model, target, &prompt)?;
            let error = error(&found, &golden.floats("hidden_states")?);
            ensure!(error <= 1e-4, "{model} {target:?}: {error:.1e}");
        }
    }
    Ok(())
}

#[test]
fn tokens_that_cannot_be_are_refused() -> Result<()> {
    for lowering in LOWERINGS {
        let mut decoder = decoder("qwen2_tied", lowering, Matrices::Float)?;
        let mut refused = |tokens: &[u32]| match decoder.logits(tokens, false) {
            Ok(_) => anyhow::bail!("{tokens:?} was taken"),
            Err(error) => Ok(error.to_string()),
        };
        ensure!(refused(&[])? == "tokens must be at least one, got none");
        ensure!(refused(&[512])? == "tokens must be below 512, the rows of the embedding, got 512");
        ensure!(refused(&[1; 97])? == "tokens must be at most 96 (96 in all), got 97");
        decoder.logits(&[1; 90], false)?;
        let error = decoder.logits(&[1; 7], false).err().map(|e| e.to_string()).unwrap_or_default();
        ensure!(error == "tokens must be at most 6 (96 in all), got 7", "{error}");
    }
    Ok(())
}
