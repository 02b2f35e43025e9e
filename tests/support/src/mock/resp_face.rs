//! The Redis protocol.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::session::{Session, Step};
use super::shared::Shared;
use crate::faults::Face;
use crate::{Reply, resp};

/// Accepts until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let _ = stream.set_nodelay(true);
        let connection = Connection::open(stream, Arc::clone(&shared));
        tokio::spawn(connection.serve());
    }
}

struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    session: Session,
    pushed: mpsc::UnboundedReceiver<Reply>,
    buffer: Vec<u8>,
    /// The entry in the list of those who wait, while a command blocks.
    waiting: Option<u64>,
}

/// The connection is over.
struct Closed;

impl Connection {
    fn open(stream: TcpStream, shared: Arc<Shared>) -> Self {
        let (push, pushed) = mpsc::unbounded_channel();
        let session = shared.change(|state| {
            state.stats.connections += 1;
            state.stats.open_connections += 1;
            Session::new(state.new_id(), state.store.setup.password.is_none(), push)
        });
        Self { stream, shared, session, pushed, buffer: Vec::new(), waiting: None }
    }

    async fn serve(mut self) {
        while self.turn().await.is_ok() {}
    }

    /// Everything in the buffer, then more of it.
    async fn turn(&mut self) -> Result<(), Closed> {
        loop {
            match resp::request(&self.buffer) {
                Ok(Some((words, used))) => {
                    self.buffer.drain(..used);
                    if !words.is_empty() {
                        self.command(words).await?;
                    }
                }
                Ok(None) => break,
                Err(text) => {
                    self.send(&[Reply::Error(text)]).await?;
                    return Err(Closed);
                }
            }
        }
        tokio::select! {
            read = self.stream.read_buf(&mut self.buffer) => match read {
                Ok(0) | Err(_) => Err(Closed),
                Ok(_) => Ok(()),
            },
            Some(reply) = self.pushed.recv() => self.send(&[reply]).await,
        }
    }

    async fn command(&mut self, words: resp::Words) -> Result<(), Closed> {
        let verdict = self.shared.change(|state| state.arrive(Face::Resp, &words));
        if verdict.drop_before {
            return Err(Closed);
        }
        if verdict.delay > Duration::ZERO {
            tokio::time::sleep(verdict.delay).await;
        }
        let session = &mut self.session;
        let step = self.shared.change(|state| {
            if verdict.flush_scripts {
                state.store.scripts.clear();
            }
            match verdict.error {
                Some(text) => Step::Answer(vec![Reply::Error(text)]),
                None => session.handle(state, &words),
            }
        });
        let (replies, close) = match step {
            Step::Answer(replies) => (replies, false),
            Step::Close(reply) => (vec![reply], true),
            Step::Wait(id, receiver, timeout) => (vec![self.wait(id, receiver, timeout).await?], false),
        };
        if verdict.lose_reply {
            return Err(Closed);
        }
        self.send(&replies).await?;
        if close { Err(Closed) } else { Ok(()) }
    }

    /// Until it is served, its time is over, or the client goes.
    async fn wait(
        &mut self,
        id: u64,
        mut receiver: oneshot::Receiver<Reply>,
        timeout: Option<Duration>,
    ) -> Result<Reply, Closed> {
        self.waiting = Some(id);
        let over = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        let reply = loop {
            tokio::select! {
                biased;
                served = &mut receiver => break served.unwrap_or(Reply::NilArray),
                () = &mut over => {
                    self.forget();
                    // It may have been served in between.
                    break receiver.try_recv().unwrap_or(Reply::NilArray);
                }
                read = self.stream.read_buf(&mut self.buffer) => match read {
                    Ok(0) | Err(_) => return Err(Closed),
                    Ok(_) => {}
                },
            }
        };
        self.waiting = None;
        Ok(reply)
    }

    async fn send(&mut self, replies: &[Reply]) -> Result<(), Closed> {
        let mut bytes = Vec::new();
        for reply in replies {
            if self.session.resp3 { reply.write_resp3(&mut bytes) } else { reply.write_resp2(&mut bytes) }
        }
        self.stream.write_all(&bytes).await.map_err(|_| Closed)
    }

    fn forget(&mut self) {
        if let Some(id) = self.waiting.take() {
            self.shared.change(|state| state.store.waiters.retain(|waiter| waiter.id != id));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.forget();
        let id = self.session.id;
        self.shared.change(|state| {
            state.store.forget_subscriber(id);
            state.stats.open_connections -= 1;
        });
    }
}
