//! Secrets at rest: XChaCha20-Poly1305 under a ring of keys.
//!
//! A sealed value is `0x01 ‖ key id (4) ‖ nonce (24) ‖ ciphertext and tag`. The row it belongs to is
//! authenticated with it, so a value copied into another row does not open there.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::Rng;
use sha2::{Digest, Sha256};

const FORMAT: u8 = 1;
const KEY_ID: usize = 4;
const NONCE: usize = 24;

/// Bytes in a key.
pub const KEY_BYTES: usize = 32;

/// The keys: the first seals, all of them open.
#[derive(Clone)]
pub struct KeyRing(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: [u8; KEY_ID],
    cipher: XChaCha20Poly1305,
}

/// Why a value could not be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// There is no key at all.
    #[error("no encryption key: give at least one")]
    Empty,
    /// A key has the wrong length.
    #[error("an encryption key has {0} bytes instead of 32")]
    KeyLength(usize),
    /// The value was sealed under a key that is not in the ring.
    #[error("sealed with the encryption key {0}, which is not among ENCRYPTION_KEYS: add it back")]
    UnknownKey(String),
    /// The value was damaged, or belongs to another row.
    #[error("the sealed value is damaged or belongs elsewhere")]
    Damaged,
}

impl KeyRing {
    /// A ring of 32-byte keys; the first is the one that seals.
    ///
    /// # Errors
    /// No key, or a key of another length.
    pub fn new(keys: &[Vec<u8>]) -> Result<Self, KeyRingError> {
        if keys.is_empty() {
            return Err(KeyRingError::Empty);
        }
        keys.iter().map(|bytes| Key::new(bytes)).collect::<Result<_, _>>().map(Self)
    }

    /// The id of the key that seals now.
    pub(crate) fn sealing_id(&self) -> [u8; KEY_ID] {
        self.0.first().map(|key| key.id).unwrap_or_default()
    }

    /// The ids of all keys, in hexadecimal; the first is the one that seals.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(|key| hex(&key.id)).collect()
    }

    /// Seals a value for the row named by `place`.
    ///
    /// # Errors
    /// [`KeyRingError::Empty`]; sealing itself cannot fail for values of our size.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, KeyRingError> {
        let key = self.0.first().ok_or(KeyRingError::Empty)?;
        let mut nonce = [0_u8; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = key.cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(damaged)?;
        Ok([&[FORMAT], key.id.as_slice(), nonce.as_slice(), sealed.as_slice()].concat())
    }

    /// Opens a value sealed for the row named by `place`.
    ///
    /// # Errors
    /// An unknown key, or a value that is damaged or was sealed for another row.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, KeyRingError> {
        let rest = sealed.strip_prefix(&[FORMAT]).ok_or(KeyRingError::Damaged)?;
        let (id, rest) = rest.split_at_checked(KEY_ID).ok_or(KeyRingError::Damaged)?;
        let (nonce, msg) = rest.split_at_checked(NONCE).ok_or(KeyRingError::Damaged)?;
        let key = self.0.iter().find(|key| key.id == id).ok_or_else(|| KeyRingError::UnknownKey(hex(id)))?;
        let payload = Payload { msg, aad: place.as_bytes() };
        key.cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(damaged)
    }

    /// What was sealed for the row named by `place` under any of the keys, sealed under the first.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn reseal(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, KeyRingError> {
        self.seal(place, &self.open(place, sealed)?)
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Result<Self, KeyRingError> {
        let cipher =
            XChaCha20Poly1305::new_from_slice(bytes).map_err(|_wrong_length| KeyRingError::KeyLength(bytes.len()))?;
        let digest = Sha256::digest(bytes);
        let mut id = [0; KEY_ID];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        Ok(Self { id, cipher })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| hex(&key.id))).finish()
    }
}

fn damaged(_opaque: chacha20poly1305::Error) -> KeyRingError {
    KeyRingError::Damaged
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_in_its_own_row_and_under_its_own_key() {
        let old = vec![1; KEY_BYTES];
        let new = vec![2; KEY_BYTES];
        let sealed = KeyRing::new(std::slice::from_ref(&old)).unwrap().seal("webhooks|a", b"secret").unwrap();
        let rotated = KeyRing::new(&[new.clone(), old]).unwrap();
        assert_eq!(rotated.open("webhooks|a", &sealed).unwrap(), b"secret");
        assert_eq!(rotated.open("webhooks|b", &sealed), Err(KeyRingError::Damaged));
        let stranger = KeyRing::new(&[new]).unwrap();
        assert!(matches!(stranger.open("webhooks|a", &sealed), Err(KeyRingError::UnknownKey(_))));
    }

    #[test]
    fn a_cut_or_altered_value_is_refused() {
        let ring = KeyRing::new(&[vec![7; KEY_BYTES]]).unwrap();
        let sealed = ring.seal("row", b"secret").unwrap();
        for length in 0..sealed.len() {
            assert!(ring.open("row", &sealed[..length]).is_err());
        }
        let mut altered = sealed;
        *altered.last_mut().unwrap() ^= 1;
        assert_eq!(ring.open("row", &altered), Err(KeyRingError::Damaged));
    }

    #[test]
    fn neither_keys_nor_their_bytes_are_printed() {
        let ring = KeyRing::new(&[vec![7; KEY_BYTES]]).unwrap();
        assert!(!format!("{ring:?}").contains("0707"));
    }
}
