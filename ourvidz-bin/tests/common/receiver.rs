//! A receiver of callbacks.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver as Channel, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// Accepts every callback with 200 and keeps it. Ends with the process.
pub(crate) struct Receiver {
    pub(crate) address: String,
    received: Channel<Received>,
}

/// One request: header names in lower case.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Receiver {
    pub(crate) fn start() -> Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let (sender, received) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || serve(stream, &sender));
            }
        });
        Ok(Receiver { address, received })
    }

    /// The next callback; an error when none comes within a minute.
    pub(crate) fn next(&self) -> Result<Received> {
        self.received.recv_timeout(Duration::from_secs(60)).context("no callback came")
    }

    /// Whether something came that nobody has asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.received.try_recv().is_err()
    }
}

impl Received {
    pub(crate) fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    pub(crate) fn header(&self, name: &str) -> Result<&str> {
        self.headers.get(name).map(String::as_str).with_context(|| format!("{name}: {:?}", self.headers))
    }
}

fn serve(stream: TcpStream, sender: &Sender<Received>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length")?.parse().ok()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        sender.send(Received { line: line.trim_end().to_owned(), headers, body }).ok()?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").ok()?;
    }
}
