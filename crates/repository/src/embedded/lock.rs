//! Locks between processes. The kernel drops them with the process, however it ends.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Error;

/// Waits until nobody else holds the file's lock.
pub(super) fn exclusive(path: &Path) -> Result<File, Error> {
    let file = open(path)?;
    file.lock().map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(file)
}

/// Joins those who hold the file's lock together.
pub(super) fn shared(path: &Path) -> Result<File, Error> {
    let file = open(path)?;
    file.lock_shared().map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(file)
}

fn open(path: &Path) -> Result<File, Error> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map_err(|source| Error::File { path: path.to_owned(), source })
}
