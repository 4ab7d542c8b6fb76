//! Standard Webhooks 1.0.0 signatures, version `v1` (HMAC-SHA256): what a custom endpoint receives,
//! and how it checks it. Knows nothing of HTTP beyond the three header names, and has no clock.
//!
//! ```
//! use kos_webhooks::signature::{Headers, Secret, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret: Secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse()?;
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

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The header with the message's id, the same on every retry.
pub const ID: &str = "webhook-id";
/// The header with the time of the attempt, in Unix seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with the signatures, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";

/// How far a message's time may lie from the receiver's, either way, in seconds.
pub const TOLERANCE: i64 = 300;

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";
const MADE: usize = 32;

/// A signing secret: 24 to 64 bytes, written `whsec_` and standard base64. `Debug` shows nothing.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

/// The text is no signing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret is `whsec_` followed by 24 to 64 bytes in standard base64")]
pub struct InvalidSecret;

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
    /// No signature was made with any of the secrets over these bytes.
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

impl Secret {
    /// A new secret of 32 random bytes.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random::<[u8; MADE]>().to_vec().into())
    }

    /// The secret as text, **in clear**: `whsec_…`.
    #[must_use]
    pub fn reveal(&self) -> SecretString {
        format!("{PREFIX}{}", STANDARD.encode(self.0.expose_secret())).into()
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        // HMAC takes keys of any length, so the other branch is never taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()) else { return [0; 32] };
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        match STANDARD.decode(encoded) {
            Ok(bytes) if (24..=64).contains(&bytes.len()) => Ok(Self(bytes.into())),
            Ok(_) | Err(_) => Err(InvalidSecret),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([REDACTED])")
    }
}

/// The header `webhook-signature` for a message: one signature per secret, separated by spaces.
///
/// `timestamp` is the attempt's, in Unix seconds; `body` are exactly the bytes that are sent.
#[must_use]
pub fn sign<'s>(secrets: impl IntoIterator<Item = &'s Secret>, id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let signature = |secret: &Secret| format!("{VERSION}{}", STANDARD.encode(secret.mac(id, &timestamp, body)));
    secrets.into_iter().map(signature).collect::<Vec<_>>().join(" ")
}

/// Checks a message that arrived: every signature against every secret, in constant time. Signatures
/// of versions other than `v1` are ignored.
///
/// # Errors
/// The message is not to be trusted: answer 400 or 401 and do nothing else with it.
pub fn verify(secrets: &[Secret], headers: &Headers<'_>, body: &[u8], now: DateTime<Utc>) -> Result<(), Untrusted> {
    let whole = !headers.timestamp.is_empty() && headers.timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let sent: i64 = headers.timestamp.parse().ok().filter(|_| whole).ok_or(Untrusted::BadTimestamp)?;
    let age = now.timestamp().saturating_sub(sent);
    if age > TOLERANCE {
        return Err(Untrusted::TooOld);
    }
    if age < -TOLERANCE {
        return Err(Untrusted::TooNew);
    }
    let given = headers.signature.split(' ').filter_map(|one| one.strip_prefix(VERSION));
    let given: Vec<Vec<u8>> = given.filter_map(|encoded| STANDARD.decode(encoded).ok()).collect();
    let mut trusted = subtle::Choice::from(0);
    for secret in secrets {
        let expected = secret.mac(headers.id, headers.timestamp, body);
        for signature in &given {
            trusted |= expected.as_slice().ct_eq(signature);
        }
    }
    if bool::from(trusted) { Ok(()) } else { Err(Untrusted::NoMatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const MSG: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const SENT: i64 = 1_649_367_553;
    const SIGNED: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn first() -> Secret {
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().unwrap()
    }

    fn second() -> Secret {
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()
    }

    fn check(signature: &str, timestamp: &str, body: &[u8], now: i64) -> Result<(), Untrusted> {
        let headers = Headers { id: MSG, timestamp, signature };
        verify(&[second(), first()], &headers, body, DateTime::from_timestamp(now, 0).unwrap())
    }

    #[test]
    fn the_specification_s_vectors_come_out() {
        assert_eq!(sign([&first()], MSG, SENT, BODY), SIGNED);
        let other = sign([&second()], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(other, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_message_signed_with_two_secrets_is_trusted_by_holders_of_either() {
        let both = sign([&first(), &second()], MSG, SENT, BODY);
        let now = DateTime::from_timestamp(SENT, 0).unwrap();
        let headers = Headers { id: MSG, timestamp: "1649367553", signature: &both };
        assert_eq!(both.split(' ').count(), 2);
        for secret in [first(), second()] {
            assert_eq!(verify(&[secret], &headers, BODY, now), Ok(()));
        }
        assert_eq!(verify(&[Secret::generate()], &headers, BODY, now), Err(Untrusted::NoMatch));
        assert_eq!(verify(&[], &headers, BODY, now), Err(Untrusted::NoMatch));
    }

    #[test]
    fn every_signature_is_tried_and_unknown_versions_are_ignored() {
        let list = format!("v1a,{0} v2,{0} junk v1,AAAA v1,% {1}", &SIGNED[3..], SIGNED);
        assert_eq!(check(&list, "1649367553", BODY, SENT), Ok(()));
        assert_eq!(check(&SIGNED.replace("v1,", "v2,"), "1649367553", BODY, SENT), Err(Untrusted::NoMatch));
        assert_eq!(check("", "1649367553", BODY, SENT), Err(Untrusted::NoMatch));
    }

    #[test]
    fn a_changed_body_or_time_is_not_trusted() {
        assert_eq!(check(SIGNED, "1649367553", b"{}", SENT), Err(Untrusted::NoMatch));
        assert_eq!(check(SIGNED, "1649367554", BODY, SENT), Err(Untrusted::NoMatch));
    }

    #[test]
    fn five_minutes_either_way_are_tolerated_and_no_second_more() {
        assert_eq!(check(SIGNED, "1649367553", BODY, SENT + 300), Ok(()));
        assert_eq!(check(SIGNED, "1649367553", BODY, SENT - 300), Ok(()));
        assert_eq!(check(SIGNED, "1649367553", BODY, SENT + 301), Err(Untrusted::TooOld));
        assert_eq!(check(SIGNED, "1649367553", BODY, SENT - 301), Err(Untrusted::TooNew));
        for bad in ["", "x", "+1649367553", "-1", "1649367553.0", "99999999999999999999"] {
            assert_eq!(check(SIGNED, bad, BODY, SENT), Err(Untrusted::BadTimestamp), "{bad}");
        }
    }

    #[test]
    fn a_secret_has_24_to_64_bytes_and_survives_its_text() {
        for (length, good) in [(23, false), (24, true), (64, true), (65, false)] {
            let text = format!("whsec_{}", STANDARD.encode(vec![7; length]));
            assert_eq!(text.parse::<Secret>().is_ok(), good, "{length}");
        }
        for bad in ["", "whsec_", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_***"] {
            assert_eq!(bad.parse::<Secret>().unwrap_err(), InvalidSecret);
        }
        let made = Secret::generate();
        let text = made.reveal();
        let read: Secret = text.expose_secret().parse().unwrap();
        assert_eq!(read.mac("a", "1", b""), made.mac("a", "1", b""));
        assert_eq!(format!("{made:?}"), "Secret([REDACTED])");
    }
}
