//! Tokens per second at batch 1, and the time to the first; or tiny checkpoints beside their goldens.
//!
//! `cargo run --release -p ourvidz-qwen --example bench_qwen -- MODEL [DEVICE] [WEIGHTS] [PROMPT] [TOKENS] [OUT] [ATTENTION]`
//! `cargo run --release -p ourvidz-qwen --example bench_qwen -- check GOLDENS DEVICE [ATTENTION]`
//!
//! PROMPT and TOKENS are numbers of tokens, 200 and 128; the prompt's ids are (7919 i) mod 150000. OUT is a file for
//! `token_ids` [T] and `logits` [T, V] of the prompt and 32 tokens behind it, for `scripts/bench_hf_qwen.py`. GOLDENS is
//! `tests/golden/qwen`. OUT `-` writes nothing. ATTENTION is what attends to the cache on CUDA: `own` (our
//! operator, the default), `group-query` (ONNX Runtime's), or in the first form `both`, one behind the other.
#![allow(clippy::print_stdout)]

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ourvidz_qwen::graphs::CacheAttention;
use ourvidz_qwen::{Device, GenerateOptions, QwenPipeline, Sampling, WeightType};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize, default: &str| arguments.get(i).cloned().unwrap_or_else(|| default.to_owned());
    if argument(0, "") == "check" {
        let attention = argument(3, "own").parse()?;
        return check(Path::new(&argument(1, "tests/golden/qwen")), argument(2, "cpu").parse()?, attention);
    }
    let folder = arguments.first().context("a model's folder")?;
    let (device, weights): (Device, WeightType) = (argument(1, "cpu").parse()?, argument(2, "bf16").parse()?);
    let (prompt, tokens): (u64, usize) = (argument(3, "200").parse()?, argument(4, "128").parse()?);
    let names = match argument(6, "own").as_str() {
        "both" => vec!["group-query".to_owned(), "own".to_owned()],
        name => vec![name.to_owned()],
    };
    for name in &names {
        let start = Instant::now();
        let builder = QwenPipeline::builder(folder).device(device).weights(weights).capacity(2048);
        let mut qwen = builder.cache_attention(name.parse()?).load()?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{weights} on {device}, {name}: loaded in {seconds:.1} s");
        let rows = qwen.config().vocab_size as u64;
        let ids: Vec<u32> = (0..prompt).map(|i| (7919 * i % rows.min(150_000)) as u32).collect();
        measure(&mut qwen, &ids, tokens, &format!("{weights} {name}"))?;
        if let Some(out) = arguments.get(5).filter(|out| *out != "-") {
            // Of both, each in a file of its own.
            let out = if names.len() > 1 { format!("{out}.{name}") } else { out.clone() };
            write(Path::new(&out), &mut qwen, &ids)?;
        }
    }
    Ok(())
}

/// Prints tokens per second, greedy and sampled: medians of three behind one.
fn measure(qwen: &mut QwenPipeline, ids: &[u32], tokens: usize, what: &str) -> Result<()> {
    let sampled = Sampling { temperature: 0.7, top_k: Some(20), top_p: 0.9, repetition_penalty: 1.1 };
    for (name, sampling) in [("greedy", greedy()), ("sampled", sampled)] {
        let options = options(sampling, tokens);
        qwen.generate(ids, &options, &mut |_| ControlFlow::Continue(()))?;
        let mut rates = Vec::new();
        let mut firsts = Vec::new();
        for _ in 0..3 {
            let answer = qwen.generate(ids, &options, &mut |_| ControlFlow::Continue(()))?;
            ensure!(
                answer.tokens.len() == tokens,
                "{} tokens: {:?}",
                answer.tokens.len(),
                answer.finish_reason
            );
            rates.push((tokens - 1) as f64 / (answer.seconds - answer.first_token_seconds));
            firsts.push(answer.first_token_seconds * 1e3);
        }
        rates.sort_by(f64::total_cmp);
        firsts.sort_by(f64::total_cmp);
        println!(
            "{what} {name}: {:.1} tok/s ({rates:.1?}), prompt {} and first token {:.2} ms ({firsts:.2?})",
            rates[1],
            ids.len(),
            firsts[1]
        );
    }
    Ok(())
}

fn greedy() -> Sampling {
    Sampling { temperature: 0.0, repetition_penalty: 1.0, ..Sampling::default() }
}

fn options(sampling: Sampling, max_new_tokens: usize) -> GenerateOptions {
    GenerateOptions { max_new_tokens, sampling, seed: Some(1), ..GenerateOptions::default() }
}

/// The tokens that recorded steps choose, and the logits of runs that are not recorded.
fn write(out: &Path, qwen: &mut QwenPipeline, ids: &[u32]) -> Result<()> {
    let answer = qwen.generate(ids, &options(greedy(), 32), &mut |_| ControlFlow::Continue(()))?;
    let all = [ids, &answer.tokens].concat();
    let logits = qwen.logits(&all)?;
    let bytes: Vec<u8> = logits.iter().flat_map(|x| x.to_le_bytes()).collect();
    let tokens: Vec<u8> = all.iter().flat_map(|id| i64::from(*id).to_le_bytes()).collect();
    let shape = vec![all.len(), logits.len() / all.len()];
    let tensors = [
        ("token_ids", TensorView::new(Dtype::I64, vec![all.len()], &tokens)?),
        ("logits", TensorView::new(Dtype::F32, shape, &bytes)?),
    ];
    Ok(safetensors::serialize_to_file(tensors, None, out)?)
}

/// Logits and greedy tokens of the tiny checkpoints, in every type of weights.
fn check(goldens: &Path, device: Device, attention: CacheAttention) -> Result<()> {
    let all = [WeightType::Fp32, WeightType::Fp16, WeightType::Bf16, WeightType::Int4];
    for model in ["qwen2_tied", "qwen2_untied", "qwen3"] {
        let folder = goldens.join(model);
        let bytes = std::fs::read(folder.join("golden.safetensors"))?;
        let golden = SafeTensors::deserialize(&bytes)?;
        let floats = |name: &str| -> Result<Vec<f32>> {
            Ok(golden
                .tensor(name)?
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect())
        };
        let ids = |name: &str| -> Result<Vec<u32>> {
            let tensor = golden.tensor(name)?;
            Ok(tensor.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect())
        };
        let (prompt, decoded) = (ids("prompt_ids")?, ids("decoded_ids")?);
        let expected = [floats("prompt_logits")?, floats("decoded_logits")?].concat();
        for weights in
            all.iter().filter(|w| device != Device::Cpu || matches!(w, WeightType::Fp32 | WeightType::Int4))
        {
            let builder = QwenPipeline::builder(&folder).device(device).weights(*weights);
            let mut qwen = builder.cache_attention(attention).load()?;
            let whole = qwen.logits(&[&prompt[..], &decoded].concat())?;
            // One token at a time behind the prompt: the products of one row.
            let steps = qwen.logits_in_steps(&prompt, &decoded)?;
            let answer =
                qwen.generate(&prompt, &options(greedy(), 32), &mut |_| ControlFlow::Continue(()))?;
            let same = answer.tokens.iter().zip(&decoded).take_while(|(a, b)| a == b).count();
            println!(
                "{model:13} {weights}: whole {:.1e}, in steps {:.1e}, steps to whole {:.1e}, {same} of 32 greedy tokens",
                error(&whole, &expected),
                error(&steps, &expected),
                error(&steps, &whole),
            );
        }
    }
    Ok(())
}

fn error(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let difference: f64 =
        found.iter().zip(expected).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (difference / expected.iter().map(|b| square(f64::from(*b))).sum::<f64>()).sqrt()
}
