use clap::Parser;

/// Worker processes on a real Redis under kills, stops, lost replies and restarts. Fails when a job is lost,
/// stranded, settled twice, fenced without cause or left without its one terminal callback.
#[derive(Debug, Clone, Parser)]
#[command(name = "chaos")]
pub(crate) struct Options {
    /// 10,000 jobs on 16 workers
    #[arg(long)]
    full: bool,
    /// How many jobs [default: 300; full: 10000]
    #[arg(long)]
    jobs: Option<usize>,
    /// How many worker processes [default: 4; full: 16]
    #[arg(long)]
    workers: Option<usize>,
    /// Gives the jobs and the choice of faults; not the moments at which processes meet [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// How long a lease lasts without renewal
    #[arg(long, default_value_t = 500)]
    pub(crate) lease_ms: u64,
    /// No kill -9 and no SIGTERM
    #[arg(long)]
    pub(crate) no_kill: bool,
    /// No SIGSTOP
    #[arg(long)]
    pub(crate) no_stop: bool,
    /// No lost replies
    #[arg(long)]
    pub(crate) no_loss: bool,
    /// No restarts of Redis
    #[arg(long)]
    pub(crate) no_restart: bool,
    /// Keep the folder of logs, effects and journal
    #[arg(long)]
    pub(crate) keep: bool,

    // What `cargo test` passes to every test program.
    #[arg(hide = true)]
    filters: Vec<String>,
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    no_capture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
}

/// The name by which `cargo test FILTER` finds this.
const NAME: &str = "chaos_workers";

impl Options {
    /// Whether `cargo test` asks for this test at all.
    pub(crate) fn wanted(&self) -> bool {
        if self.list {
            println!("{NAME}: test");
        }
        let hit = |filter: &String| if self.exact { filter == NAME } else { NAME.contains(filter.as_str()) };
        let asked = self.filters.is_empty() || self.filters.iter().any(hit);
        asked && !self.list && !self.ignored && !self.skip.iter().any(hit)
    }

    pub(crate) fn jobs(&self) -> usize {
        self.jobs.unwrap_or(if self.full { 10_000 } else { 300 })
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.unwrap_or(if self.full { 16 } else { 4 }).max(1)
    }

    /// A random seed is drawn once, by the caller.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| rand::random_range(0..1_000_000))
    }

    /// How many of the workers are gone or stand still, per second.
    pub(crate) fn faults_per_second(&self) -> f64 {
        1.5 + self.workers() as f64
    }

    /// When Redis is killed: shares of the jobs that have ended by then.
    pub(crate) fn restarts(&self) -> Vec<f64> {
        let count = match (self.no_restart, self.jobs()) {
            (true, _) => 0,
            (false, ..2000) => 2,
            (false, _) => 8,
        };
        (1..=count).map(|n| f64::from(n) / f64::from(count + 1)).collect()
    }
}
