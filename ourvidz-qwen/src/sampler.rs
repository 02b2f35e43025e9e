use crate::{Error, Result};

/// How the next token is chosen from the model's logits.
///
/// The steps and their order are those of transformers: repetition penalty, temperature, top-k, top-p.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the most likely token, whatever `top_k` and `top_p` are.
    pub temperature: f32,
    /// Keeps the k most likely tokens, and those as likely as the last of them. `None`: all.
    pub top_k: Option<usize>,
    /// Keeps the most likely tokens whose probabilities reach this sum. 1: all.
    pub top_p: f32,
    /// Divides positive and multiplies negative logits of tokens that occurred. 1: no change.
    pub repetition_penalty: f32,
}

impl Default for Sampling {
    /// The values of Qwen2.5-Instruct's `generation_config.json`.
    fn default() -> Self {
        Self { temperature: 0.7, top_k: Some(20), top_p: 0.8, repetition_penalty: 1.05 }
    }
}

impl Sampling {
    /// Chooses a token. `previous` are the tokens so far, prompt included, in any order.
    ///
    /// `random` is a number from 0 up to but not including 1, uniformly drawn by the caller; the same
    /// number gives the same token. The logits are left processed.
    pub fn next_token(&self, logits: &mut [f32], previous: &[u32], random: f64) -> Result<u32> {
        check("random", "from 0 up to but not including 1", random, (0.0..1.0).contains(&random))?;
        self.process(logits, previous)?;
        if self.temperature == 0.0 { most_likely(logits) } else { draw(logits, random) }
    }

    /// [`next_token`](Self::next_token) from the highest logits alone, highest first, and their tokens.
    ///
    /// The same token as from all logits, or nothing where those that are not given may matter: without `top_k`, with
    /// too few left after the penalty, or with a penalty below 1, which raises logits.
    pub fn next_token_of_top(
        &self,
        logits: &[f32],
        tokens: &[u32],
        previous: &[u32],
        random: f64,
    ) -> Result<Option<u32>> {
        self.check()?;
        let needed = if self.temperature == 0.0 { Some(1) } else { self.top_k };
        let (Some(needed), Some(lowest)) = (needed, logits.last().copied()) else { return Ok(None) };
        if self.repetition_penalty < 1.0 {
            return Ok(None);
        }
        // In the order of the vocabulary, as the others are.
        let mut given: Vec<(u32, f32)> = tokens.iter().copied().zip(logits.iter().copied()).collect();
        given.sort_unstable_by_key(|(token, _)| *token);
        let place = |token: &u32| given.binary_search_by_key(token, |(t, _)| *t).ok().map(|i| i as u32);
        let previous: Vec<u32> = previous.iter().filter_map(place).collect();
        let mut logits: Vec<f32> = given.iter().map(|(_, logit)| *logit).collect();
        let mut penalised = logits.clone();
        penalise(&mut penalised, &previous, self.repetition_penalty)?;
        // A penalty only lowers what is not given, so whatever stays above the lowest stays in its place.
        if penalised.iter().filter(|logit| **logit > lowest).count() < needed {
            return Ok(None);
        }
        let chosen = self.next_token(&mut logits, &previous, random)?;
        Ok(given.get(chosen as usize).map(|(token, _)| *token))
    }

    /// Applies the steps to the logits of one position; an excluded token's becomes negative infinity.
    ///
    /// With a temperature of 0 only the repetition penalty applies.
    pub fn process(&self, logits: &mut [f32], previous: &[u32]) -> Result<()> {
        self.check()?;
        check_logits(logits)?;
        penalise(logits, previous, self.repetition_penalty)?;
        if self.temperature == 0.0 {
            return Ok(());
        }
        logits.iter_mut().for_each(|logit| *logit /= self.temperature);
        check_logits(logits)?; // a small temperature can overflow
        if let Some(k) = self.top_k {
            keep_top_k(logits, k);
        }
        if self.top_p < 1.0 {
            keep_top_p(logits, self.top_p);
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<()> {
        let Self { temperature, top_k, top_p, repetition_penalty } = *self;
        let finite = |value: f32| value.is_finite() && value >= 0.0;
        check("temperature", "0 or more", temperature.into(), finite(temperature))?;
        check("top_k", "at least 1", 0.0, top_k != Some(0))?;
        check("top_p", "from 0 to 1", top_p.into(), (0.0..=1.0).contains(&top_p))?;
        let positive = finite(repetition_penalty) && repetition_penalty > 0.0;
        check("repetition_penalty", "more than 0", repetition_penalty.into(), positive)
    }
}

fn check(field: &'static str, rule: &'static str, value: f64, right: bool) -> Result<()> {
    if right { Ok(()) } else { Err(Error::Sampling { field, rule, value }) }
}

fn check_logits(logits: &[f32]) -> Result<()> {
    match logits.iter().enumerate().find(|(_, value)| value.is_nan() || **value == f32::INFINITY) {
        Some((token, &value)) => Err(Error::Logit { token, value }),
        None => Ok(()),
    }
}

/// Once per token, however often it occurred.
fn penalise(logits: &mut [f32], previous: &[u32], penalty: f32) -> Result<()> {
    let mut tokens = previous.to_vec();
    tokens.sort_unstable();
    tokens.dedup();
    let vocabulary = logits.len();
    for token in tokens {
        let logit = logits.get_mut(token as usize).ok_or(Error::Token { token, vocabulary })?;
        *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
    }
    Ok(())
}

fn keep_top_k(logits: &mut [f32], k: usize) {
    if k >= logits.len() {
        return;
    }
    let mut ordered = logits.to_vec();
    let (_, &mut last, _) = ordered.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    for logit in logits {
        if *logit < last {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// Goes up from the least likely token and excludes while the sum stays within 1 - p; the most likely
/// token always stays.
fn keep_top_p(logits: &mut [f32], p: f32) {
    let mut tokens: Vec<usize> = (0..logits.len()).collect();
    tokens.sort_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    let weights = weights(logits);
    let excluded = (1.0 - f64::from(p)) * weights.iter().sum::<f64>();
    let mut sum = 0.0;
    tokens.pop();
    for token in tokens {
        sum += weights[token];
        if sum > excluded {
            break;
        }
        logits[token] = f32::NEG_INFINITY;
    }
}

/// The first of the highest logits.
fn most_likely(logits: &[f32]) -> Result<u32> {
    let mut best = None;
    for (token, &logit) in (0..).zip(logits) {
        if logit > best.map_or(f32::NEG_INFINITY, |(_, highest)| highest) {
            best = Some((token, logit));
        }
    }
    best.map(|(token, _)| token).ok_or(Error::NothingToChoose { count: logits.len() })
}

/// The token at which the summed probabilities, in the order of the vocabulary, pass `random`.
fn draw(logits: &[f32], random: f64) -> Result<u32> {
    let weights = weights(logits);
    let mut left = random * weights.iter().sum::<f64>();
    let mut last = None;
    for (token, weight) in (0..).zip(weights).filter(|(_, weight)| *weight > 0.0) {
        if left < weight {
            return Ok(token);
        }
        left -= weight;
        last = Some(token);
    }
    // Rounding can leave a rest after the last token.
    last.ok_or(Error::NothingToChoose { count: logits.len() })
}

/// Probabilities before they are divided by their sum; all 0 when no token can be chosen.
fn weights(logits: &[f32]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |&logit: &f32| {
        if logit == f32::NEG_INFINITY { 0.0 } else { (f64::from(logit) - f64::from(highest)).exp() }
    };
    logits.iter().map(weight).collect()
}
