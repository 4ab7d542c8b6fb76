//! One attempt: render, send, read, classify, under one deadline. Whatever happens is told in the
//! [`Attempt`]; nothing here fails or is tried again, but for the one plainer form a platform asks for.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kos_model::{Attempt, Outcome, Violation, Violations};
use reqwest::Response;
use serde_json::Value;
use url::Url;

use crate::answer::Answer;
use crate::channel::{Channel, Form, Unsendable, Verdict};
use crate::egress::{Blocked, EgressPolicy, Guard, NoAnswer};
use crate::error::Error;
use crate::message::Message;
use crate::platforms::Platforms;
use crate::redact::Redactor;
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

/// A destination made ready to be called: its address, and what may not be shown of it. Worth keeping
/// as long as the destination does not change.
pub struct Destination {
    target: Target,
    url: Result<Url, String>,
    redactor: Redactor,
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Destination({:?})", self.target)
    }
}

impl Destination {
    /// Where it leads.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }
}

/// One exchange with a server.
struct Exchange {
    verdict: Verdict,
    status: Option<u16>,
    response: Option<String>,
    wants_plain: bool,
}

/// The moment at which an attempt must be over.
#[derive(Clone, Copy)]
struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// The future's output, unless the deadline passes first.
    async fn keep<T>(self, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at((self.started + self.limit).into(), future).await.ok()
    }

    fn missed(self, what: &str) -> String {
        format!("{what} within {}", in_words(self.limit))
    }
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

    /// One attempt, within the sender's own limit. Never panics; what went wrong stands in the answer.
    pub async fn send(&self, target: &Target, message: &Message<'_>) -> Attempt {
        self.send_to(&self.prepare(target.clone()), message, self.0.limits.attempt).await
    }

    /// Makes a destination ready, for more than one call of [`Self::send_to`].
    #[must_use]
    pub fn prepare(&self, target: Target) -> Destination {
        let platforms = &self.0.platforms;
        let channel = target.channel();
        let url = channel.url(platforms).map_err(|Unsendable(why)| why);
        let mut secrets = channel.secrets(platforms);
        secrets.extend(url.as_ref().ok().map(ToString::to_string));
        Destination { redactor: Redactor::new(&secrets), url, target }
    }

    /// One attempt that ends within `limit`. Never panics; what went wrong stands in the answer.
    pub async fn send_to(&self, destination: &Destination, message: &Message<'_>, limit: Duration) -> Attempt {
        let deadline = Deadline { started: Instant::now(), limit };
        let mut last = self.exchange(destination, message, Form::Rich, deadline).await;
        if last.wants_plain {
            let kind = destination.target.webhook_type();
            tracing::warn!(webhook.kind = %kind, event.id = %message.event.id, "sent again as plain text: the platform refused the markup");
            last = self.exchange(destination, message, Form::Plain, deadline).await;
        }
        let Exchange { verdict: Verdict { outcome, error, pause }, status, response, wants_plain: _ } = last;
        Attempt { outcome, pause, status, response, error, duration: deadline.started.elapsed() }
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

    /// Which of the servers that are named in the platforms' places the egress policy forbids, as far as
    /// their URLs tell: so that an operator hears of `/slack_api_url` at the start.
    #[must_use]
    pub fn check_platforms(&self) -> Violations {
        let Platforms { slack_api_url, discord_api_url, telegram_api_url, .. } = &self.0.platforms;
        let mut faults = Violations::default();
        for (pointer, url) in [
            ("/slack_api_url", slack_api_url),
            ("/discord_api_url", discord_api_url),
            ("/telegram_api_url", telegram_api_url),
        ] {
            if let Some(Err(Blocked(why))) = url.as_ref().map(|url| self.0.guard.judge(url)) {
                faults.push(Violation::new(pointer, "destination_blocked", why));
            }
        }
        faults
    }

    async fn exchange(
        &self,
        destination: &Destination,
        message: &Message<'_>,
        form: Form,
        deadline: Deadline,
    ) -> Exchange {
        let exchange = match self.call(destination, message, form, deadline).await {
            Ok(exchange) => exchange,
            Err(Unsendable(why)) => Exchange::without_answer(Verdict::failed(Outcome::Fault, why)),
        };
        exchange.redacted(&destination.redactor)
    }

    async fn call(
        &self,
        destination: &Destination,
        message: &Message<'_>,
        form: Form,
        deadline: Deadline,
    ) -> Result<Exchange, Unsendable> {
        let channel = destination.target.channel();
        let url = destination.url.clone().map_err(Unsendable)?;
        let body = channel.body(message, form)?;
        let headers = channel.headers(message, &body)?;
        let response = match deadline.keep(self.0.guard.post(url, headers, body)).await {
            None => return Ok(Exchange::without_answer(passing(deadline.missed("no answer")))),
            Some(Err(no_answer)) => return Ok(Exchange::without_answer(self.unanswered(&no_answer))),
            Some(Ok(response)) => response,
        };
        let mut answer = Answer::head(response.status(), response.headers(), message.sent_at);
        let lost = match deadline.keep(read_start(response, &mut answer.body)).await {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(broken(&error.without_url())),
            None => Some(deadline.missed("the answer did not end")),
        };
        answer.cut = lost.is_some() || answer.body.len() >= MAX_READ;
        Ok(Exchange::answered(channel, &answer).having_lost(lost.as_deref()))
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
        if error.is_connect() && error.is_timeout() {
            return passing(format!("no connection within {}", in_words(self.0.limits.connect)));
        }
        if error.is_connect() {
            return passing(format!("cannot connect: {}", root(error)));
        }
        passing(broken(error))
    }
}

impl Exchange {
    fn without_answer(verdict: Verdict) -> Self {
        Self { verdict, status: None, response: None, wants_plain: false }
    }

    /// As it may be stored and shown.
    fn redacted(mut self, redactor: &Redactor) -> Self {
        self.response = self.response.map(|text| redactor.readable(&text, MAX_KEPT));
        self.verdict.error = self.verdict.error.map(|text| redactor.readable(&text, MAX_ERROR));
        self
    }

    /// The status and the headers were there and count; what became of the rest is told beside them.
    fn having_lost(mut self, lost: Option<&str>) -> Self {
        if let (Some(error), Some(why)) = (&mut self.verdict.error, lost) {
            error.push_str("; ");
            error.push_str(why);
        }
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

/// It may be the operator's oversight, and then the message goes out once he has allowed it.
fn refused(blocked: Blocked) -> Verdict {
    passing(blocked.to_string())
}

fn passing(error: String) -> Verdict {
    Verdict::failed(Outcome::Retry { after: None }, error)
}

fn broken(error: &reqwest::Error) -> String {
    format!("the connection broke: {}", root(error))
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
