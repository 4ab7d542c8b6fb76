//! One attempt: render, send, read, classify, under one deadline. Whatever happens is told in the
//! [`Attempt`]; nothing here fails or is tried again, but for the one plainer form a platform asks for.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kos_model::{Attempt, Outcome, Violation};
use reqwest::Response;
use reqwest::header::RETRY_AFTER;
use serde_json::Value;

use crate::answer::{Answer, retry_after};
use crate::channel::{Channel, Form, Unsendable, Verdict};
use crate::egress::{Blocked, EgressPolicy, Guard, NoAnswer};
use crate::error::Error;
use crate::message::Message;
use crate::platforms::Platforms;
use crate::redact::readable;
use crate::target::Target;

/// Most bytes of an answer that are read.
const MAX_READ: usize = 64 * 1024;
/// Most bytes of an answer that are kept.
const MAX_KEPT: usize = 1024;
/// Longest error text, in bytes.
const MAX_ERROR: usize = 512;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A whole attempt: name, connection, TLS, headers and body. 15 s by default.
    pub attempt: Duration,
    /// Name, connection and TLS. 5 s by default.
    pub connect: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attempt: Duration::from_secs(15), connect: Duration::from_secs(5) }
    }
}

/// Sends messages. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Sender(Arc<Inner>);

struct Inner {
    platforms: Platforms,
    guard: Guard,
    limits: Limits,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

/// One exchange with a server.
struct Exchange {
    verdict: Verdict,
    status: Option<u16>,
    response: Option<String>,
    wants_plain: bool,
}

impl Sender {
    /// A sender with its own connections.
    ///
    /// # Errors
    /// The system's root certificates cannot be loaded, or the HTTP client not be built.
    pub fn new(platforms: Platforms, egress: EgressPolicy, limits: Limits) -> Result<Self, Error> {
        let guard = Guard::new(egress, limits.connect)?;
        Ok(Self(Arc::new(Inner { platforms, guard, limits })))
    }

    /// The settings it was made with.
    #[must_use]
    pub fn platforms(&self) -> &Platforms {
        &self.0.platforms
    }

    /// One attempt. Never panics; what went wrong stands in the answer.
    pub async fn send(&self, target: &Target, message: &Message<'_>) -> Attempt {
        let started = Instant::now();
        let channel = target.channel();
        let mut last = self.exchange(channel, message, Form::Rich, started).await;
        if last.wants_plain {
            tracing::warn!(webhook.kind = %channel.kind(), event.id = %message.event.id, "sent again as plain text: the platform refused the markup");
            last = self.exchange(channel, message, Form::Plain, started).await;
        }
        let Exchange { verdict, status, response, wants_plain: _ } = last;
        Attempt { outcome: verdict.outcome, status, response, error: verdict.error, duration: started.elapsed() }
    }

    /// The JSON that would be sent, without any secret.
    #[must_use]
    pub fn preview(&self, target: &Target, message: &Message<'_>) -> Value {
        let body = target.channel().body(message, Form::Rich).unwrap_or_default();
        serde_json::from_slice(&body).unwrap_or_default()
    }

    /// Whether the destination may be called, as far as its URL tells: so that a person hears of it
    /// when registering. Asks no name server; the verdict that counts falls at every attempt.
    ///
    /// # Errors
    /// The egress policy forbids the URL.
    pub fn check_destination(&self, target: &Target) -> Result<(), Violation> {
        let Ok(url) = target.channel().url(&self.0.platforms) else { return Ok(()) };
        let blocked = |Blocked(why)| Violation::new("/url", "destination_blocked", why);
        self.0.guard.judge(&url).map(|_| ()).map_err(blocked)
    }

    async fn exchange(&self, channel: &dyn Channel, message: &Message<'_>, form: Form, started: Instant) -> Exchange {
        let mut secrets = channel.secrets(&self.0.platforms);
        secrets.extend(channel.url(&self.0.platforms).map(String::from));
        let exchange = match self.call(channel, message, form, started).await {
            Ok(exchange) => exchange,
            Err(Unsendable(why)) => Exchange::without_answer(Verdict::failed(Outcome::Fault, why)),
        };
        exchange.without(&secrets)
    }

    async fn call(
        &self,
        channel: &dyn Channel,
        message: &Message<'_>,
        form: Form,
        started: Instant,
    ) -> Result<Exchange, Unsendable> {
        let body = channel.body(message, form)?;
        let (url, headers) = (channel.url(&self.0.platforms)?, channel.headers(message, &body)?);
        let response = match self.in_time(started, self.0.guard.post(url, headers, body)).await {
            None => return Ok(Exchange::without_answer(self.too_late("no answer"))),
            Some(Err(no_answer)) => return Ok(Exchange::without_answer(self.unanswered(&no_answer))),
            Some(Ok(response)) => response,
        };
        let status = response.status().as_u16();
        let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|value| retry_after(value, message.sent_at));
        let mut read = Vec::new();
        let verdict = match self.in_time(started, read_start(response, &mut read)).await {
            None => self.too_late("the answer did not end"),
            Some(Err(error)) => broken(&error.without_url()),
            Some(Ok(())) => {
                let answer = Answer { status, retry_after, body: read };
                return Ok(Exchange::answered(channel, &answer));
            }
        };
        let response = Some(String::from_utf8_lossy(&read).into_owned());
        Ok(Exchange { verdict, status: Some(status), response, wants_plain: false })
    }

    /// The future's output, unless the attempt's deadline passes first.
    async fn in_time<T>(&self, started: Instant, future: impl Future<Output = T>) -> Option<T> {
        let left = self.0.limits.attempt.saturating_sub(started.elapsed());
        tokio::time::timeout(left, future).await.ok()
    }

    fn too_late(&self, what: &str) -> Verdict {
        let error = format!("{what} within {}", in_words(self.0.limits.attempt));
        Verdict::failed(Outcome::Retry { after: None }, error)
    }

    fn unanswered(&self, no_answer: &NoAnswer) -> Verdict {
        let error = match no_answer {
            NoAnswer::Blocked(blocked) => return refused(*blocked),
            NoAnswer::Fault(error) => error,
        };
        if let Some(blocked) = causes(error).find_map(|cause| cause.downcast_ref::<Blocked>()) {
            return refused(*blocked);
        }
        if error.is_builder() {
            return Verdict::failed(Outcome::Fault, format!("the request cannot be built: {}", root(error)));
        }
        let retry = Outcome::Retry { after: None };
        if error.is_connect() && error.is_timeout() {
            return Verdict::failed(retry, format!("no connection within {}", in_words(self.0.limits.connect)));
        }
        if error.is_connect() {
            return Verdict::failed(retry, format!("cannot connect: {}", root(error)));
        }
        broken(error)
    }
}

impl Exchange {
    fn without_answer(verdict: Verdict) -> Self {
        Self { verdict, status: None, response: None, wants_plain: false }
    }

    /// As it may be stored and shown.
    fn without(mut self, secrets: &[String]) -> Self {
        self.response = self.response.map(|text| readable(&text, secrets, MAX_KEPT));
        self.verdict.error = self.verdict.error.map(|text| readable(&text, secrets, MAX_ERROR));
        self
    }

    fn answered(channel: &dyn Channel, answer: &Answer) -> Self {
        Self {
            verdict: channel.classify(answer),
            status: Some(answer.status),
            response: Some(answer.text()),
            wants_plain: channel.wants_plain(answer),
        }
    }
}

/// Reads up to the limit; the rest is left, and the connection with it.
async fn read_start(mut response: Response, read: &mut Vec<u8>) -> Result<(), reqwest::Error> {
    while let Some(chunk) = response.chunk().await? {
        let room = MAX_READ.saturating_sub(read.len());
        read.extend(chunk.iter().take(room));
        if chunk.len() >= room {
            break;
        }
    }
    Ok(())
}

fn refused(blocked: Blocked) -> Verdict {
    Verdict::failed(Outcome::Rejected, blocked.to_string())
}

fn broken(error: &reqwest::Error) -> Verdict {
    Verdict::failed(Outcome::Retry { after: None }, format!("the connection broke: {}", root(error)))
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |cause: &&(dyn StdError + 'static)| {
        let cause: &(dyn StdError + 'static) = *cause;
        cause.source()
    })
}

/// The innermost cause: the others only say that something failed.
fn root(error: &reqwest::Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

fn in_words(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}
