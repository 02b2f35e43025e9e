//! Tiny checkpoints through the whole pipeline, on the processor.

mod common;

use std::ops::ControlFlow;

use anyhow::{Context, Result, ensure};
use common::{Golden, MODELS, error, folder};
use ourvidz_qwen::{
    ChatRequest, ChatTemplate, CompleteRequest, EnhancePrompt, EnhanceStyle, EnhancementSource, FinishReason,
    GenerateOptions, Message, QwenPipeline, RenderOptions, Sampling, WeightType,
};
use serde_json::Value;

fn load(model: &str) -> Result<QwenPipeline> {
    Ok(QwenPipeline::builder(folder(model)).threads(1).cache_folder(cache()).load()?)
}

fn cache() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("qwen_weights")
}

fn greedy(max_new_tokens: usize) -> GenerateOptions {
    let sampling = Sampling { temperature: 0.0, repetition_penalty: 1.0, ..Sampling::default() };
    GenerateOptions { max_new_tokens, sampling, ..GenerateOptions::default() }
}

fn text(model: &str, field: &str) -> Result<String> {
    let text: Value = serde_json::from_str(&std::fs::read_to_string(folder(model).join("text.json"))?)?;
    Ok(text[field].as_str().context("a text")?.to_owned())
}

#[test]
fn greedy_text_is_the_reference_s() -> Result<()> {
    for model in MODELS {
        let mut qwen = load(model)?;
        let request = CompleteRequest { options: greedy(32), ..CompleteRequest::new(text(model, "prompt")?) };
        let mut streamed = String::new();
        let answer = qwen.complete_with(&request, |piece| {
            streamed.push_str(piece);
            ControlFlow::Continue(())
        })?;
        ensure!(answer.text == text(model, "text")?, "{model}: {:?}", answer.text);
        ensure!(streamed == answer.text, "{model}: {streamed:?}");
        ensure!(answer.finish_reason == FinishReason::MaxNewTokens);
        ensure!(answer.tokens == Golden::open(model)?.ids("decoded_ids")?);
        // The cache begins anew.
        ensure!(qwen.complete(&request)?.tokens == answer.tokens);
    }
    Ok(())
}

#[test]
fn recorded_logits_are_the_reference_s() -> Result<()> {
    let golden = Golden::open("qwen2_untied")?;
    let prompt = text("qwen2_untied", "prompt")?;
    let request = CompleteRequest { options: greedy(32), ..CompleteRequest::new(prompt) };
    let recorded = load("qwen2_untied")?.complete_recorded(&request, |_| ControlFlow::Continue(()))?;
    let ids = [golden.ids("prompt_ids")?, golden.ids("decoded_ids")?].concat();
    ensure!(recorded.token_ids == ids);
    let expected = [golden.floats("prompt_logits")?, golden.floats("decoded_logits")?].concat();
    let error = error(&recorded.logits, &expected);
    ensure!(error <= 1e-4, "{error:.1e}");
    Ok(())
}

#[test]
fn a_seed_gives_the_same_text() -> Result<()> {
    let mut qwen = load("qwen3")?;
    let sampling = Sampling { temperature: 1.5, top_k: None, ..Sampling::default() };
    let mut text = |seed| -> Result<_> {
        let options = GenerateOptions { max_new_tokens: 16, sampling, seed, ..GenerateOptions::default() };
        Ok(qwen.complete(&CompleteRequest { options, ..CompleteRequest::new("A red fox") })?)
    };
    let first = text(Some(3))?;
    ensure!(text(Some(3))?.tokens == first.tokens && text(Some(4))?.tokens != first.tokens);
    let drawn = text(None)?;
    ensure!(text(Some(drawn.seed))?.tokens == drawn.tokens);
    Ok(())
}

#[test]
fn conversations_go_through_the_template() -> Result<()> {
    let mut qwen = load("qwen2_tied")?;
    let messages = vec![Message::system("Be brief."), Message::user("A fox?")];
    let chat = ChatRequest { options: greedy(8), ..ChatRequest::new(messages) };
    let reply = qwen.chat(&chat)?;
    let config = std::fs::read_to_string(folder("qwen2_tied").join("tokenizer_config.json"))?;
    let asked = RenderOptions { add_generation_prompt: true, enable_thinking: None };
    let prompt = ChatTemplate::from_tokenizer_config(&config)?.render(&chat.messages, asked)?;
    ensure!(prompt.starts_with("<|im_start|>system\nBe brief.<|im_end|>"), "{prompt:?}");
    let raw = qwen.complete(&CompleteRequest { options: greedy(8), ..CompleteRequest::new(prompt) })?;
    ensure!(reply.generated.tokens == raw.tokens && reply.cut.is_none());
    ensure!(reply.generated.prompt_tokens == raw.prompt_tokens);

    let turned = ChatRequest { messages: vec![Message::assistant("no")], ..chat };
    let error = qwen.chat(&turned).err().map(|e| e.to_string()).unwrap_or_default();
    ensure!(error.starts_with("messages[0] (assistant)"), "{error}");
    Ok(())
}

/// As transformers saves it since 4.52; whether the model thinks is the request's, and enhancement asks for no thoughts.
#[test]
fn a_template_in_a_file_of_its_own_counts_first() -> Result<()> {
    let copy = tempfile::tempdir()?;
    for file in std::fs::read_dir(folder("qwen2_tied"))? {
        let file = file?;
        std::fs::copy(file.path(), copy.path().join(file.file_name()))?;
    }
    let template = "{{ messages[-1].content }}{{ ' quickly' if enable_thinking is false }}";
    std::fs::write(copy.path().join("chat_template.jinja"), template)?;
    let mut qwen = QwenPipeline::builder(copy.path()).cache_folder(copy.path()).load()?;
    for (enable_thinking, more) in [(None, ""), (Some(true), ""), (Some(false), " quickly")] {
        let chat = ChatRequest { options: greedy(2), ..ChatRequest::new(vec![Message::user("A fox?")]) };
        let reply = qwen.chat(&ChatRequest { enable_thinking, ..chat })?;
        let prompt = format!("A fox?{more}");
        let raw = qwen.complete(&CompleteRequest { options: greedy(2), ..CompleteRequest::new(prompt) })?;
        ensure!(reply.generated.tokens == raw.tokens, "{enable_thinking:?}");
        ensure!(reply.generated.prompt_tokens == raw.prompt_tokens, "{enable_thinking:?}");
    }
    Ok(())
}

/// A random model answers no prompt, but it answers each question in its own way.
#[test]
fn the_builder_says_how_a_model_is_asked() -> Result<()> {
    let answers = |qwen: &mut QwenPipeline, style| -> Result<String> {
        let request = EnhancePrompt { style, seed: Some(3), ..EnhancePrompt::new("fox in snow") };
        let request = EnhancePrompt { system_prompt: "More words.".into(), max_new_tokens: 20, ..request };
        let mut text = String::new();
        qwen.enhance_prompt_with(&request, |piece| {
            text.push_str(piece);
            ControlFlow::Continue(())
        })?;
        Ok(text)
    };
    let mut qwen = load("qwen2_tied")?;
    let builder = QwenPipeline::builder(folder("qwen2_tied")).threads(1).cache_folder(cache());
    let mut base = builder.enhance_style(EnhanceStyle::Base).load()?;
    let (by_builder, by_request) = (answers(&mut base, None)?, answers(&mut qwen, Some(EnhanceStyle::Base))?);
    ensure!(by_builder == by_request, "{by_builder:?} {by_request:?}");
    ensure!(answers(&mut qwen, None)? != by_builder && !by_builder.is_empty(), "{by_builder:?}");
    Ok(())
}

#[test]
fn long_conversations_keep_the_newest_turns() -> Result<()> {
    let mut qwen = load("qwen2_tied")?;
    let long = "snow and ice ".repeat(40);
    let messages = [Message::system("Be brief."), Message::user(&long), Message::assistant("yes")];
    let newest = [Message::user("A fox?")];
    let chat = ChatRequest { options: greedy(100), ..ChatRequest::new([&messages[..], &newest].concat()) };
    let reply = qwen.chat(&chat)?;
    let cut = reply.cut.context("something was cut")?;
    ensure!((cut.messages, cut.characters) == (2, 0), "{cut}");
    let short = ChatRequest { messages: [&messages[..1], &newest].concat(), ..chat.clone() };
    ensure!(qwen.chat(&short)?.generated.tokens == reply.generated.tokens);
    let none = ChatRequest { options: greedy(256), ..chat };
    let error = qwen.chat(&none).err().map(|e| e.to_string()).unwrap_or_default();
    ensure!(error.starts_with("max_new_tokens must be less than 256"), "{error}");
    Ok(())
}

#[test]
fn prompts_are_enhanced_in_both_styles() -> Result<()> {
    let mut qwen = load("qwen2_tied")?;
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    let chosen = [
        (None, EnhancementSource::Instruct),
        (Some(EnhanceStyle::Instruct), EnhancementSource::Instruct),
        (Some(EnhanceStyle::Base), EnhancementSource::Base),
    ];
    for (style, source) in chosen {
        let request = EnhancePrompt {
            style,
            sampling,
            max_new_tokens: 30,
            system_prompt: "More words.".into(),
            ..EnhancePrompt::new("fox in snow")
        };
        let result = qwen.enhance_prompt(&request)?;
        // A random model says what it says; whether that is a prompt, both ends are reported.
        ensure!(result.attempts >= 1 && result.tokens >= 1, "{result:?}");
        match result.source {
            EnhancementSource::Original => {
                ensure!(result.prompt == "fox in snow" && result.failure.is_some(), "{result:?}");
            }
            found => ensure!(found == source && result.prompt != "fox in snow", "{result:?}"),
        }
    }
    let none = EnhancePrompt { deadline: std::time::Duration::ZERO, ..EnhancePrompt::new("fox in snow") };
    let result = qwen.enhance_prompt(&none)?;
    ensure!(result.source == EnhancementSource::Original && result.prompt == "fox in snow");
    Ok(())
}

/// Weights of four bits are quantised into the cache folder, once, and progress is reported.
#[test]
fn four_bits_are_cached() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let load = || -> Result<_> {
        let mut reported = Vec::new();
        let builder = QwenPipeline::builder(folder("qwen3")).threads(1).cache_folder(cache.path());
        let qwen =
            builder.weights(WeightType::Int4).load_with(|p| reported.push((p.what.to_owned(), p.done)))?;
        Ok((qwen, reported))
    };
    let (mut first, reported) = load()?;
    ensure!(reported.iter().any(|(what, done)| what == "converting qwen" && *done > 0), "{reported:?}");
    let (mut second, reported) = load()?;
    ensure!(!reported.iter().any(|(what, _)| what == "converting qwen"), "{reported:?}");
    ensure!(std::fs::read_dir(cache.path())?.count() == 1);
    let request = CompleteRequest { options: greedy(12), ..CompleteRequest::new("A red fox") };
    ensure!(first.complete(&request)?.tokens == second.complete(&request)?.tokens);
    Ok(())
}

#[test]
fn what_cannot_be_loaded_is_named() -> Result<()> {
    let refused = |builder: ourvidz_qwen::QwenPipelineBuilder| match builder.load() {
        Ok(_) => "loaded".to_owned(),
        Err(error) => error.to_string(),
    };
    let new = || QwenPipeline::builder(folder("qwen3")).cache_folder(cache());
    let found = refused(new().capacity(257));
    ensure!(
        found == "capacity must be from 2 to 256, the model's max_position_embeddings, got 257",
        "{found}"
    );
    let found = refused(new().weights(WeightType::Bf16));
    ensure!(found == "precision: must be fp32 on cpu, got bf16", "{found}");
    let found = refused(new().precision(ourvidz_qwen::Precision::Fp32).weights(WeightType::Fp16));
    ensure!(found == "weights must be fp32, the precision, or int4, got fp16", "{found}");
    let found = refused(QwenPipeline::builder("no/such/folder"));
    ensure!(found.starts_with("configuration of the model not found"), "{found}");
    Ok(())
}
