//! Discord webhooks: the URL's shape, the embed, and what each of Discord's codes means. Knows nothing
//! of sockets or of who may be called.

use std::time::Duration;

use chrono::SecondsFormat;
use kos_model::{Outcome, Violation, Violations, WebhookType};
use reqwest::header::USER_AGENT;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::answer::{self, Answer};
use crate::channel::{Channel, Form, Headers, Unsendable, Verdict, to_bytes};
use crate::draft::{TargetDraft, url_field};
use crate::error::InvalidTarget;
use crate::fit::fit;
use crate::links::{Span, spans};
use crate::message::Message;
use crate::platforms::{Platforms, path_below, under};
use crate::redact;

const ORIGIN: &str = "https://discord.com";
/// Discord's other names for itself; `discordapp.com` has a global limit of its own, and a low one.
const HOSTS: [&str; 6] = [
    "discord.com",
    "ptb.discord.com",
    "canary.discord.com",
    "discordapp.com",
    "ptb.discordapp.com",
    "canary.discordapp.com",
];
/// Discord asks for this form, and turns library defaults away.
const AGENT: &str = concat!("DiscordBot (https://knowledge-os.example, ", env!("CARGO_PKG_VERSION"), ")");

const MAX_TITLE: usize = 256;
const MAX_DESCRIPTION: usize = 4096;
const COLOUR: u32 = 0x58_a6_ff;

/// How long to stay away after Cloudflare, not Discord, has answered.
const CLOUDFLARE_PAUSE: Duration = Duration::from_secs(300);

/// A Discord webhook. Its token is the credential.
#[derive(Clone, Debug)]
pub struct DiscordTarget {
    id: String,
    token: SecretString,
    thread_id: Option<String>,
}

impl DiscordTarget {
    pub(crate) fn check(draft: &TargetDraft, platforms: &Platforms, faults: &mut Violations) -> Option<Self> {
        let base = platforms.discord_api_url.as_ref();
        faults.take(url_field(draft.url.as_deref()).and_then(|url| Self::from_url(&url, base)))
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, InvalidTarget> {
        let text = value.get("url").and_then(Value::as_str);
        url_field(text)
            .and_then(|url| Self::from_url(&url, None))
            .map_err(|fault| InvalidTarget::new(WebhookType::Discord, fault.detail))
    }

    fn from_url(url: &Url, base: Option<&Url>) -> Result<Self, Violation> {
        let fault = |detail: &str| Err(Violation::new("/url", "invalid_url", detail));
        let own = base.and_then(|base| path_below(url, base));
        let discords = url.host_str().is_some_and(|host| HOSTS.contains(&host));
        if own.is_none() && !discords {
            return fault("a Discord webhook's URL starts with https://discord.com/api/webhooks/");
        }
        if own.is_none() && (url.scheme() != "https" || url.port().is_some()) {
            return fault("a Discord webhook's URL is https, without a port");
        }
        let (id, token) = match hook(own.unwrap_or(url.path())) {
            Some((id, token, None)) => (id, token),
            Some((_, _, Some("slack" | "github"))) => {
                return fault("leave out /slack or /github at the end: that address speaks another dialect");
            }
            Some((_, _, Some(_))) | None => {
                return fault("a Discord webhook's URL is https://discord.com/api/webhooks/<number>/<token>");
            }
        };
        Ok(Self { id: id.to_owned(), token: token.to_owned().into(), thread_id: thread(url)? })
    }

    fn path(&self) -> String {
        format!("/api/v10/webhooks/{}/{}", self.id, self.token.expose_secret())
    }
}

fn is_snowflake(text: &str) -> bool {
    (17..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Id, token and whatever follows in `/api[/v10]/webhooks/<id>/<token>[/…]`.
fn hook(path: &str) -> Option<(&str, &str, Option<&str>)> {
    let rest = path.strip_prefix("/api/")?;
    let rest = match rest.split_once('/') {
        Some((version, rest)) if is_version(version) => rest,
        Some(_) | None => rest,
    };
    let (id, rest) = rest.strip_prefix("webhooks/")?.split_once('/')?;
    let (token, more) = rest.split_once('/').map_or((rest, None), |(token, more)| (token, Some(more)));
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (is_snowflake(id) && (1..=128).contains(&token.len()) && token.bytes().all(good)).then_some((id, token, more))
}

fn is_version(text: &str) -> bool {
    text.strip_prefix('v').is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The forum thread that the URL's query names.
fn thread(url: &Url) -> Result<Option<String>, Violation> {
    let mut thread = None;
    for (key, value) in url.query_pairs() {
        match key.as_ref() {
            "wait" => {}
            "thread_id" if is_snowflake(&value) => thread = Some(value.into_owned()),
            "thread_id" => {
                return Err(Violation::new("/url", "invalid_url", "thread_id is a number of 17 to 20 digits"));
            }
            _ => {
                return Err(Violation::new(
                    "/url",
                    "invalid_url",
                    "the URL's query may hold thread_id and nothing else",
                ));
            }
        }
    }
    Ok(thread)
}

/// What Markdown, a mention, an emoji or a time could be made of.
const MARKS: &str = r"\*_~`|><#-+[]():@";

/// Event text that Discord shows as it was written. Between `<` and `>` an address is a link, ends where it
/// should, and is shown without them; there is no label behind which another could hide.
fn markdown(text: &str) -> String {
    let show = |span: Span<'_>| match span {
        Span::Text(text) => literal(text),
        Span::Link(link) => format!("<{}>", link.text),
    };
    spans(text).into_iter().map(show).collect()
}

/// Text in which everything that could mean something gets a backslash.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        let list_number = c == '.' && before.is_ascii_digit();
        if list_number || MARKS.contains(c) {
            out.push('\\');
        }
        out.push(c);
        before = c;
    }
    out
}

/// The most that a character takes in [`markdown`]. The colon pays for the `<` and `>` of its address.
fn markdown_units(c: char) -> usize {
    match c {
        ':' => "<:>".len(),
        '.' => r"\.".len(),
        mark if MARKS.contains(mark) => r"\_".len(),
        other => other.len_utf16(),
    }
}

impl Channel for DiscordTarget {
    fn kind(&self) -> WebhookType {
        WebhookType::Discord
    }

    fn redacted(&self) -> String {
        format!("{ORIGIN}/…/{}", redact::tail(self.token.expose_secret()))
    }

    fn to_json(&self) -> Value {
        let query = self.thread_id.as_ref().map(|id| format!("?thread_id={id}")).unwrap_or_default();
        json!({"url": format!("{ORIGIN}{}{query}", self.path())})
    }

    fn body(&self, message: &Message<'_>, _form: Form) -> Result<Vec<u8>, Unsendable> {
        to_bytes(&json!({
            "embeds": [{
                "title": fit(&[message.title()], MAX_TITLE, char::len_utf16),
                "description": markdown(&fit(&message.parts(), MAX_DESCRIPTION, markdown_units)),
                "color": COLOUR,
                "timestamp": message.event.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            }],
            "allowed_mentions": {"parse": []},
        }))
    }

    fn headers(&self, _message: &Message<'_>, _body: &[u8]) -> Result<Headers, Unsendable> {
        Ok(vec![(USER_AGENT, AGENT.to_owned())])
    }

    fn url(&self, platforms: &Platforms) -> Result<Url, Unsendable> {
        let broken = |error: url::ParseError| Unsendable(format!("the stored Discord URL is broken: {error}"));
        let origin = Url::parse(ORIGIN).map_err(broken)?;
        let mut url = under(platforms.discord_api_url.as_ref().unwrap_or(&origin), &self.path());
        // Without it Discord answers before it has judged the message, and faults pass in silence.
        url.query_pairs_mut().append_pair("wait", "true");
        if let Some(thread) = &self.thread_id {
            url.query_pairs_mut().append_pair("thread_id", thread);
        }
        Ok(url)
    }

    fn secrets(&self, _platforms: &Platforms) -> Vec<String> {
        vec![self.path(), self.token.expose_secret().to_owned()]
    }

    fn classify(&self, answer: &Answer) -> Verdict {
        if answer.is_success() {
            return Verdict::delivered().pausing(answer.exhausted_for);
        }
        let json = answer.json().filter(Value::is_object);
        let code = json.as_ref().and_then(|json| json.get("code")).and_then(Value::as_u64).filter(|code| *code != 0);
        let (outcome, meaning) = judge(answer, json.as_ref(), code);
        let named = code.map(|code| format!(", code {code}")).unwrap_or_default();
        let place = json.as_ref().and_then(|json| json.get("errors")).and_then(faulty_field);
        let place = place.map(|(path, why)| format!(" ({path}: {why})")).unwrap_or_default();
        let text = format!("Discord answered {}{named}: {meaning}{place}", answer.status_text());
        let verdict = Verdict::failed(outcome, text);
        if is_for_all(answer, json.as_ref(), code) { verdict.of_account() } else { verdict }
    }

    fn account(&self, _platforms: &Platforms) -> Option<String> {
        Some("discord".to_owned())
    }
}

/// Whether what Discord, or Cloudflare before it, wants of us concerns all webhooks from this address.
fn is_for_all(answer: &Answer, json: Option<&Value>, code: Option<u64>) -> bool {
    let global = json.and_then(|json| json.get("global")).and_then(Value::as_bool).unwrap_or(false);
    global || code == Some(40_333) || is_cloudflares(answer, json)
}

/// Discord itself answers in JSON; the beginning of an answer that broke off may well be that.
fn is_cloudflares(answer: &Answer, json: Option<&Value>) -> bool {
    json.is_none() && (!answer.cut || answer.body.starts_with(b"<"))
}

fn judge(answer: &Answer, json: Option<&Value>, code: Option<u64>) -> (Outcome, &'static str) {
    let retry = |after| Outcome::Retry { after };
    let asked = json.and_then(|json| json.get("retry_after")).and_then(answer::seconds).or(answer.retry_after);
    match (answer.status, code) {
        (429 | 403, _) if is_cloudflares(answer, json) => {
            (retry(Some(asked.unwrap_or(CLOUDFLARE_PAUSE))), "Cloudflare turned us away; all webhooks wait")
        }
        (403, Some(40_333)) => (retry(Some(asked.unwrap_or(CLOUDFLARE_PAUSE))), "Cloudflare turned us away"),
        (429, _) => (retry(asked), "too many messages"),
        (_, Some(10_015)) => (Outcome::Gone, "the webhook was deleted; make a new one in Discord"),
        (_, Some(10_003)) => (Outcome::Gone, "the thread or channel no longer exists"),
        (_, Some(220_001..=220_004)) => {
            (Outcome::Gone, "the channel is a forum and the webhook names no fitting thread")
        }
        (_, Some(50_083 | 160_005)) => (Outcome::Gone, "the thread is archived or locked"),
        (_, Some(50_027)) => (Outcome::Unauthorized, "the webhook's token is wrong or was reset"),
        (_, Some(50_001 | 50_013)) => (Outcome::Unauthorized, "the webhook may not write there"),
        (_, Some(50_035)) => (Outcome::Rejected, "a field of the message is not accepted"),
        (_, Some(50_006)) => (Outcome::Rejected, "the message is empty"),
        (_, Some(200_000 | 200_001)) => (Outcome::Rejected, "AutoMod blocked the message"),
        (413, _) | (_, Some(40_005)) => (Outcome::Rejected, "the message is too large"),
        (401, _) => (Outcome::Unauthorized, "the webhook's token is wrong or was reset"),
        _ if answer.is_passing() => (retry(asked), "a passing fault"),
        _ if answer.cut => (retry(asked), "the answer broke off before it said why"),
        _ => (Outcome::Rejected, "an answer that is not documented"),
    }
}

/// The first complaint in Discord's tree of field faults, with its path.
fn faulty_field(errors: &Value) -> Option<(String, String)> {
    let mut path: Vec<&str> = Vec::new();
    let mut here = errors;
    loop {
        let first = here.get("_errors").and_then(|list| list.get(0));
        if let Some(message) = first.and_then(|first| first.get("message")).and_then(Value::as_str) {
            return Some((path.join("."), message.to_owned()));
        }
        let (key, below) = here.as_object()?.iter().next()?;
        path.push(key);
        here = below;
    }
}

#[cfg(test)]
mod tests;
