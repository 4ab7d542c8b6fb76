//! Version `v1`: a secret that sender and receiver share.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

pub(super) const PREFIX: &str = "whsec_";
const MADE: usize = 32;

/// A signing secret: 24 to 64 bytes, written `whsec_` and standard base64. `Debug` shows nothing.
#[derive(Clone)]
pub struct Secret {
    bytes: SecretSlice<u8>,
    key: hmac::Key,
}

/// The text is no signing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret is `whsec_` followed by 24 to 64 bytes in standard base64")]
pub struct InvalidSecret;

impl Secret {
    /// A new secret of 32 random bytes.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(rand::random::<[u8; MADE]>().to_vec())
    }

    /// The secret as text, **in clear**: `whsec_…`.
    #[must_use]
    pub fn reveal(&self) -> SecretString {
        format!("{PREFIX}{}", STANDARD.encode(self.bytes.expose_secret())).into()
    }

    fn new(bytes: Vec<u8>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        Self { bytes: bytes.into(), key }
    }

    pub(super) fn sign(&self, signed: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, signed)
    }

    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.key, signed, signature).is_ok()
    }
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        match STANDARD.decode(encoded) {
            Ok(bytes) if (24..=64).contains(&bytes.len()) => Ok(Self::new(bytes)),
            Ok(_) | Err(_) => Err(InvalidSecret),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([REDACTED])")
    }
}
