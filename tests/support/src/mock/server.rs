//! The server's life, and what tests ask of it.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::builder::MockRedisBuilder;
use super::shared::Shared;
use super::store::Store;
use super::{resp_face, rest_face};
use crate::{Fault, Reply, Stats};

/// The longest that [`MockRedis::wait_until`] waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// An in-process Redis with real scripts, over RESP and over Upstash's REST, on one keyspace.
///
/// It runs on a thread of its own, so a test's runtime and its paused clock do not concern it. It ends on drop.
#[derive(Debug)]
pub struct MockRedis {
    shared: Arc<Shared>,
    resp_port: u16,
    rest_port: u16,
    password: Option<String>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl MockRedis {
    /// Version 7.0.15, no password, real time.
    ///
    /// # Panics
    /// No port can be bound.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Other settings.
    pub fn builder() -> MockRedisBuilder {
        MockRedisBuilder::default()
    }

    pub(super) fn launch(builder: MockRedisBuilder) -> Self {
        let password = builder.setup.password.clone();
        let store = Store::new(builder.setup, builder.clock);
        let shared = Arc::new(Shared::new(store, builder.seed, "mock-rest-token".into()));
        let (resp, rest) = (bind(0), bind(0));
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (resp_port, rest_port) = (port(&resp), port(&rest));
        let mock = Self { shared, resp_port, rest_port, password, running: Mutex::new(None) };
        mock.run(resp, rest);
        mock
    }

    /// `redis://127.0.0.1:port`, with the password when there is one.
    pub fn redis_url(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}", self.resp_port)
    }

    /// `http://127.0.0.1:port`, the base of Upstash's REST.
    pub fn rest_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest_port)
    }

    /// The bearer token of REST.
    pub fn rest_token(&self) -> &str {
        &self.shared.rest_token
    }

    /// Runs a command at once, past faults and counters. Blocking commands do not wait.
    pub fn command<W: AsRef<[u8]>>(&self, words: impl IntoIterator<Item = W>) -> Reply {
        let words: Vec<Vec<u8>> = words.into_iter().map(|word| word.as_ref().to_vec()).collect();
        self.shared.change(|state| state.run(&words, false))
    }

    /// Adds a fault; all that were added are looked at, in this order.
    pub fn inject(&self, fault: Fault) {
        self.shared.change(|state| state.faults.add(fault));
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.shared.change(|state| state.faults.clear());
    }

    /// Milliseconds since the epoch on the server's clock.
    pub fn now_ms(&self) -> i64 {
        self.shared.state().store.now_ms()
    }

    /// Moves the server's clock forward, whichever it is; blocked clients whose time is over get their nil.
    pub fn advance(&self, by: Duration) {
        self.shared.change(|state| {
            state.store.clock.advance(by);
            state.store.expire_waiters();
        });
    }

    /// What the server has seen.
    pub fn stats(&self) -> Stats {
        self.shared.state().stats.clone()
    }

    /// Counts from zero again.
    pub fn reset_stats(&self) {
        self.shared.change(|state| {
            let open_connections = state.stats.open_connections;
            state.faults.fired = 0;
            state.stats = Stats { open_connections, ..Stats::default() };
        });
    }

    /// Waits on this thread until the counts satisfy `enough`, 10 s at most; whether they did.
    /// In a test with a runtime of one thread use [`Self::until`].
    pub fn wait_until(&self, mut enough: impl FnMut(&Stats) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        let mut state = self.shared.state();
        while !enough(&state.stats) {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            state = self.shared.changed().wait_timeout(state, left).unwrap().0;
        }
        true
    }

    /// Waits until the counts satisfy `enough`, without end.
    pub async fn until(&self, mut enough: impl FnMut(&Stats) -> bool) {
        let mut changes = self.shared.changes();
        while !enough(&self.stats()) {
            changes.changed().await.unwrap();
        }
    }

    /// The server is gone: connections close, new ones are refused. The keyspace stays.
    pub fn down(&self) {
        if let Some(running) = self.running.lock().unwrap().take() {
            let _ = running.stop.send(());
            running.thread.join().unwrap();
        }
    }

    /// Back on the same ports, with the keyspace and without scripts, as after a restart with AOF.
    ///
    /// # Panics
    /// A port was taken by somebody else.
    pub fn up(&self) {
        self.down();
        self.shared.change(|state| state.store.scripts.clear());
        self.run(bind(self.resp_port), bind(self.rest_port));
    }

    fn run(&self, resp: TcpListener, rest: TcpListener) {
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let resp = tokio::net::TcpListener::from_std(resp).unwrap();
                let rest = tokio::net::TcpListener::from_std(rest).unwrap();
                tokio::spawn(resp_face::serve(resp, Arc::clone(&shared)));
                tokio::spawn(rest_face::serve(rest, shared));
                let _ = stopped.await;
            });
            // The runtime ends here and closes all sockets.
        });
        *self.running.lock().unwrap() = Some(Running { stop, thread });
    }
}

impl Drop for MockRedis {
    fn drop(&mut self) {
        self.down();
    }
}

/// A listener of 127.0.0.1; a port that was just left may need a moment.
pub(crate) fn bind(port: u16) -> TcpListener {
    let end = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => {
                listener.set_nonblocking(true).unwrap();
                return listener;
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("binding 127.0.0.1:{port}: {error}"),
        }
    }
}
