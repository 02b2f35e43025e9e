use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

/// What a job does to the worker that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Takes a few milliseconds.
    Sound,
    /// Takes longer than the lease.
    Long,
    /// Fails once, then is sound.
    Flaky,
    /// Sound, and its element is pushed twice, in two envelopes.
    Doubled,
    /// Sound, and pushed twice under its id, by a producer that asks for one.
    Once,
    /// Fails for good.
    Refused,
    /// Withdrawn before it is pushed.
    Cancelled,
    /// Ends the process, every time.
    Poison,
    /// No job, with an id.
    Misshapen,
    /// No job, without an id.
    Garbage,
}

/// Share of each kind in 1000 jobs, and how many there are at least; the rest is sound.
const SHARES: [(Kind, usize, usize); 9] = [
    (Kind::Long, 15, 3),
    (Kind::Flaky, 20, 4),
    (Kind::Doubled, 20, 4),
    (Kind::Once, 20, 4),
    (Kind::Refused, 10, 3),
    (Kind::Cancelled, 10, 3),
    (Kind::Poison, 8, 3),
    (Kind::Misshapen, 10, 3),
    (Kind::Garbage, 10, 3),
];

#[derive(Debug, Clone)]
pub(crate) struct TestJob {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) prompt: String,
    /// What is pushed; two for [`Kind::Doubled`] only.
    pub(crate) elements: Vec<String>,
}

/// What the handler of a job of this prompt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conduct {
    pub(crate) kind: Kind,
    pub(crate) milliseconds: u64,
}

impl TestJob {
    /// What the handler leaves behind, the same however often it runs.
    pub(crate) fn effect(id: &str, prompt: &str) -> String {
        format!("{id}\n{prompt}\n")
    }
}

impl Conduct {
    fn prompt(self) -> String {
        format!("{:?} {}", self.kind, self.milliseconds)
    }

    pub(crate) fn read(prompt: &str) -> Option<Self> {
        let (word, milliseconds) = prompt.split_once(' ')?;
        let kinds = SHARES.iter().map(|(kind, ..)| *kind).chain([Kind::Sound]);
        let kind = kinds.into_iter().find(|kind| format!("{kind:?}") == word)?;
        Some(Self { kind, milliseconds: milliseconds.parse().ok()? })
    }
}

/// `count` jobs, in the order in which they are pushed.
pub(crate) fn jobs(count: usize, lease_ms: u64, seed: u64) -> Vec<TestJob> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut kinds = Vec::with_capacity(count);
    for (kind, share, least) in SHARES {
        kinds.extend(std::iter::repeat_n(kind, (count * share / 1000).max(least)));
    }
    kinds.resize(count.max(kinds.len()), Kind::Sound);
    kinds.shuffle(&mut random);
    kinds.into_iter().enumerate().map(|(index, kind)| job(index, kind, lease_ms, &mut random)).collect()
}

fn job(index: usize, kind: Kind, lease_ms: u64, random: &mut StdRng) -> TestJob {
    let id = format!("job-{index:05}");
    let milliseconds = match kind {
        Kind::Long => lease_ms + random.random_range(50..200),
        _ => random.random_range(2..20),
    };
    let prompt = Conduct { kind, milliseconds }.prompt();
    let user = format!("user-{}", random.random_range(0..7));
    let good = json!({"id": id, "type": "sdxl_image_fast", "user_id": user, "prompt": prompt});
    let form = random.random_range(0..FORMS);
    let elements = match kind {
        Kind::Garbage => vec![[format!("no job {index}"), format!("[{index}, 2]")][index % 2].clone()],
        Kind::Misshapen => {
            let bad = json!({"id": id, "type": "sdxl_image_fast", "user_id": user, "prompt": index});
            vec![envelope(&bad, form)]
        }
        Kind::Doubled => vec![envelope(&good, form), envelope(&good, form + 1)],
        _ => vec![envelope(&good, form)],
    };
    TestJob { id, kind, prompt, elements }
}

const FORMS: usize = 5;

/// The five forms producers have used.
fn envelope(job: &Value, form: usize) -> String {
    let text = job.to_string();
    match form % FORMS {
        0 => text,
        1 => json!({"data": text}).to_string(),
        2 => json!({"data": job}).to_string(),
        3 => json!([text]).to_string(),
        _ => json!(text).to_string(),
    }
}

/// The files handlers left, by job.
pub(crate) fn effects(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut effects = BTreeMap::new();
    for file in folder.read_dir().with_context(|| format!("reading {}", folder.display()))? {
        let path = file?.path();
        // What a killed process had not renamed yet is nobody's effect.
        if path.extension().is_none() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            effects.insert(name, std::fs::read_to_string(&path)?);
        }
    }
    Ok(effects)
}
