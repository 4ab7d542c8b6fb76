//! The keys of one endpoint: which are live, how one takes over from another, and what may be shown.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use kos_model::Violation;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::signature::{PrivateKey, Secret, SigningKey};

/// Most keys of one version that sign at the same time.
pub const MAX_KEYS: usize = 5;
/// Longest that an old key goes on signing beside the new one: a week.
pub const MAX_OVERLAP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Which of the standard's two kinds of signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyVersion {
    /// HMAC-SHA256 under a shared secret.
    #[default]
    V1,
    /// ed25519 under a key pair.
    V1a,
}

/// A new key takes over.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Of which version.
    pub version: KeyVersion,
    /// The new key as text; one is made when absent.
    pub key: Option<String>,
    /// How long the old ones go on signing as well, up to [`MAX_OVERLAP`]; zero ends them at once.
    pub overlap: Duration,
}

/// The newest first.
#[derive(Clone)]
pub(super) struct Keys(Vec<Held>);

#[derive(Clone)]
struct Held {
    key: SigningKey,
    expires_at: Option<DateTime<Utc>>,
}

impl KeyVersion {
    const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1a => "v1a",
        }
    }

    fn generate(self) -> SigningKey {
        match self {
            Self::V1 => SigningKey::Secret(Secret::generate()),
            Self::V1a => SigningKey::Private(PrivateKey::generate()),
        }
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyVersion {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "v1" => Ok(Self::V1),
            "v1a" => Ok(Self::V1a),
            _ => Err(Violation::new("/version", "unknown_version", "use v1 (shared secret) or v1a (key pair)")),
        }
    }
}

impl Held {
    const fn new(key: SigningKey) -> Self {
        Self { key, expires_at: None }
    }

    fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    fn is_of(&self, version: KeyVersion) -> bool {
        self.key.version() == version.as_str()
    }
}

impl Keys {
    /// A key of each version; the secret is the given one, or made.
    pub(super) fn with_secret(given: Option<&str>) -> Result<Self, Violation> {
        let secret = match given {
            None => Secret::generate(),
            Some(text) => text.trim().parse().map_err(|error: crate::signature::InvalidSecret| {
                Violation::new("/secret", "invalid_secret", error.to_string())
            })?,
        };
        Ok(Self(vec![Held::new(SigningKey::Secret(secret)), Held::new(KeyVersion::V1a.generate())]))
    }

    pub(super) fn newest(&self, version: KeyVersion) -> Option<&SigningKey> {
        self.0.iter().find(|held| held.is_of(version)).map(|held| &held.key)
    }

    /// The keys that sign at that time.
    pub(super) fn live(&self, now: DateTime<Utc>) -> impl Iterator<Item = &SigningKey> {
        self.0.iter().filter(move |held| held.is_live(now)).map(|held| &held.key)
    }

    /// The same with a new key before the others.
    pub(super) fn rotated(&self, rotation: Rotation, now: DateTime<Utc>) -> Result<Self, Violation> {
        let Rotation { version, key, overlap } = rotation;
        if overlap > MAX_OVERLAP {
            return Err(Violation::new("/overlap_seconds", "out_of_range", "must be from 0 to 604800 (7 days)"));
        }
        let key = key.map_or_else(|| Ok(version.generate()), |text| given(version, &text))?;
        let ends = now + overlap;
        let mut held = vec![Held::new(key)];
        for old in self.0.iter().filter(|old| old.is_live(now)) {
            let expires_at = if old.is_of(version) {
                old.expires_at.map_or(ends, |end| end.min(ends)).into()
            } else {
                old.expires_at
            };
            held.push(Held { key: old.key.clone(), expires_at });
        }
        held.retain(|held| held.is_live(now));
        if held.iter().filter(|held| held.is_of(version)).count() > MAX_KEYS {
            let detail =
                format!("{MAX_KEYS} keys sign already: wait until one expires, or end them with overlap_seconds 0");
            return Err(Violation::new("/overlap_seconds", "too_many_keys", detail));
        }
        Ok(Self(held))
    }

    pub(super) fn to_json(&self) -> Value {
        let held = |held: &Held| json!({"key": held.key.reveal().expose_secret(), "expires_at": held.expires_at});
        self.0.iter().map(held).collect()
    }

    pub(super) fn from_json(value: Option<&Value>) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Stored {
            key: String,
            expires_at: Option<DateTime<Utc>>,
        }
        let stored: Vec<Stored> =
            value.map(Vec::deserialize).transpose().map_err(|error| error.to_string())?.unwrap_or_default();
        let read = |stored: Stored| {
            let key = stored.key.parse().map_err(|error: crate::signature::InvalidKey| error.to_string())?;
            Ok(Held { key, expires_at: stored.expires_at })
        };
        stored.into_iter().map(read).collect::<Result<_, String>>().map(Self)
    }

    /// The public key, and of each key its version and its end.
    pub(super) fn details(&self) -> Map<String, Value> {
        let keys: Value = self.0.iter().map(Held::details).collect();
        Map::from_iter([("keys".to_owned(), keys)])
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = String> {
        let bare = |held: &Held| Some(held.key.reveal().expose_secret().split_once('_')?.1.to_owned());
        self.0.iter().filter_map(bare)
    }
}

impl Held {
    fn details(&self) -> Value {
        let public = match &self.key {
            SigningKey::Private(key) => Some(key.public().to_string()),
            SigningKey::Secret(_) => None,
        };
        json!({"version": self.key.version(), "public_key": public, "expires_at": self.expires_at})
    }
}

fn given(version: KeyVersion, text: &str) -> Result<SigningKey, Violation> {
    let invalid = |detail: String| Violation::new("/key", "invalid_key", detail);
    let key: SigningKey =
        text.trim().parse().map_err(|error: crate::signature::InvalidKey| invalid(error.to_string()))?;
    if key.version() == version.as_str() {
        return Ok(key);
    }
    Err(invalid(format!("this key makes signatures of version {}, not {version}", key.version())))
}
