//! An HTTP server whose requests fail as a test orders.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::request::Parts;
use axum::http::{Method, Request};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This reply, and nothing is done.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The connection ends after so many bytes of the body; the backend sees those.
    AbortAfter(usize),
    /// Everything is done, and the connection ends instead of a reply.
    LoseReply,
    /// The connection ends in the middle of the reply's body.
    CutReply,
    /// No reply, ever.
    Silence,
    /// Left to the backend, by name.
    Backend(&'static str),
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Bytes of its body that were read.
    pub(crate) body: usize,
}

/// What the server is.
pub(crate) trait Backend: Send + Sync + 'static {
    fn handle(&self, head: &Parts, body: Bytes, fault: Option<&'static str>) -> Response;

    /// A body that broke off.
    fn partial(&self, _head: &Parts, _body: Bytes) {}
}

pub(crate) struct Server<B> {
    pub(crate) backend: Arc<B>,
    pub(crate) address: String,
    control: Arc<Control>,
}

#[derive(Default)]
struct Control {
    faults: Mutex<VecDeque<(Method, &'static str, Fault)>>,
    seen: Mutex<Vec<Seen>>,
}

impl<B: Backend> Server<B> {
    pub(crate) async fn start(backend: B) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let backend = Arc::new(backend);
        let control = Arc::new(Control::default());
        let shared = (backend.clone(), control.clone());
        let service = axum::Router::new().fallback(move |ConnectInfo(dead): ConnectInfo<Dead>, request| {
            let (backend, control) = shared.clone();
            async move { Ok::<_, Infallible>(control.answer(&*backend, dead, request).await) }
        });
        let service = service.into_make_service_with_connect_info::<Dead>();
        tokio::spawn(async move { axum::serve(Mortal(listener), service).await });
        Self { backend, address, control }
    }

    /// The next request of this method whose path contains `path` fails so. Orders are kept in their order.
    pub(crate) fn fail(&self, method: Method, path: &'static str, fault: Fault) {
        self.control.faults.lock().unwrap().push_back((method, path, fault));
    }

    /// The requests so far of this method whose path contains `path`.
    pub(crate) fn seen(&self, method: Method, path: &str) -> Vec<Seen> {
        let seen = self.control.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.method == method && seen.path.contains(path)).cloned().collect()
    }

    pub(crate) fn count(&self, method: Method, path: &str) -> usize {
        self.seen(method, path).len()
    }

    /// Every order was carried out.
    pub(crate) fn assert_all_failed(&self) {
        let left = self.control.faults.lock().unwrap();
        assert!(left.is_empty(), "never came: {left:?}");
    }
}

impl Control {
    async fn answer(&self, backend: &impl Backend, dead: Dead, request: Request<Body>) -> Response {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            let at =
                faults.iter().position(|(method, part, _)| *method == head.method && path.contains(part));
            at.and_then(|at| faults.remove(at)).map(|(_, _, fault)| fault)
        };
        let limit = match fault {
            Some(Fault::AbortAfter(limit)) => limit,
            _ => usize::MAX,
        };
        let index = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(Seen { method: head.method.clone(), path, body: 0 });
            seen.len() - 1
        };
        let body = read(body, limit).await;
        self.seen.lock().unwrap()[index].body = body.len();
        match fault {
            None => backend.handle(&head, body, None),
            Some(Fault::Backend(name)) => backend.handle(&head, body, Some(name)),
            Some(Fault::Answer(status, headers, text)) => {
                let mut reply = Response::builder().status(status);
                for (name, value) in headers {
                    reply = reply.header(name, value);
                }
                reply.body(text.into()).unwrap()
            }
            Some(Fault::AbortAfter(_)) => {
                backend.partial(&head, body);
                dead.die();
                Response::default()
            }
            Some(Fault::LoseReply) => {
                let reply = backend.handle(&head, body, None);
                assert!(reply.status().is_success(), "nothing to lose: {reply:?}");
                dead.die();
                reply
            }
            Some(Fault::CutReply) => cut(backend.handle(&head, body, None)).await,
            Some(Fault::Silence) => std::future::pending().await,
        }
    }
}

async fn read(body: Body, limit: usize) -> Bytes {
    let mut all = BytesMut::new();
    let mut pieces = body.into_data_stream();
    while all.len() < limit {
        match pieces.next().await {
            Some(Ok(piece)) => all.extend_from_slice(&piece),
            _ => break,
        }
    }
    all.truncate(limit);
    all.freeze()
}

/// Half of the body, then the end of the connection.
async fn cut(reply: Response) -> Response {
    let (mut head, body) = reply.into_parts();
    let body = read(body, usize::MAX).await;
    head.headers.insert("content-length", body.len().into());
    let half = body.slice(..body.len() / 2);
    let pieces = [Ok(half), Err(Error::from(ErrorKind::ConnectionReset))];
    Response::from_parts(head, Body::from_stream(futures_util::stream::iter(pieces)))
}

/// Whether a connection shall end.
#[derive(Debug, Clone, Default)]
struct Dead(Arc<AtomicBool>);

impl Dead {
    fn die(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> std::io::Result<()> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl Connected<IncomingStream<'_, Mortal>> for Dead {
    fn connect_info(stream: IncomingStream<'_, Mortal>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Listens for connections that can be ended from inside a request.
struct Mortal(TcpListener);

impl Listener for Mortal {
    type Io = Connection;
    type Addr = Dead;

    async fn accept(&mut self) -> (Connection, Dead) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        let dead = Dead::default();
        (Connection { stream, dead: dead.clone() }, dead)
    }

    fn local_addr(&self) -> std::io::Result<Dead> {
        Ok(Dead::default())
    }
}

struct Connection {
    stream: TcpStream,
    dead: Dead,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.dead.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.dead.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
