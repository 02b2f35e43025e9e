use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// One line of a worker process's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) what: What,
    /// When the call behind it began, milliseconds since 1970.
    pub(crate) begun_ms: u64,
    /// When its answer had come.
    pub(crate) at_ms: u64,
    pub(crate) claim: String,
    /// The producer's id, `-` where there is none or it is not known.
    pub(crate) job: String,
    /// `Claimed`: the attempt. `Lost`: the call that learnt it. `Settled` and `Unsettled`: the kind.
    pub(crate) detail: String,
}

/// What a worker process did or was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Claimed,
    /// The lease was renewed.
    Held,
    /// The claim holds nothing any more.
    Lost,
    /// A settlement is about to be asked for.
    Settling,
    /// The backend says that this very call ended the claim.
    Applied,
    /// The backend says that an earlier call ended the claim.
    Already,
    /// A settlement the backend did not take.
    Unsettled,
    /// The handler's file is in place.
    Effect,
}

const WORDS: [(What, &str); 8] = [
    (What::Claimed, "claimed"),
    (What::Held, "held"),
    (What::Lost, "lost"),
    (What::Settling, "settling"),
    (What::Applied, "applied"),
    (What::Already, "already"),
    (What::Unsettled, "unsettled"),
    (What::Effect, "effect"),
];

/// The append-only log of one process. A line is one write, so a killed process leaves whole lines.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
}

impl Log {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { file: file.with_context(|| format!("opening {}", path.display()))? })
    }

    /// A log that cannot be written makes the whole test worthless: the process ends.
    pub(crate) fn write(&self, record: &Record) {
        if let Err(error) = (&self.file).write_all(record.line().as_bytes()) {
            eprintln!("the log cannot be written: {error}");
            std::process::exit(4);
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Vec<Record>> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        text.lines().map(|line| Record::parse(line).with_context(|| format!("a line {line:?}"))).collect()
    }
}

impl Record {
    fn line(&self) -> String {
        let word = WORDS.iter().find(|(what, _)| *what == self.what).map_or("", |(_, word)| word);
        let Self { begun_ms, at_ms, claim, job, detail, .. } = self;
        format!("{word}\t{begun_ms}\t{at_ms}\t{claim}\t{job}\t{detail}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [word, begun_ms, at_ms, claim, job, detail] = fields.as_slice() else { return None };
        Some(Self {
            what: WORDS.iter().find(|(_, known)| known == word)?.0,
            begun_ms: begun_ms.parse().ok()?,
            at_ms: at_ms.parse().ok()?,
            claim: (*claim).to_owned(),
            job: (*job).to_owned(),
            detail: (*detail).to_owned(),
        })
    }
}

/// Milliseconds since 1970: all processes of one machine share them.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
