//! A receiver that costs next to nothing: it looks for an event's number and time in the bytes, and counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How a path of the sink treats what comes to it.
const SLOW: &str = "/slow";
const HANGING: &str = "/hanging";
/// What a slow path takes.
pub const SLOWNESS: Duration = Duration::from_millis(200);

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// The clock that senders and the sink share.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

/// What came to one path.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// By event, how long it was under way, in microseconds.
    pub arrived: HashMap<u64, u64>,
    /// Messages of events that had come before.
    pub repeated: usize,
}

/// The running receiver; it ends with the runtime.
pub struct Sink {
    /// The clock of its latencies.
    pub clock: Clock,
    port: u16,
    tallies: Arc<Mutex<HashMap<String, Tally>>>,
    counter: Arc<watch::Sender<usize>>,
}

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since it was started.
    #[must_use]
    pub fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Sink {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// There is none.
    pub async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (clock, tallies) = (Clock::start(), Arc::<Mutex<HashMap<String, Tally>>>::default());
        let counter = Arc::new(watch::Sender::new(0));
        let (shared, counting) = (Arc::clone(&tallies), Arc::clone(&counter));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = Serving { clock, tallies: Arc::clone(&shared), counter: Arc::clone(&counting) };
                // A caller that hangs up ends its connection, and nothing else.
                tokio::spawn(async move { serving.run(stream).await.unwrap_or_default() });
            }
        });
        Ok(Self { clock, port, tallies, counter })
    }

    /// The address of a path here.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Waits until so many different messages have come since the last [`Self::take`], or none has for
    /// `patience`.
    pub async fn until(&self, messages: usize, patience: Duration) {
        let mut count = self.counter.subscribe();
        while *count.borrow_and_update() < messages {
            if tokio::time::timeout(patience, count.changed()).await.is_err() {
                return;
            }
        }
    }

    /// What has come since the last time, by path.
    #[must_use]
    pub fn take(&self) -> HashMap<String, Tally> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        self.counter.send_replace(0);
        std::mem::take(&mut *tallies)
    }
}

struct Serving {
    clock: Clock,
    tallies: Arc<Mutex<HashMap<String, Tally>>>,
    counter: Arc<watch::Sender<usize>>,
}

impl Serving {
    async fn run(self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(4_096);
        while let Some((path, body)) = request(&mut stream, &mut buffer).await? {
            if path.starts_with(HANGING) {
                std::future::pending::<()>().await;
            }
            if path.starts_with(SLOW) {
                tokio::time::sleep(SLOWNESS).await;
            }
            self.note(path, &body);
            stream.write_all(OK).await?;
        }
        Ok(())
    }

    fn note(&self, path: String, body: &[u8]) {
        let (Some(number), Some(sent)) = (number(body, b"\"n\":"), number(body, b"\"at\":")) else { return };
        let took = self.clock.now().saturating_sub(sent);
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(path).or_default();
        if tally.arrived.insert(number, took).is_some() {
            tally.repeated += 1;
        }
        self.counter.send_replace(tallies.values().map(|tally| tally.arrived.len()).sum());
    }
}

/// The next request's path and body; none when the caller is done.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<Option<(String, Vec<u8>)>> {
    loop {
        if let Some((path, start, end)) = whole(buffer) {
            let rest = buffer.split_off(end);
            let mut body = std::mem::replace(buffer, rest);
            return Ok(Some((path, body.split_off(start))));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// The path, and where the body begins and ends, once all of a message is there.
fn whole(buffer: &[u8]) -> Option<(String, usize, usize)> {
    let head_end = find(buffer, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(buffer.get(..head_end)?).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    let end = head_end + content_length(head);
    (buffer.len() >= end).then_some((path, head_end, end))
}

/// The length that a head announces; 0 when it announces none.
#[must_use]
pub fn content_length(head: &str) -> usize {
    let value = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    };
    head.lines().find_map(value).unwrap_or_default()
}

/// Where a pattern begins.
#[must_use]
pub fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn number(body: &[u8], name: &[u8]) -> Option<u64> {
    let digits = body.get(find(body, name)? + name.len()..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}
