//! Secrets that the service makes for itself at its first start, and keeps in files of mode 0600.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::Rng;
use secrecy::SecretString;

/// The file of the key that seals stored secrets.
const ENCRYPTION_KEY: &str = "encryption-key";

/// Why a secret could not be read or made.
#[derive(Debug, thiserror::Error)]
#[error("the secret in {path} cannot be read or made")]
pub struct Error {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A secret and whether it was made just now.
#[derive(Debug)]
pub struct SecretFile {
    /// The secret.
    pub secret: SecretString,
    /// Whether this call made it.
    pub made: bool,
    /// Where it is kept.
    pub path: PathBuf,
}

/// An API key: `kos_` and 256 random bits.
///
/// # Errors
/// The file cannot be read or written.
pub fn api_key(data_dir: &Path) -> Result<SecretFile, Error> {
    load_or_make(data_dir, "api-key", || format!("kos_{}", URL_SAFE_NO_PAD.encode(random())))
}

/// An encryption key: base64 of 32 random bytes.
///
/// # Errors
/// The file cannot be read or written.
pub fn encryption_key(data_dir: &Path) -> Result<SecretFile, Error> {
    load_or_make(data_dir, ENCRYPTION_KEY, || STANDARD.encode(random()))
}

/// The encryption key that was made before.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn find_encryption_key(data_dir: &Path) -> Result<SecretString, Error> {
    let path = data_dir.join(ENCRYPTION_KEY);
    let found = read(&path).and_then(|found| {
        found.ok_or_else(|| io::Error::other("it is not there: set ENCRYPTION_KEYS, or DATA_DIR to where it is kept"))
    });
    found.map_err(|source| Error { path, source })
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn load_or_make(data_dir: &Path, name: &str, make: impl FnOnce() -> String) -> Result<SecretFile, Error> {
    let path = data_dir.join(name);
    let failed = |source| Error { path: path.clone(), source };
    if let Some(secret) = read(&path).map_err(failed)? {
        return Ok(SecretFile { secret, made: false, path });
    }
    fs::create_dir_all(data_dir).map_err(failed)?;
    let made = publish(&path, &make()).map_err(failed)?;
    let secret = read(&path).map_err(failed)?.ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))?;
    Ok(SecretFile { secret, made, path })
}

fn read(path: &Path) -> io::Result<Option<SecretString>> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(io::Error::other("the file is empty: delete it, or restore it")),
        Ok(text) => Ok(Some(SecretString::from(text.trim()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts the file there whole or not at all; of two that do so at once, the first one's stays.
fn publish(path: &Path, secret: &str) -> io::Result<bool> {
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
