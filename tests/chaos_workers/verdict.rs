use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result};
use ourvidz_queue::{DeadLetter, Outbox, QueueAdmin};
use ourvidz_test_support::RespClient;
use serde_json::Value;

use crate::history::{Claim, History};
use crate::jobs::{Kind, TestJob, effects};
use crate::options::Options;
use crate::storm::Aftermath;
use crate::worker::{MAX_ATTEMPTS, QUEUE};

/// The table of figures.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    rows: Vec<Row>,
    /// Jobs and claims behind the figures that are wrong.
    pub(crate) offenders: Vec<String>,
}

#[derive(Debug)]
struct Row {
    what: &'static str,
    figure: usize,
    /// What it has to be; `None`: anything.
    must: Option<usize>,
}

/// What the server and the disk hold of one job.
struct Traces<'a> {
    callbacks: BTreeMap<&'a str, BTreeSet<&'a str>>,
    dead: BTreeMap<&'a str, Vec<&'a DeadLetter>>,
    dead_elements: BTreeSet<&'a str>,
    effects: BTreeMap<String, String>,
}

/// Limit of views: more than there can be.
const ALL: usize = 1_000_000;

impl Verdict {
    pub(crate) fn passed(&self) -> bool {
        self.rows.iter().all(Row::right)
    }

    pub(crate) async fn reach(options: &Options, jobs: &[TestJob], after: &Aftermath) -> Result<Self> {
        let history = History::read(&after.fleet.past)?;
        let counts = after.queue.counts().await?;
        let entries = after.queue.waiting_callbacks(ALL).await?;
        let letters = after.queue.dead(ALL).await?;
        let mut plain = RespClient::connect(&after.redis.url())?;
        let mut traces = Traces {
            callbacks: BTreeMap::new(),
            dead: BTreeMap::new(),
            dead_elements: letters.iter().map(|letter| letter.element.as_str()).collect(),
            effects: effects(&after.fleet.effects())?,
        };
        for entry in &entries {
            let (job, status) = entry.callback.id.split_once(':').context("a callback's id")?;
            if matches!(status, "completed" | "failed") {
                traces.callbacks.entry(job).or_default().insert(status);
            }
        }
        for letter in &letters {
            traces.dead.entry(&letter.job_id).or_default().push(letter);
        }
        let mut verdict = Self::default();
        verdict.what_was_done(jobs, after, &history);
        verdict.what_ended(jobs, &traces, &history);
        let callbacks: usize = traces.callbacks.values().map(BTreeSet::len).sum();
        let expected = jobs.iter().filter(|job| job.kind != Kind::Garbage).count();
        verdict.must_be("terminal callbacks", callbacks, expected);
        verdict.must_be("other callbacks left", entries.len() - callbacks.min(entries.len()), 0);
        let bodies = entries.iter().filter(|entry| !fits(&entry.callback.id, &entry.callback.body)).count();
        verdict.must_be("callbacks whose body is another's", bodies, 0);

        let stranded = counts.waiting + counts.in_flight + counts.delayed;
        verdict.must_be("stranded", usize::try_from(stranded)?, 0);
        let leftovers = leftovers(&mut plain)?;
        verdict.must_be("keys left over", leftovers.len(), 0);
        verdict.offenders.extend(leftovers);
        let ended = usize::try_from(counts.done + counts.failed)?;
        verdict.must_be("ends counted by the server", ended, after.figures.elements);
        verdict.double_acks(jobs, &history);
        verdict.fences(options, after, &history, &mut plain)?;
        verdict.journal(after, &history)?;
        verdict.must_be("workers ended by an error", after.figures.failed, 0);
        verdict.must_be("gave up waiting", usize::from(after.figures.gave_up), 0);
        Ok(verdict)
    }

    fn what_was_done(&mut self, jobs: &[TestJob], after: &Aftermath, history: &History) {
        let figures = &after.figures;
        self.may_be("jobs", jobs.len());
        self.may_be("elements pushed", figures.elements);
        self.may_be("seconds", figures.seconds.round() as usize);
        self.may_be("worker processes", figures.processes);
        self.may_be("kill -9 sent", figures.kills);
        self.may_be("kill -9 that hit a running job", history.hits);
        self.may_be("processes ended by poison", figures.aborts);
        self.may_be("SIGTERM sent", figures.terminations);
        self.may_be("SIGSTOP beyond the lease", figures.stops);
        self.may_be("replies lost", figures.lost_replies as usize);
        self.may_be("Redis killed and restarted", figures.restarts);
        self.may_be("jobs released by the supervisor", figures.released_jobs);
        self.may_be("claims", history.claims.values().filter(|claim| !claim.job.is_empty()).count());
        self.may_be("ran twice", history.runs.values().filter(|runs| **runs > 1).count());
    }

    /// Every job by itself.
    fn what_ended(&mut self, jobs: &[TestJob], traces: &Traces<'_>, history: &History) {
        let (mut lost, mut ends, mut wrong_effects, mut exhausted) = (0, 0, 0, 0);
        let (mut poison, mut poison_dead) = (0, 0);
        for job in jobs {
            let statuses = traces.callbacks.get(job.id.as_str()).cloned().unwrap_or_default();
            let letters = traces.dead.get(job.id.as_str()).map_or(0, Vec::len);
            let given_up = traces.given_up(job, history);
            let kind = job.kind;
            if kind == Kind::Garbage {
                let kept = job.elements.iter().all(|element| traces.dead_elements.contains(element.as_str()));
                lost += usize::from(!kept);
                self.blame(!kept, job, "is not on the dead-letter list");
                continue;
            }
            lost += usize::from(statuses.is_empty());
            self.blame(statuses.is_empty(), job, "has no terminal callback");
            let sound = !matches!(kind, Kind::Refused | Kind::Cancelled | Kind::Poison | Kind::Misshapen);
            exhausted += usize::from(sound && given_up);
            let expected = if sound { "completed" } else { "failed" };
            let as_expected = statuses.len() == 1 && statuses.contains(expected);
            let excused = sound && given_up && statuses.contains("failed");
            ends += usize::from(!as_expected && !excused);
            self.blame(!as_expected && !excused, job, &format!("ended as {statuses:?}"));
            if kind == Kind::Poison {
                poison += 1;
                poison_dead += usize::from(given_up && letters == 1);
                self.blame(!given_up || letters != 1, job, "is poison and not a dead letter of all attempts");
            }
            let effect = traces.effects.get(&job.id);
            let right = match statuses.contains("completed") {
                true => effect.is_some_and(|text| *text == TestJob::effect(&job.id, &job.prompt)),
                false => sound || effect.is_none(),
            };
            wrong_effects += usize::from(!right);
            self.blame(!right, job, "has no effect or a wrong one");
        }
        self.may_be("sound jobs whose attempts were all interrupted", exhausted);
        self.must_be("poison jobs dead-lettered", poison_dead, poison);
        self.must_be("lost: no terminal state", lost, 0);
        self.must_be("ended otherwise than they should", ends, 0);
        self.must_be("effects missing or wrong", wrong_effects, 0);
    }

    fn double_acks(&mut self, jobs: &[TestJob], history: &History) {
        let elements: BTreeMap<&str, usize> =
            jobs.iter().map(|job| (job.id.as_str(), job.elements.len())).collect();
        let acks = history.acks();
        let double = |(job, acks): &(&&str, &usize)| elements.get(**job).is_some_and(|most| *acks > most);
        let doubles: Vec<String> =
            acks.iter().filter(double).map(|(job, acks)| format!("{job} was settled {acks} times")).collect();
        self.must_be("double acks", doubles.len(), 0);
        self.offenders.extend(doubles);
        let twice = history.claims.values().filter(|claim| claim.applied.len() > 1).count();
        self.must_be("claims settled twice", twice, 0);
    }

    fn fences(
        &mut self,
        options: &Options,
        after: &Aftermath,
        history: &History,
        plain: &mut RespClient,
    ) -> Result<()> {
        let mut remembered = |how: &str| -> Result<BTreeSet<String>> {
            let claims = plain.command(["ZRANGE", &format!("{{{QUEUE}}}:{how}"), "0", "-1"])?;
            let claims = claims.as_texts().with_context(|| format!("the claims {how}"))?;
            Ok(claims.into_iter().map(str::to_owned).collect())
        };
        let (taken, settled) = (remembered("taken")?, remembered("settled")?);
        // The server remembers for 10 minutes.
        let forgotten = after.figures.seconds > 590.0;
        let (mut fenced, mut falsely) = (0, 0);
        for (id, claim) in &history.claims {
            let released = |process: &usize| after.fleet.released(*process, &after.figures.released);
            let early = claim.processes.iter().any(released);
            let (taken, settled) = (forgotten || taken.contains(id), settled.contains(id));
            fenced += usize::from(claim.fenced(settled));
            if claim.falsely_fenced(options.lease_ms, taken, settled, early) {
                falsely += 1;
                self.offenders.push(format!("claim {id} was fenced without cause: {claim:?}"));
            }
        }
        self.may_be("claims fenced", fenced);
        self.must_be("false fences", falsely, 0);
        Ok(())
    }

    fn journal(&mut self, after: &Aftermath, history: &History) -> Result<()> {
        let elsewhere = |claim: &&Claim| claim.processes.len() > 1;
        let kept = history.claims.values().filter(|claim| claim.unsettled > 0 || elsewhere(claim)).count();
        self.may_be("settlements that went through the journal", kept);
        let by_others = history.claims.values().filter(elsewhere).count();
        self.may_be("of them replayed by another process", by_others);
        let journal = after.fleet.journal();
        let mut left = 0;
        for file in journal.read_dir()? {
            // A process that was killed while it wrote leaves a file that was never whole.
            left += usize::from(file?.path().extension().is_none_or(|extension| extension != "tmp"));
        }
        self.must_be("settlements left in the journal", left, 0);
        Ok(())
    }

    fn may_be(&mut self, what: &'static str, figure: usize) {
        self.rows.push(Row { what, figure, must: None });
    }

    fn must_be(&mut self, what: &'static str, figure: usize, must: usize) {
        self.rows.push(Row { what, figure, must: Some(must) });
    }

    fn blame(&mut self, wrong: bool, job: &TestJob, what: &str) {
        if wrong {
            self.offenders.push(format!("{} ({:?}) {what}", job.id, job.kind));
        }
    }
}

impl Traces<'_> {
    /// Whether the job is a dead letter after all its attempts, as the workers saw it too.
    fn given_up(&self, job: &TestJob, history: &History) -> bool {
        let letters = self.dead.get(job.id.as_str()).into_iter().flatten();
        let seen = history.attempts.get(&job.id).copied().unwrap_or(0);
        letters.into_iter().any(|letter| letter.attempts == MAX_ATTEMPTS) && seen == MAX_ATTEMPTS
    }
}

impl Row {
    fn right(&self) -> bool {
        self.must.is_none_or(|must| must == self.figure)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let must = row.must.map_or(String::new(), |must| format!("must be {must}"));
            let wrong = if row.right() { "" } else { "  WRONG" };
            writeln!(f, "{:<48}{:>8}  {must}{wrong}", row.what, row.figure)?;
        }
        Ok(())
    }
}

/// Whether a callback's body says what its id says.
fn fits(id: &str, body: &str) -> bool {
    let Ok(body) = serde_json::from_str::<Value>(body) else { return false };
    let (job, status) = (body["job_id"].as_str(), body["status"].as_str());
    job.zip(status).is_some_and(|(job, status)| format!("{job}:{status}") == id)
}

/// Keys that a queue at rest does not have.
fn leftovers(plain: &mut RespClient) -> Result<Vec<String>> {
    let keys = plain.command(["KEYS", "*"])?;
    let suffixes = ["dead", "stats", "outbox", "outbox:due", "settled", "taken"];
    let own = suffixes.map(|suffix| format!("{{{QUEUE}}}:{suffix}"));
    let marks = [format!("{{{QUEUE}}}:pushed:"), format!("{QUEUE}:cancel:")];
    let rests = |key: &&str| {
        !own.iter().any(|own| own == key) && !marks.iter().any(|mark| key.starts_with(mark.as_str()))
    };
    let keys = keys.as_texts().context("the keys")?;
    Ok(keys.into_iter().filter(rests).map(|key| format!("key {key} is left over")).collect())
}
