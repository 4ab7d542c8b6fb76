//! Headers that the receiver wants beside ours, such as `Authorization`. Their values are secrets.

use std::collections::BTreeMap;

use kos_model::{Violation, Violations};
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

const MAX_HEADERS: usize = 20;
const MAX_VALUE: usize = 4096;

/// Ours, the connection's, and those by which proxies and clouds tell who is calling.
const FORBIDDEN: [&str; 12] = [
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "accept-encoding",
    "user-agent",
    "forwarded",
    "via",
];
const FORBIDDEN_PREFIXES: [&str; 9] =
    ["webhook-", "content-", "proxy-", "x-forwarded-", "x-amz-", "x-goog-", "x-google-", "x-azure-", "x-ms-"];

#[derive(Clone, Default)]
pub(super) struct ExtraHeaders(Vec<(HeaderName, SecretString)>);

impl ExtraHeaders {
    pub(super) fn check(given: Option<&BTreeMap<String, String>>, faults: &mut Violations) -> Self {
        let Some(given) = given else { return Self::default() };
        if given.len() > MAX_HEADERS {
            faults.push(Violation::new("/headers", "too_many", format!("at most {MAX_HEADERS} headers")));
        }
        Self(given.iter().filter_map(|(name, value)| faults.take(header(name, value))).collect())
    }

    pub(super) fn from_json(value: Option<&Value>) -> Result<Self, String> {
        let given: BTreeMap<String, String> = match value {
            Some(value) => {
                serde::Deserialize::deserialize(value).map_err(|error: serde_json::Error| error.to_string())?
            }
            None => BTreeMap::new(),
        };
        let read = |(name, value): (&String, &String)| header(name, value).map_err(|fault| fault.detail);
        given.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn to_json(&self) -> Value {
        self.0.iter().map(|(name, value)| (name.to_string(), Value::from(value.expose_secret()))).collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.to_string()).collect()
    }

    pub(super) fn reveal(&self) -> impl Iterator<Item = (HeaderName, String)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
    }

    /// The values, and what in them comes after a scheme's name (`Bearer …`).
    pub(super) fn secrets(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(_, value)| {
            let value = value.expose_secret();
            std::iter::once(value).chain(value.split_once(' ').map(|(_, token)| token)).map(str::to_owned)
        })
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, SecretString), Violation> {
    let fault = |code, detail: String| Err(Violation::new(format!("/headers/{name}"), code, detail));
    let Ok(parsed) = name.parse::<HeaderName>() else {
        return fault("invalid_header", "is no header's name: use letters, digits and -".to_owned());
    };
    let lower = parsed.as_str();
    if FORBIDDEN.contains(&lower) || FORBIDDEN_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        return fault(
            "forbidden_header",
            "is set by the service itself, or tells who is calling: leave it out".to_owned(),
        );
    }
    if value.len() > MAX_VALUE {
        return fault("too_long", format!("a value has at most {MAX_VALUE} bytes"));
    }
    let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !printable || HeaderValue::from_str(value).is_err() {
        return fault("invalid_header", "a value is printable ASCII without line breaks".to_owned());
    }
    Ok((parsed, value.to_owned().into()))
}
