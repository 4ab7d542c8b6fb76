//! Slack incoming webhooks: the URL's shape, the blocks, and what each of Slack's words means. Knows
//! nothing of sockets or of who may be called.

use kos_model::{Outcome, RateLimit, Violation, Violations, WebhookType};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::answer::Answer;
use crate::channel::{Channel, Form, Unsendable, Verdict, to_bytes};
use crate::draft::{TargetDraft, url_field};
use crate::error::InvalidTarget;
use crate::fit::fit;
use crate::links::{Span, spans};
use crate::message::Message;
use crate::platforms::{Platforms, path_below, under};
use crate::redact;

const HOST: &str = "hooks.slack.com";
const GOV_HOST: &str = "hooks.slack-gov.com";

/// The text below the header; and the same again, after escaping, for where blocks are not shown.
const MAX_TEXT: usize = 3000;
/// A header's text.
const MAX_HEADER: usize = 150;

/// A Slack incoming webhook. Its path is the credential.
#[derive(Clone, Debug)]
pub struct SlackTarget {
    host: &'static str,
    path: SecretString,
}

impl SlackTarget {
    pub(crate) fn check(draft: &TargetDraft, platforms: &Platforms, faults: &mut Violations) -> Option<Self> {
        faults.take(
            url_field(draft.url.as_deref()).and_then(|url| Self::from_url(&url, platforms.slack_api_url.as_ref())),
        )
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, InvalidTarget> {
        let text = value.get("url").and_then(Value::as_str);
        url_field(text)
            .and_then(|url| Self::from_url(&url, None))
            .map_err(|fault| InvalidTarget::new(WebhookType::Slack, fault.detail))
    }

    fn from_url(url: &Url, base: Option<&Url>) -> Result<Self, Violation> {
        let fault = |detail: &str| Err(Violation::new("/url", "invalid_url", detail));
        let own = base.and_then(|base| path_below(url, base)).map(|path| (HOST, path));
        let (host, path) = match (own, url.host_str()) {
            (Some(own), _) => own,
            (None, Some(HOST)) => (HOST, url.path()),
            (None, Some(GOV_HOST)) => (GOV_HOST, url.path()),
            (None, Some(_) | None) => {
                return fault("a Slack webhook's URL starts with https://hooks.slack.com/services/");
            }
        };
        if own.is_none() && (url.scheme() != "https" || url.port().is_some()) {
            return fault("a Slack webhook's URL is https, without a port");
        }
        if path.starts_with("/workflows/") || path.starts_with("/triggers/") {
            return fault("this is a Workflow Builder URL: register it with webhook_type custom");
        }
        if url.query().is_some() || !is_hook(path) {
            return fault("a Slack webhook's URL is https://hooks.slack.com/services/T…/B…/…, as Slack shows it");
        }
        Ok(Self { host, path: path.to_owned().into() })
    }

    fn token(&self) -> &str {
        self.path.expose_secret().rsplit('/').next().unwrap_or_default()
    }
}

/// `/services/T…/B…/…`
fn is_hook(path: &str) -> bool {
    let id = |part: &str| !part.is_empty() && part.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9'));
    let token = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut parts = path.split('/').skip(1);
    let all = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
    matches!(all, [Some("services"), Some(team), Some(hook), Some(secret), None] if id(team) && id(hook) && token(secret))
}

/// Event text in a block whose text is literal: no mark, mention or emoji's name means anything there.
/// Only addresses are links, each under its own name.
fn rich_text(text: &str) -> Value {
    let element = |span: Span<'_>| match span {
        Span::Text(text) => json!({"type": "text", "text": text}),
        Span::Link(link) if link.address() == link.text => json!({"type": "link", "url": link.text}),
        Span::Link(link) => json!({"type": "link", "url": link.address(), "text": link.text}),
    };
    let elements: Vec<Value> = spans(text).into_iter().map(element).collect();
    json!({"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]})
}

/// Text outside of blocks, where the other marks are switched off; this also kills every mention.
/// Slack makes links of the addresses in it by itself.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const fn escaped_units(c: char) -> usize {
    match c {
        '&' => "&amp;".len(),
        '<' | '>' => "&lt;".len(),
        other => other.len_utf16(),
    }
}

impl Channel for SlackTarget {
    fn kind(&self) -> WebhookType {
        WebhookType::Slack
    }

    fn redacted(&self) -> String {
        format!("https://{}/…/{}", self.host, redact::tail(self.token()))
    }

    fn to_json(&self) -> Value {
        json!({"url": format!("https://{}{}", self.host, self.path.expose_secret())})
    }

    fn body(&self, message: &Message<'_>, form: Form) -> Result<Vec<u8>, Unsendable> {
        let title = fit(&[message.title()], MAX_HEADER, char::len_utf16);
        let parts = message.parts();
        let summary = format!("{title}\n{}", fit(&parts, MAX_TEXT, escaped_units));
        let mut body = json!({
            "text": escaped(&summary),
            "mrkdwn": false,
            "unfurl_links": false,
            "unfurl_media": false,
        });
        if let (Form::Rich, Some(fields)) = (form, body.as_object_mut()) {
            let header = json!({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": true}});
            let text = rich_text(&fit(&parts, MAX_TEXT, char::len_utf16));
            fields.insert("blocks".to_owned(), json!([header, text]));
        }
        to_bytes(&body)
    }

    fn url(&self, platforms: &Platforms) -> Result<Url, Unsendable> {
        let path = self.path.expose_secret();
        match &platforms.slack_api_url {
            Some(base) => Ok(under(base, path)),
            None => Url::parse(&format!("https://{}{path}", self.host))
                .map_err(|error| Unsendable(format!("the stored Slack URL is broken: {error}"))),
        }
    }

    fn secrets(&self, _platforms: &Platforms) -> Vec<String> {
        let path = self.path.expose_secret();
        vec![path.to_owned(), path.trim_start_matches("/services/").to_owned(), self.token().to_owned()]
    }

    /// Slack has moved its words between statuses before: the word counts, then the status.
    fn classify(&self, answer: &Answer) -> Verdict {
        if answer.is_success() {
            if answer.body != b"ok" {
                tracing::info!(status = answer.status, "slack accepted a message in an unusual way");
            }
            return Verdict::delivered();
        }
        let text = answer.text();
        let word = text.trim();
        let retry = Outcome::Retry { after: answer.retry_after };
        let (outcome, meaning) = match word {
            "invalid_payload"
            | "invalid_blocks"
            | "invalid_blocks_format"
            | "invalid_attachments"
            | "no_text"
            | "missing_text_or_fallback_or_attachments"
            | "too_many_attachments" => (Outcome::Rejected, "Slack does not accept this message"),
            "user_not_found" | "channel_not_found" => (Outcome::Gone, "the channel or user no longer exists"),
            "channel_is_archived" => (Outcome::Gone, "the channel is archived"),
            "action_prohibited" | "posting_to_general_channel_denied" => {
                (Outcome::Gone, "an administrator of the workspace forbids posting there")
            }
            "invalid_token" | "no_service" | "no_service_id" | "no_active_hooks" | "no_team" | "team_disabled" => {
                (Outcome::Gone, "the webhook was removed or revoked; make a new one in Slack")
            }
            "rate_limited" => (retry, "too many messages"),
            "rollup_error" => (retry, "Slack has a fault of its own"),
            _ if answer.is_passing() => (retry, "a passing fault"),
            _ if answer.cut => (retry, "the answer broke off before it said why"),
            _ => (Outcome::Rejected, "an answer that is not documented"),
        };
        let named = if word.len() <= 64
            && !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            format!(" `{word}`")
        } else {
            String::new()
        };
        Verdict::failed(outcome, format!("Slack answered {}{named}: {meaning}", answer.status_text()))
    }

    /// One a second, and bursts pass.
    fn usual_rate(&self) -> Option<RateLimit> {
        Some(RateLimit { limit: 5, per_seconds: 5 })
    }

    fn wants_plain(&self, answer: &Answer) -> bool {
        answer.status == 400 && answer.text().trim().starts_with("invalid_blocks")
    }
}

#[cfg(test)]
mod tests;
