//! Standard Webhooks 1.0.0 signatures: what a custom endpoint receives, and how it checks it. Both of
//! the standard's versions: `v1`, HMAC-SHA256 under a shared [`Secret`], and `v1a`, ed25519 under a
//! [`PrivateKey`] whose [`PublicKey`] anybody may have. Knows nothing of HTTP beyond the three header
//! names, and has no clock.
//!
//! ```
//! use kos_webhooks::signature::{Headers, VerifyingKey, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret: VerifyingKey = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?;
//! let body = br#"{"email":"test@example.com","username":"test_user"}"#;
//! let headers = Headers {
//!     id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
//!     timestamp: "1649367553",
//!     signature: "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
//! };
//! let now = chrono::DateTime::from_timestamp(1_649_367_600, 0).ok_or("no such time")?;
//! verify(&[secret], &headers, body, now)?;
//! # Ok(())
//! # }
//! ```

mod pair;
mod secret;

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use secrecy::SecretString;

pub use pair::{InvalidPrivateKey, InvalidPublicKey, PrivateKey, PublicKey};
pub use secret::{InvalidSecret, Secret};

/// The header with the message's id, the same on every retry.
pub const ID: &str = "webhook-id";
/// The header with the time of the attempt, in Unix seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";

/// How far a message's time may lie from the receiver's, either way, in seconds.
pub const TOLERANCE: i64 = 300;

const SHARED: &str = "v1,";
const PUBLIC: &str = "v1a,";

/// A key that messages are signed with. `Debug` shows nothing.
#[derive(Clone, Debug)]
pub enum SigningKey {
    /// Version `v1`.
    Secret(Secret),
    /// Version `v1a`.
    Private(PrivateKey),
}

/// A key that messages are checked with. `Debug` shows nothing of a secret.
#[derive(Clone, Debug)]
pub enum VerifyingKey {
    /// Version `v1`.
    Secret(Secret),
    /// Version `v1a`.
    Public(PublicKey),
}

/// The text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It begins as a secret does.
    #[error(transparent)]
    Secret(#[from] InvalidSecret),
    /// It begins as a private key does.
    #[error(transparent)]
    Private(#[from] InvalidPrivateKey),
    /// It begins as a public key does.
    #[error(transparent)]
    Public(#[from] InvalidPublicKey),
    /// It begins as nothing that fits here.
    #[error(
        "a key begins with `whsec_` (shared secret), `whsk_` (private key, to sign) or `whpk_` (public key, to verify)"
    )]
    Unknown,
}

/// Why a message is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// The timestamp is no whole number of seconds.
    #[error("the header webhook-timestamp is no Unix time")]
    BadTimestamp,
    /// The message was sent more than 5 minutes ago: it may be a replay.
    #[error("the message is older than 5 minutes")]
    TooOld,
    /// The message's time lies more than 5 minutes ahead: a clock is wrong.
    #[error("the message's time is more than 5 minutes ahead")]
    TooNew,
    /// No signature was made with any of the keys over these bytes.
    #[error("no signature matches")]
    NoMatch,
}

/// The three headers of a message.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
}

impl<'a> Headers<'a> {
    /// Gathers the headers by name, whatever the web framework; nothing when one is missing.
    pub fn find(header: impl Fn(&'static str) -> Option<&'a str>) -> Option<Self> {
        Some(Self { id: header(ID)?, timestamp: header(TIMESTAMP)?, signature: header(SIGNATURE)? })
    }
}

impl SigningKey {
    /// The key as text, **in clear**: `whsec_…` or `whsk_…`.
    #[must_use]
    pub fn reveal(&self) -> SecretString {
        match self {
            Self::Secret(secret) => secret.reveal(),
            Self::Private(key) => key.reveal(),
        }
    }

    /// The version of the signatures it makes: `v1` or `v1a`.
    #[must_use]
    pub const fn version(&self) -> &'static str {
        match self {
            Self::Secret(_) => "v1",
            Self::Private(_) => "v1a",
        }
    }

    fn signature(&self, signed: &[u8]) -> String {
        match self {
            Self::Secret(secret) => format!("{SHARED}{}", STANDARD.encode(secret.sign(signed))),
            Self::Private(key) => format!("{PUBLIC}{}", STANDARD.encode(key.sign(signed))),
        }
    }
}

impl FromStr for SigningKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with(secret::PREFIX) {
            return Ok(Self::Secret(text.parse()?));
        }
        if text.starts_with(pair::PRIVATE_PREFIX) {
            return Ok(Self::Private(text.parse()?));
        }
        Err(InvalidKey::Unknown)
    }
}

impl VerifyingKey {
    fn verifies(&self, signed: &[u8], signature: &str) -> bool {
        let decoded = |version| signature.strip_prefix(version).and_then(|encoded| STANDARD.decode(encoded).ok());
        match self {
            Self::Secret(secret) => decoded(SHARED).is_some_and(|bytes| secret.verifies(signed, &bytes)),
            Self::Public(key) => decoded(PUBLIC).is_some_and(|bytes| key.verifies(signed, &bytes)),
        }
    }
}

impl FromStr for VerifyingKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with(secret::PREFIX) {
            return Ok(Self::Secret(text.parse()?));
        }
        if text.starts_with(pair::PUBLIC_PREFIX) {
            return Ok(Self::Public(text.parse()?));
        }
        Err(InvalidKey::Unknown)
    }
}

impl From<Secret> for VerifyingKey {
    fn from(secret: Secret) -> Self {
        Self::Secret(secret)
    }
}

impl From<PublicKey> for VerifyingKey {
    fn from(key: PublicKey) -> Self {
        Self::Public(key)
    }
}

/// The header `webhook-signature` for a message: one signature per key, separated by spaces.
///
/// `timestamp` is the attempt's, in Unix seconds; `body` are exactly the bytes that are sent.
#[must_use]
pub fn sign<'k>(keys: impl IntoIterator<Item = &'k SigningKey>, id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = signed(id, &timestamp.to_string(), body);
    keys.into_iter().map(|key| key.signature(&signed)).collect::<Vec<_>>().join(" ")
}

/// Checks a message that arrived: every signature against every key, secrets in constant time.
/// Signatures of versions that no key has are ignored.
///
/// # Errors
/// The message is not to be trusted: answer 400 or 401 and do nothing else with it.
pub fn verify(keys: &[VerifyingKey], headers: &Headers<'_>, body: &[u8], now: DateTime<Utc>) -> Result<(), Untrusted> {
    let whole = !headers.timestamp.is_empty() && headers.timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let sent: i64 = headers.timestamp.parse().ok().filter(|_| whole).ok_or(Untrusted::BadTimestamp)?;
    let age = now.timestamp().saturating_sub(sent);
    if age > TOLERANCE {
        return Err(Untrusted::TooOld);
    }
    if age < -TOLERANCE {
        return Err(Untrusted::TooNew);
    }
    let signed = signed(headers.id, headers.timestamp, body);
    let any = |signature| keys.iter().any(|key| key.verifies(&signed, signature));
    if headers.signature.split(' ').any(any) { Ok(()) } else { Err(Untrusted::NoMatch) }
}

/// The bytes that a signature is made over.
fn signed(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

#[cfg(test)]
mod tests;
