use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// A receiver of callbacks that answers what it is told to and remembers what it got.
pub(crate) struct Receiver {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Clone)]
pub(crate) enum Reply {
    Status(u16),
    With(u16, &'static str, String),
    /// Answers 200 when a permit is there; each answer takes one.
    Gate(Arc<Semaphore>),
    /// Never answers.
    Silence,
}

#[derive(Clone)]
pub(crate) struct Got {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

struct Shared {
    script: Mutex<VecDeque<Reply>>,
    otherwise: Mutex<Reply>,
    got: watch::Sender<Vec<Got>>,
    /// Requests under way, and the most there were at once.
    busy: Mutex<(usize, usize)>,
}

impl Receiver {
    /// Answers the replies in their order, then `otherwise`.
    pub(crate) async fn start(script: Vec<Reply>, otherwise: Reply) -> Result<Self> {
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into()),
            otherwise: Mutex::new(otherwise),
            got: watch::Sender::default(),
            busy: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/functions/v1/job-callback", listener.local_addr()?);
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, shared })
    }

    pub(crate) fn answer_with(&self, reply: Reply) {
        *self.shared.otherwise.lock().unwrap() = reply;
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.shared.got.borrow().clone()
    }

    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Got> {
        let mut got = self.shared.got.subscribe();
        let enough = got.wait_for(|got| got.len() >= count).await.unwrap();
        enough.clone()
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.busy.lock().unwrap().1
    }
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id").unwrap()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    let got = Got { method: parts.method, path, headers: parts.headers, body };
    let reply = shared.script.lock().unwrap().pop_front();
    let reply = reply.unwrap_or_else(|| shared.otherwise.lock().unwrap().clone());
    {
        let mut busy = shared.busy.lock().unwrap();
        busy.0 += 1;
        busy.1 = busy.1.max(busy.0);
    }
    shared.got.send_modify(|all| all.push(got));
    let response = Response::builder();
    let response = match reply {
        Reply::Status(status) => response.status(status),
        Reply::With(status, name, value) => response.status(status).header(name, value),
        Reply::Gate(gate) => {
            gate.acquire().await.unwrap().forget();
            response.status(200)
        }
        Reply::Silence => std::future::pending().await,
    };
    shared.busy.lock().unwrap().0 -= 1;
    response.body(Body::from("{\"success\":true}")).unwrap()
}

/// A server for one connection: reads until it has seen `until`, then `act`s on the connection.
pub(crate) async fn raw<F, T>(
    until: &'static str,
    act: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (String, Task<T>)
where
    F: Future<Output = T> + Send,
    T: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains(until) {
            stream.readable().await.unwrap();
            let mut piece = [0; 4096];
            match stream.try_read(&mut piece) {
                Ok(0) => panic!("closed before {until:?}"),
                Ok(count) => read.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        act(stream).await
    });
    (url, task)
}

type Task<T> = tokio::task::JoinHandle<T>;

/// Writes all of it, or says why it cannot.
pub(crate) async fn write(stream: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
