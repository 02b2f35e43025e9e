use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use ourvidz_storage::{HostRule, Lookup, ReferenceFetcher, ReferenceFetcherBuilder, ReferenceRules};
use tokio::net::TcpListener;

/// A server of this process, on a free port of 127.0.0.1.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve_at(listener, router)
}

pub(crate) fn serve_at(listener: TcpListener, router: Router) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Options whose rules open `http://{address}` and nothing else that is private.
pub(crate) fn opened(address: SocketAddr) -> ReferenceFetcherBuilder {
    ReferenceFetcher::builder().rules(rules(&[&format!("http://{address}")]))
}

pub(crate) fn rules(private: &[&str]) -> ReferenceRules {
    let private = private.iter().map(|rule| rule.parse::<HostRule>().unwrap()).collect();
    ReferenceRules { private, ..ReferenceRules::default() }
}

/// Answers the look-ups in order, the last answer for ever, and counts them.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Scripted {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parsed = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self { answers: Mutex::new(answers.iter().map(parsed).collect()), asked: 0.into() })
    }

    /// The only answer from now on.
    pub(crate) fn set(&self, addresses: &[&str]) {
        let answer = addresses.iter().map(|address| address.parse().unwrap()).collect();
        *self.answers.lock().unwrap() = [answer].into();
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Lookup for Scripted {
    async fn lookup(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        answer.ok_or_else(|| io::Error::other("no such name"))
    }
}

/// For property tests, which are not async.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
