use ourvidz_runtime::{Bound, Buffers, DType, DeviceTensor, KeepingRun, Session, Target, Tensor};

use super::{QwenConfig, cache_names};
use crate::generate::{Choice, LanguageModel};
use crate::{Error, Result};

/// Runs a decoder on one text at a time and keeps its keys and values on the device.
#[derive(Debug)]
pub struct Decoder {
    session: Session,
    config: QwenConfig,
    capacity: usize,
    used: usize,
    cache: Cache,
}

#[derive(Debug)]
enum Cache {
    /// Given by one run and taken by the next; nothing before the first.
    Growing(Vec<DeviceTensor>),
    /// Written in place.
    Shared(Box<Shared>),
}

#[derive(Debug)]
struct Shared {
    buffers: Buffers,
    /// One token, every tensor at an address of its own: what a CUDA graph repeats.
    step: Bound,
}

/// Logits that a recorded step gives with their tokens.
const TOP: usize = 64;

/// Number of the recorded step.
const STEP: u32 = 1;

impl Decoder {
    /// Takes a session of the graph that [`build`](super::build) made for `target` with logits, `top` among them on
    /// `Target::Cuda`, and with this capacity.
    ///
    /// # Errors
    /// The memory of the cache is not there.
    pub fn new(session: Session, config: QwenConfig, target: Target, capacity: usize) -> Result<Decoder> {
        let cache = match target {
            Target::Portable | Target::Cpu => Cache::Growing(vec![]),
            Target::Cuda => Cache::Shared(Box::new(Shared::new(&session, &config, capacity)?)),
        };
        Ok(Decoder { session, config, capacity, used: 0, cache })
    }

    /// Configuration of the model.
    pub fn config(&self) -> &QwenConfig {
        &self.config
    }

    /// Tokens in the cache.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Appends tokens to the cache: logits [1, T, V] of all of them in f32, or [1, 1, V] of the last.
    ///
    /// # Errors
    /// [`Error::Tokens`] without tokens, for more than there is room for, and for one outside the vocabulary; ONNX
    /// Runtime fails.
    pub fn logits(&mut self, tokens: &[u32], all: bool) -> Result<Tensor> {
        self.check(tokens)?;
        let positions = if all { 0..tokens.len() } else { tokens.len() - 1..tokens.len() };
        let found = match &mut self.cache {
            Cache::Growing(_) => self.grow(tokens, positions.map(|p| p as i64).collect()),
            Cache::Shared(_) => {
                let positions: Vec<i64> = positions.map(|p| p as i64).collect();
                let outputs = self.append(tokens, &positions, &["logits"])?;
                outputs.into_iter().next().ok_or(Error::NothingToChoose { count: 0 })
            }
        }?;
        self.used += tokens.len();
        Ok(found)
    }

    fn check(&self, tokens: &[u32]) -> Result<()> {
        let refuse = |rule: String, value: String| Err(Error::Tokens { rule, value });
        if tokens.is_empty() {
            return refuse("at least one".into(), "none".into());
        }
        let room = self.capacity - self.used;
        if tokens.len() > room {
            return refuse(format!("at most {room} ({} in all)", self.capacity), tokens.len().to_string());
        }
        let rows = self.config.vocab_size;
        match tokens.iter().find(|token| **token as usize >= rows) {
            Some(token) => refuse(format!("below {rows}, the rows of the embedding"), token.to_string()),
            None => Ok(()),
        }
    }

    /// A run whose cache grows.
    fn grow(&mut self, tokens: &[u32], logit_positions: Vec<i64>) -> Result<Tensor> {
        let Cache::Growing(cache) = &mut self.cache else {
            return Err(Error::NothingToChoose { count: 0 });
        };
        let (c, total) = (&self.config, self.used + tokens.len());
        let range = |from: usize, to: usize| (from..to).map(|n| n as i64).collect::<Vec<_>>();
        let ids = Tensor::i64(&[1, tokens.len()], tokens.iter().map(|t| i64::from(*t)).collect())?;
        let positions = Tensor::i64(&[tokens.len()], range(self.used, total))?;
        let key_positions = Tensor::i64(&[total], range(0, total))?;
        let logit_positions = Tensor::i64(&[logit_positions.len()], logit_positions)?;
        let none = Tensor::f32(&[1, c.num_key_value_heads, 0, c.head_dim()], vec![])?;
        let names: Vec<(String, String)> = (0..c.num_hidden_layers).flat_map(cache_names).collect();
        let mut inputs = vec![
            ("input_ids", &ids),
            ("positions", &positions),
            ("key_positions", &key_positions),
            ("logit_positions", &logit_positions),
        ];
        if cache.is_empty() {
            inputs.extend(names.iter().map(|(past, _)| (past.as_str(), &none)));
        }
        let kept: Vec<_> = names.iter().map(|(past, _)| past.as_str()).zip(&*cache).collect();
        let keep: Vec<_> = names.iter().map(|(_, present)| present.as_str()).collect();
        let run = KeepingRun { inputs: &inputs, kept: &kept, outputs: &["logits"], keep: &keep };
        let (mut host, kept) = self.session.run_keeping(run)?;
        *cache = kept;
        Ok(host.remove(0))
    }

    /// A run that writes the cache in place and gives `outputs` on the host.
    fn append(&mut self, tokens: &[u32], logit_positions: &[i64], outputs: &[&str]) -> Result<Vec<Tensor>> {
        let Cache::Shared(shared) = &mut self.cache else { return Ok(vec![]) };
        let total = (self.used + tokens.len()) as i64;
        let ids = Tensor::i64(&[1, tokens.len()], tokens.iter().map(|t| i64::from(*t)).collect())?;
        let last = Tensor::i64(&[1], vec![total - 1])?;
        let total = Tensor::i64(&[1], vec![total])?;
        let logit_positions = Tensor::i64(&[logit_positions.len()], logit_positions.to_vec())?;
        let inputs = [
            ("input_ids", &ids),
            ("seqlens_k", &last),
            ("total_sequence_length", &total),
            ("logit_positions", &logit_positions),
        ];
        let mut bound = self.session.bound(&inputs, outputs)?;
        shared.bind_cache(&self.session, &self.config, &mut bound)?;
        Ok(self.session.run_bound(&mut bound, &[])?)
    }

    /// One token by the recorded step, whose results stay in buffers.
    fn step(&mut self, token: u32) -> Result<()> {
        let Cache::Shared(shared) = &mut self.cache else { return Ok(()) };
        let ids = Tensor::i64(&[1, 1], vec![token.into()])?;
        let last = Tensor::i64(&[1], vec![self.used as i64])?.to_dtype(DType::I32)?;
        shared.buffers.write_all(&[("input_ids", &ids), ("seqlens_k", &last)])?;
        Ok(self.session.run_in_place(&mut shared.step, Some(STEP))?)
    }
}

impl LanguageModel for Decoder {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn reset(&mut self) -> Result<()> {
        self.used = 0;
        if let Cache::Growing(cache) = &mut self.cache {
            cache.clear();
        }
        Ok(())
    }

    fn next(&mut self, tokens: &[u32], choice: &Choice<'_>) -> Result<u32> {
        if matches!(self.cache, Cache::Growing(_)) {
            return choice.of_all(&mut self.logits(tokens, false)?.into_f32());
        }
        self.check(tokens)?;
        let single = tokens.len() == 1 && self.used > 0;
        let mut of_prompt = if single {
            self.step(tokens[0])?;
            None
        } else {
            let last = [tokens.len() as i64 - 1];
            Some(self.append(tokens, &last, &["top_logits", "top_tokens", "logits"])?)
        };
        self.used += tokens.len();
        let Cache::Shared(shared) = &mut self.cache else {
            return Err(Error::NothingToChoose { count: 0 });
        };
        let mut output = |i: usize, name: &str| match &mut of_prompt {
            Some(outputs) => Ok(std::mem::replace(&mut outputs[i], Tensor::i64(&[0], vec![])?)),
            None => shared.buffers.read(name),
        };
        let top_tokens = output(1, "top_tokens")?;
        let top_tokens: Vec<u32> = top_tokens.into_f32().into_iter().map(|t| t as u32).collect();
        let likeliest = top_tokens.first().copied();
        let chosen = match (choice.takes_likeliest(), likeliest) {
            (true, Some(token)) => token,
            _ => match choice.of_top(&output(0, "top_logits")?.into_f32(), &top_tokens)? {
                Some(token) => token,
                None => choice.of_all(&mut output(2, "logits")?.into_f32())?,
            },
        };
        Ok(chosen)
    }
}

impl Shared {
    fn new(session: &Session, config: &QwenConfig, capacity: usize) -> Result<Shared> {
        let mut buffers = session.buffers()?;
        let dtype = session.input_precision("past.0.key").map_or(DType::F32, |p| p.dtype());
        let shape = [1, config.num_key_value_heads, capacity, config.head_dim()];
        for i in 0..config.num_hidden_layers {
            for (past, _) in cache_names(i) {
                buffers.add(&past, dtype, &shape)?;
            }
        }
        buffers.add("input_ids", DType::I64, &[1, 1])?;
        buffers.add("seqlens_k", DType::I32, &[1])?;
        buffers.add("logit_positions", DType::I64, &[1])?;
        buffers.add("logits", DType::F32, &[1, 1, config.vocab_size])?;
        for name in ["top_logits", "top_tokens"] {
            buffers.add(name, DType::F32, &[1, 1, TOP])?;
        }
        let step = session.unbound()?;
        let mut shared = Shared { buffers, step };
        let mut step = session.unbound()?;
        shared.bind_cache(session, config, &mut step)?;
        for name in ["input_ids", "seqlens_k", "logit_positions"] {
            session.set_buffer(&mut step, name, &shared.buffers, name)?;
        }
        // The host's number is recorded with the step: it is always that of a full cache, and `seqlens_k` counts.
        session.set(&mut step, "total_sequence_length", &Tensor::i64(&[1], vec![capacity as i64])?)?;
        for name in ["logits", "top_logits", "top_tokens"] {
            session.set_output(&mut step, name, &mut shared.buffers, name)?;
        }
        shared.step = step;
        Ok(shared)
    }

    fn bind_cache(&mut self, session: &Session, config: &QwenConfig, bound: &mut Bound) -> Result<()> {
        for (past, present) in (0..config.num_hidden_layers).flat_map(cache_names) {
            session.set_buffer(bound, &past, &self.buffers, &past)?;
            session.set_output(bound, &present, &mut self.buffers, &past)?;
        }
        Ok(())
    }
}
