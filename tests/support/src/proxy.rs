//! A TCP proxy that misbehaves.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use crate::faults::Random;

/// What a [`FaultProxy`] does to what passes through; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProxyFaults {
    /// Chance, from 0 to 1, that what the server sends next is swallowed and the connection closed.
    /// The request has gone through.
    pub lose_reply: f64,
    /// Chance that the connection is closed instead of passing on what the client sends next.
    pub reset: f64,
    /// Added before everything that is passed on, in each direction.
    pub delay: Duration,
    /// Nothing passes in either direction, connections stay open, new ones are accepted; what was held back
    /// passes when it ends.
    pub blackhole: bool,
    /// New connections are closed at once, as if nobody served behind the port.
    pub refuse: bool,
}

/// How often a proxy did something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProxyStats {
    /// Connections accepted, with those it closed at once.
    pub connections: u64,
    /// Replies swallowed.
    pub lost_replies: u64,
    /// Requests that were not passed on.
    pub resets: u64,
}

/// Stands in front of any TCP server on a free port of 127.0.0.1. Ends on drop.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    faults: watch::Sender<ProxyFaults>,
    /// Counts up to close all connections.
    cut: watch::Sender<u64>,
    inner: Mutex<(Random, ProxyStats)>,
}

impl FaultProxy {
    /// A proxy to `127.0.0.1:port`. The seed gives the faults.
    ///
    /// # Errors
    /// No port can be bound.
    pub fn start(port: u16, seed: u64) -> Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("binding the proxy")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: SocketAddr::from(([127, 0, 0, 1], port)),
            faults: watch::Sender::new(ProxyFaults::default()),
            cut: watch::Sender::new(0),
            inner: Mutex::new((Random(seed), ProxyStats::default())),
        });
        let (stop, stopped) = oneshot::channel();
        let own = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::spawn(accept(TcpListener::from_std(listener).unwrap(), own));
                let _ = stopped.await;
            });
        });
        Ok(Self { address, shared, running: Some((stop, thread)) })
    }

    /// `redis://127.0.0.1:port`.
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes wrong from now on, for open connections too.
    pub fn inject(&self, faults: ProxyFaults) {
        self.shared.faults.send_replace(faults);
    }

    /// Closes all connections.
    pub fn cut_connections(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// What it has done.
    pub fn stats(&self) -> ProxyStats {
        self.shared.with(|_, stats| *stats)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn with<R>(&self, work: impl FnOnce(&mut Random, &mut ProxyStats) -> R) -> R {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (random, stats) = &mut *inner;
        work(random, stats)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        shared.with(|_, stats| stats.connections += 1);
        if !shared.faults.borrow().refuse {
            tokio::spawn(connection(client, Arc::clone(&shared)));
        }
    }
}

/// Ends, and so closes both sides, when one side ends, a fault says so, or everything is cut.
async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(shared.target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut cut = shared.cut.subscribe();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        () = pass(&mut from_client, &mut to_server, &shared, Way::Request) => {}
        () = pass(&mut from_server, &mut to_client, &shared, Way::Reply) => {}
        _ = cut.changed() => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Reply,
}

async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    shared: &Shared,
    way: Way,
) {
    let mut faults = shared.faults.subscribe();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = match from.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let Ok(now) = faults.wait_for(|faults| !faults.blackhole).await.map(|now| *now) else { return };
        let stop = shared.with(|random, stats| {
            let (chance, counter) = match way {
                Way::Request => (now.reset, &mut stats.resets),
                Way::Reply => (now.lose_reply, &mut stats.lost_replies),
            };
            let hit = chance > 0.0 && random.unit() < chance;
            *counter += u64::from(hit);
            hit
        });
        if stop {
            return;
        }
        if now.delay > Duration::ZERO {
            tokio::time::sleep(now.delay).await;
        }
        if to.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}
