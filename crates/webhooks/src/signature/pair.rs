//! Version `v1a`: the sender signs with a private key, and whoever has the public one can check.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, Signature, UnparsedPublicKey};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

pub(super) const PRIVATE_PREFIX: &str = "whsk_";
pub(super) const PUBLIC_PREFIX: &str = "whpk_";
const SEED: usize = 32;
const PUBLIC: usize = 32;

/// An ed25519 key pair, written `whsk_` and base64 of the seed and the public key, 64 bytes together.
/// `Debug` shows the public key.
#[derive(Clone)]
pub struct PrivateKey {
    seed: SecretSlice<u8>,
    pair: Arc<Ed25519KeyPair>,
}

/// An ed25519 public key, written `whpk_` and base64 of its 32 bytes. No secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC]);

/// The text is no private key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a private signing key is `whsk_` followed by an ed25519 seed and its public key, 64 bytes, in standard base64"
)]
pub struct InvalidPrivateKey;

/// The text is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public key is `whpk_` followed by 32 bytes in standard base64")]
pub struct InvalidPublicKey;

impl PrivateKey {
    /// A new key pair.
    ///
    /// # Panics
    /// Never: every 32 bytes are a seed.
    #[must_use]
    #[expect(clippy::expect_used, reason = "every 32 bytes are a seed")]
    pub fn generate() -> Self {
        Self::from_seed(&rand::random::<[u8; SEED]>(), None).expect("every 32 bytes are a seed")
    }

    /// The key as text, **in clear**: `whsk_…`.
    #[must_use]
    pub fn reveal(&self) -> SecretString {
        let both = [self.seed.expose_secret(), &self.public().0].concat();
        format!("{PRIVATE_PREFIX}{}", STANDARD.encode(both)).into()
    }

    /// The half that receivers check with.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; PUBLIC];
        for (to, from) in bytes.iter_mut().zip(self.pair.public_key().as_ref()) {
            *to = *from;
        }
        PublicKey(bytes)
    }

    fn from_seed(seed: &[u8], public: Option<&[u8]>) -> Option<Self> {
        let pair = match public {
            Some(public) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
            None => Ed25519KeyPair::from_seed_unchecked(seed),
        };
        Some(Self { seed: seed.to_vec().into(), pair: Arc::new(pair.ok()?) })
    }

    pub(super) fn sign(&self, signed: &[u8]) -> Signature {
        self.pair.sign(signed)
    }
}

impl FromStr for PrivateKey {
    type Err = InvalidPrivateKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(PRIVATE_PREFIX).ok_or(InvalidPrivateKey)?;
        let bytes = STANDARD.decode(encoded).ok().filter(|bytes| bytes.len() == SEED + PUBLIC);
        let bytes = bytes.ok_or(InvalidPrivateKey)?;
        let (seed, public) = bytes.split_at(SEED);
        Self::from_seed(seed, Some(public)).ok_or(InvalidPrivateKey)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey([REDACTED] of {})", self.public())
    }
}

impl PublicKey {
    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(signed, signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix(PUBLIC_PREFIX).ok_or(InvalidPublicKey)?;
        let bytes = STANDARD.decode(encoded).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(InvalidPublicKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
