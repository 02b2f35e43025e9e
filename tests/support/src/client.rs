//! A small blocking client for raw commands.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{Reply, resp};

/// One connection that sends words and reads replies, RESP2 until `HELLO 3`. Reads give up after 20 s.
#[derive(Debug)]
pub struct RespClient {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl RespClient {
    /// Connects to `redis://[:password@]host:port`, and sends `AUTH` when there is a password.
    pub fn connect(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("redis://").with_context(|| format!("url: not redis://: {url}"))?;
        let rest = rest.trim_end_matches('/');
        let (password, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (user.split_once(':').map(|(_, password)| password), address),
            None => (None, rest),
        };
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut client = Self { stream, buffer: Vec::new() };
        if let Some(password) = password
            && let Reply::Error(text) = client.command(["AUTH", password])?
        {
            bail!("AUTH: {text}");
        }
        Ok(client)
    }

    /// Sends one command and reads one reply. An error of the server is `Ok(Reply::Error)`.
    pub fn command<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) -> Result<Reply> {
        self.send(words)?;
        self.read()
    }

    /// Sends one command without waiting: several calls make a pipeline, whose replies [`Self::read`] reads.
    pub fn send<W: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = W>) -> Result<()> {
        let words: Vec<Vec<u8>> = words.into_iter().map(|word| word.as_ref().to_vec()).collect();
        let mut bytes = Vec::new();
        Reply::Array(words.into_iter().map(Reply::Bulk).collect()).write_resp2(&mut bytes);
        self.send_raw(&bytes)
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads one reply or push message.
    ///
    /// # Errors
    /// The server closed the connection, 20 s passed, or the bytes are not of the protocol.
    pub fn read(&mut self) -> Result<Reply> {
        loop {
            if let Some((reply, used)) = resp::reply(&self.buffer).map_err(anyhow::Error::msg)? {
                self.buffer.drain(..used);
                return Ok(reply);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk).context("reading a reply")? {
                0 => bail!("the server closed the connection"),
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
