use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ourvidz_queue::worker::{Shutdown, Worker};
use ourvidz_queue::{Counts, JobQueue, QueueAdmin, RedisQueue, WorkerId};
use ourvidz_test_support::{Aof, FaultProxy, ProxyFaults, RealRedis, Reply, RespClient};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::fleet::{Death, End, Fleet};
use crate::jobs::{Kind, TestJob};
use crate::log::Log;
use crate::options::Options;
use crate::recorded::Recorded;
use crate::worker::{Handler, QUEUE, queue_options, worker_options};

/// Jobs, workers, a server, and everything that goes wrong.
pub(crate) struct Storm<'a> {
    options: &'a Options,
    random: StdRng,
    redis: RealRedis,
    proxy: FaultProxy,
    fleet: Fleet,
    /// Past the proxy: the view of somebody to whom nothing happens.
    queue: RedisQueue,
    to_push: VecDeque<&'a TestJob>,
    restarts: VecDeque<f64>,
    figures: Figures,
}

/// What was done, and what the workers' processes came to.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) kills: usize,
    pub(crate) terminations: usize,
    pub(crate) stops: usize,
    pub(crate) restarts: usize,
    pub(crate) lost_replies: u64,
    pub(crate) processes: usize,
    pub(crate) aborts: usize,
    /// Processes that ended by an error of their own.
    pub(crate) failed: usize,
    /// Workers whose leases were released when they had died.
    pub(crate) released: BTreeSet<String>,
    pub(crate) released_jobs: usize,
    pub(crate) elements: usize,
    pub(crate) seconds: f64,
    /// Not everything had ended when the patience did.
    pub(crate) gave_up: bool,
}

/// What is left when all is quiet.
pub(crate) struct Aftermath {
    pub(crate) redis: RealRedis,
    pub(crate) queue: RedisQueue,
    pub(crate) fleet: Fleet,
    pub(crate) figures: Figures,
}

const TICK: Duration = Duration::from_millis(10);

impl<'a> Storm<'a> {
    pub(crate) async fn brew(
        options: &'a Options,
        seed: u64,
        jobs: &'a [TestJob],
        folder: &Path,
    ) -> Result<Self> {
        let redis = RealRedis::builder().aof(Aof::Always).start()?;
        let proxy = FaultProxy::start(redis.port(), seed)?;
        proxy.inject(ProxyFaults {
            lose_reply: if options.no_loss { 0.0 } else { 0.02 },
            ..ProxyFaults::default()
        });
        let queue = RedisQueue::connect(&redis.url(), QUEUE, queue_options(options.lease_ms)).await?;
        let fleet = Fleet::start(folder, proxy.redis_url(), options.lease_ms, options.workers())?;
        Ok(Self {
            options,
            random: StdRng::seed_from_u64(seed ^ 0x5eed),
            redis,
            proxy,
            fleet,
            queue,
            to_push: jobs.iter().collect(),
            restarts: options.restarts().into(),
            figures: Figures::default(),
        })
    }

    /// Until every job has ended, or nothing has ended for too long.
    pub(crate) async fn rage(mut self) -> Result<Aftermath> {
        let begun = Instant::now();
        let total: usize = self.to_push.iter().map(|job| job.elements.len()).sum();
        let (mut ended, mut since, mut told) = (0, Instant::now(), Instant::now());
        while ended < total {
            self.tend().await?;
            let counts = self.queue.counts().await?;
            let now_ended = usize::try_from(counts.done + counts.failed)?;
            if now_ended != ended {
                (ended, since) = (now_ended, Instant::now());
            }
            self.push(&counts).await?;
            // Enough is left to be interrupted; at the end the rest may come to rest.
            if ended + total / 50 + self.options.workers() < total {
                self.strike(ended as f64 / total as f64).await?;
            }
            if since.elapsed() > Duration::from_secs(30) {
                self.figures.gave_up = true;
                break;
            }
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                eprintln!("{ended} of {total} ended after {:.0} s", begun.elapsed().as_secs_f64());
            }
            tokio::time::sleep(TICK).await;
        }
        self.figures.seconds = begun.elapsed().as_secs_f64();
        for death in self.fleet.end()? {
            self.count(&death);
        }
        self.replay().await?;
        self.figures.lost_replies = self.proxy.stats().lost_replies;
        self.figures.processes = self.fleet.past.len();
        self.figures.elements = total;
        Ok(Aftermath { redis: self.redis, queue: self.queue, fleet: self.fleet, figures: self.figures })
    }

    async fn tend(&mut self) -> Result<()> {
        for death in self.fleet.tend()? {
            self.count(&death);
            // Every other time the supervisor says so; otherwise the leases run out.
            if death.end != End::Drained && self.random.random_bool(0.5) {
                self.figures.released_jobs += self.queue.release_worker(&death.id).await?;
                self.figures.released.insert(death.id.as_str().to_owned());
            }
        }
        Ok(())
    }

    fn count(&mut self, death: &Death) {
        match death.end {
            End::Killed | End::Drained => {}
            End::Aborted => self.figures.aborts += 1,
            End::Failed => self.figures.failed += 1,
        }
    }

    /// Keeps some jobs waiting, and now and then lets the workers run dry.
    async fn push(&mut self, counts: &Counts) -> Result<()> {
        let workers = self.options.workers();
        if self.to_push.is_empty() || counts.waiting as usize > workers * 2 {
            return Ok(());
        }
        let many = self.random.random_range(workers * 2..workers * 20);
        let batch: Vec<&TestJob> = (0..many).map_while(|_| self.to_push.pop_front()).collect();
        let mut plain = RespClient::connect(&self.redis.url())?;
        let mut sent = 0;
        for job in &batch {
            match job.kind {
                Kind::Once => self.push_once(job).await?,
                Kind::Cancelled => self.queue.cancel(&job.id).await?,
                _ => {}
            }
            if job.kind != Kind::Once {
                for element in &job.elements {
                    plain.send(["LPUSH", QUEUE, element])?;
                    sent += 1;
                }
            }
        }
        for _ in 0..sent {
            let reply = plain.read()?;
            ensure!(matches!(reply, Reply::Int(_)), "LPUSH: {reply:?}");
        }
        Ok(())
    }

    /// A producer that lost its memory, over the line that loses replies.
    async fn push_once(&self, job: &TestJob) -> Result<()> {
        let options = queue_options(self.options.lease_ms);
        let queue = RedisQueue::connect(&self.proxy.redis_url(), QUEUE, options).await?;
        let element = job.elements.first().context("a job without an element")?;
        let added = (queue.push_once(&job.id, element).await?, queue.push_once(&job.id, element).await?);
        ensure!(added == (true, false), "{} was added {added:?}", job.id);
        Ok(())
    }

    async fn strike(&mut self, share: f64) -> Result<()> {
        if self.restarts.front().is_some_and(|at| share >= *at) {
            self.restarts.pop_front();
            self.restart().await?;
        }
        let chance = self.options.faults_per_second() * TICK.as_secs_f64();
        if !self.random.random_bool(chance.min(1.0)) {
            return Ok(());
        }
        let (lot, which) = (self.random.random_range(0..10), self.random.random_range(0..1000));
        let Some(slot) = self.fleet.victim(which) else { return Ok(()) };
        match lot {
            0..=5 if !self.options.no_kill => {
                self.fleet.kill(slot)?;
                self.figures.kills += 1;
            }
            6 if !self.options.no_kill => {
                self.fleet.terminate(slot)?;
                self.figures.terminations += 1;
            }
            7..=9 if !self.options.no_stop => {
                let lease = self.options.lease_ms;
                let how_long = self.random.random_range(lease * 6 / 5..lease * 2);
                self.fleet.stop(slot, Duration::from_millis(how_long))?;
                self.figures.stops += 1;
            }
            _ => {}
        }
        Ok(())
    }

    /// Redis is killed and stays away, in turn shortly or for longer than a call tries, until settlements are in
    /// the journal; every other long time the workers are killed meanwhile, so that others find it.
    async fn restart(&mut self) -> Result<()> {
        let turn = self.figures.restarts;
        self.redis.kill()?;
        let long = turn.is_multiple_of(2);
        tokio::time::sleep(Duration::from_millis(if long { 2600 } else { 300 })).await;
        if long && turn.is_multiple_of(4) && !self.options.no_kill {
            self.figures.kills += self.fleet.kill_all()?;
        }
        self.redis.restart()?;
        self.figures.restarts += 1;
        Ok(())
    }

    /// What dead workers left in the journal.
    async fn replay(&mut self) -> Result<()> {
        let log = Arc::new(Log::open(&self.fleet.another_log())?);
        let queue = Arc::new(Recorded::new(self.queue.clone(), log.clone()));
        let effects = self.fleet.effects();
        let worker = Worker::builder(queue, WorkerId::new("chaos"))
            .options(worker_options(&self.fleet.journal()))
            .start(move || Ok::<_, std::io::Error>(Handler::new(&effects, &log)))?;
        worker.run_once(&Shutdown::new()).await?;
        Ok(())
    }
}
