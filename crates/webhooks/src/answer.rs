//! A server's answer, as far as it is looked at, and the waiting time it asks for. Knows no platform.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
#[cfg(any(feature = "discord", feature = "telegram"))]
use serde_json::Value;

/// The least and the most that a server's wish to wait counts for.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Status, wishes to wait and the first 64 KiB of the body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// From the header `Retry-After`, within bounds.
    pub(crate) retry_after: Option<Duration>,
    #[cfg(feature = "discord")]
    /// From `X-RateLimit-Remaining` and `X-RateLimit-Reset-After`: this was the last message for now.
    pub(crate) exhausted_for: Option<Duration>,
    pub(crate) body: Vec<u8>,
    /// The body broke off, or is longer than what is read of it.
    pub(crate) cut: bool,
}

impl Answer {
    /// What an answer's head says; the body is still to come.
    pub(crate) fn head(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            status: status.as_u16(),
            retry_after: text("retry-after").and_then(|value| retry_after(value, now)),
            #[cfg(feature = "discord")]
            exhausted_for: exhausted_for(text("x-ratelimit-remaining"), text("x-ratelimit-reset-after")),
            body: Vec::new(),
            cut: false,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, when it is JSON.
    #[cfg(any(feature = "discord", feature = "telegram"))]
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The statuses that say "not now" on every platform, and everything that is the server's fault.
    #[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self.status, 300..=399 | 408 | 425 | 429 | 500..)
    }

    /// The status in words, for the operator.
    pub(crate) fn status_text(&self) -> String {
        let words = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let redirect = if matches!(self.status, 300..=399) { "; redirects are never followed" } else { "" };
        match words {
            Some(words) => format!("{} {words}{redirect}", self.status),
            None => format!("{}{redirect}", self.status),
        }
    }
}

/// How long a server that tells what is left of its patience bears nothing more.
#[cfg(feature = "discord")]
fn exhausted_for(remaining: Option<&str>, reset_after: Option<&str>) -> Option<Duration> {
    remaining.filter(|remaining| *remaining == "0")?;
    reset_after?.trim().parse().ok().and_then(wait_of)
}

/// Keeps a wish to wait within 1 s and 24 h.
pub(crate) fn bounded(wait: Duration) -> Duration {
    wait.clamp(SHORTEST_WAIT, LONGEST_WAIT)
}

/// A number of seconds, whole or not, rounded up to milliseconds and kept within bounds.
#[cfg(any(feature = "discord", feature = "telegram"))]
pub(crate) fn seconds(value: &Value) -> Option<Duration> {
    value.as_f64().and_then(wait_of).map(bounded)
}

#[cfg(any(feature = "discord", feature = "telegram"))]
fn wait_of(seconds: f64) -> Option<Duration> {
    let seconds = Some(seconds).filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT))
}

/// Reads `Retry-After`: seconds, or a date in any of HTTP's three forms.
pub(crate) fn retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(bounded(header.parse().map_or(LONGEST_WAIT, Duration::from_secs)));
    }
    let left = http_date(header)?.signed_duration_since(now);
    Some(bounded(left.to_std().unwrap_or(SHORTEST_WAIT)))
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    const FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).map(|date| date.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_every_form_and_kept_within_bounds() {
        let now = http_date("Sun, 06 Nov 1994 08:49:07 GMT").unwrap();
        for (header, expected) in [
            ("30", Some(30)),
            (" 7 ", Some(7)),
            ("0", Some(1)),
            ("86401", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(1)),
            ("Mon, 06 Nov 2034 08:00:00 GMT", Some(86_400)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), expected.map(Duration::from_secs), "{header}");
        }
    }

    #[cfg(feature = "discord")]
    #[test]
    fn a_server_that_bears_no_more_says_for_how_long() {
        let answer = |remaining, after| {
            let pairs = [("x-ratelimit-remaining", remaining), ("x-ratelimit-reset-after", after)];
            let headers = pairs.map(|(name, value): (&str, &str)| (name.parse().unwrap(), value.parse().unwrap()));
            Answer::head(StatusCode::OK, &HeaderMap::from_iter(headers), DateTime::UNIX_EPOCH).exhausted_for
        };
        assert_eq!(answer("0", "0.35"), Some(Duration::from_millis(350)));
        for (remaining, after) in [("1", "0.35"), ("0", "-1"), ("0", "NaN"), ("0", "soon")] {
            assert_eq!(answer(remaining, after), None, "{remaining} {after}");
        }
    }

    #[cfg(any(feature = "discord", feature = "telegram"))]
    #[test]
    fn seconds_with_a_fraction_keep_it() {
        assert_eq!(seconds(&serde_json::json!(1.5)), Some(Duration::from_millis(1500)));
        assert_eq!(seconds(&serde_json::json!(0.3)), Some(Duration::from_secs(1)));
        assert_eq!(seconds(&serde_json::json!(1e300)), Some(Duration::from_secs(86_400)));
        assert_eq!(seconds(&serde_json::json!("1")), None);
    }
}
