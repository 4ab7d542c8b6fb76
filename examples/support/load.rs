//! Clients that post numbered events as fast as they are answered, or so many a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::sink::{Clock, content_length, find};

/// What to post, and how.
#[derive(Clone)]
pub struct Load {
    /// The clock of the sink that the events arrive at.
    pub clock: Clock,
    /// The port of loopback to post to.
    pub port: u16,
    /// The path to post to.
    pub path: &'static str,
    /// The key to show.
    pub key: &'static str,
    /// The events' type.
    pub event_type: &'static str,
    /// How many.
    pub events: u64,
    /// From how many connections.
    pub clients: u64,
    /// So many a second; as fast as they are answered without.
    pub per_second: Option<u32>,
}

/// What became of a load.
#[derive(Debug)]
pub struct Posted {
    /// Events that were accepted.
    pub accepted: usize,
    /// How long each post took, in microseconds.
    pub latencies: Vec<u64>,
}

impl Load {
    /// Posts everything, and returns once all is answered.
    ///
    /// # Errors
    /// A connection breaks, or an answer is none.
    pub async fn post(self) -> anyhow::Result<Posted> {
        let (next, since) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let clients: Vec<_> =
            (0..self.clients).map(|_| tokio::spawn(Client::run(self.clone(), Arc::clone(&next), since))).collect();
        let mut posted = Posted { accepted: 0, latencies: Vec::new() };
        for client in clients {
            let one = client.await??;
            posted.accepted += one.accepted;
            posted.latencies.extend(one.latencies);
        }
        Ok(posted)
    }

    fn request(&self, number: u64) -> String {
        let body = format!(
            r#"{{"event_type":"{}","payload":{{"n":{number},"at":{},"customer":"cus_4fk2Hq","amount":129900,"currency":"EUR","note":"{}"}}}}"#,
            self.event_type,
            self.clock.now(),
            "0123456789abcdef".repeat(3),
        );
        format!(
            "POST {} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.path,
            self.key,
            body.len(),
        )
    }
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn run(load: Load, next: Arc<AtomicU64>, since: Instant) -> anyhow::Result<Posted> {
        let stream = TcpStream::connect(("127.0.0.1", load.port)).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, buffer: Vec::with_capacity(1_024) };
        let mut posted = Posted { accepted: 0, latencies: Vec::new() };
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= load.events {
                return Ok(posted);
            }
            if let Some(per_second) = load.per_second {
                let due = Duration::from_secs(number) / per_second;
                sleep_until(since + due).await;
            }
            let before = load.clock.now();
            client.stream.write_all(load.request(number).as_bytes()).await?;
            if (200..300).contains(&client.status().await?) {
                posted.accepted += 1;
            }
            posted.latencies.push(load.clock.now() - before);
        }
    }

    /// Reads one answer to its end.
    async fn status(&mut self) -> anyhow::Result<u16> {
        self.buffer.clear();
        loop {
            anyhow::ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server hung up");
            let Some(head_end) = find(&self.buffer, b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(self.buffer.get(..head_end).unwrap_or_default())?;
            if self.buffer.len() >= head_end + 4 + content_length(head) {
                let status = head.split(' ').nth(1).context("an answer without a status")?;
                return Ok(status.parse()?);
            }
        }
    }
}
