use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use ourvidz_queue::signature::{CALLBACK_SIGNATURE, CallbackSecret};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Takes callbacks on this machine, and checks that they are signed.
pub(super) struct Receiver {
    pub(super) address: String,
    received: UnboundedReceiver<Result<Value>>,
    /// Terminal callbacks that nobody has asked for yet, by the job's id.
    ended: HashMap<String, Value>,
}

impl Receiver {
    /// Listens until the process ends.
    pub(super) fn start(secret: &str) -> Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a receiver of callbacks")?;
        let address = format!("http://{}", listener.local_addr()?);
        let (sender, received) = unbounded_channel();
        let secret = Arc::new(CallbackSecret::new(secret)?);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, secret) = (sender.clone(), secret.clone());
                std::thread::spawn(move || serve(stream, &secret, &sender));
            }
        });
        Ok(Receiver { address, received, ended: HashMap::new() })
    }

    /// The body of a job's `completed` or `failed` callback.
    ///
    /// # Errors
    /// A callback whose signature is wrong.
    pub(super) async fn ended(&mut self, job_id: &str) -> Result<Value> {
        loop {
            if let Some(body) = self.ended.remove(job_id) {
                return Ok(body);
            }
            let body = self.received.recv().await.context("the receiver of callbacks has ended")??;
            if let (true, Some(id)) = (body["status"] != "processing", body["job_id"].as_str()) {
                self.ended.insert(id.to_owned(), body.clone());
            }
        }
    }
}

/// Requests of one connection; `None` when it ends.
fn serve(stream: TcpStream, secret: &CallbackSecret, sender: &UnboundedSender<Result<Value>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let (mut length, mut signature) = (0, String::new());
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            } else if name.eq_ignore_ascii_case(CALLBACK_SIGNATURE) {
                signature = value.trim().to_owned();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let checked = check(&body, &signature, secret);
        let status = if checked.is_ok() { "200 OK" } else { "401 Unauthorized" };
        sender.send(checked).ok()?;
        stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}").as_bytes()).ok()?;
    }
}

fn check(body: &[u8], signature: &str, secret: &CallbackSecret) -> Result<Value> {
    if signature != secret.header(body) {
        bail!("a callback's signature is wrong");
    }
    serde_json::from_slice(body).context("a callback")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_signed_with_the_secret_is_refused() -> Result<()> {
        let (secret, other) = (CallbackSecret::new("ours")?, CallbackSecret::new("theirs")?);
        let body = br#"{"job_id": "j1"}"#;
        anyhow::ensure!(check(body, &secret.header(body), &secret)?["job_id"] == "j1");
        anyhow::ensure!(check(body, &other.header(body), &secret).is_err());
        anyhow::ensure!(check(body, "", &secret).is_err());
        Ok(())
    }
}
