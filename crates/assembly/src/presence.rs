//! Which servers serve the same folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// A server's presence in its folder; it ends with the process, however that ends.
#[derive(Debug)]
pub struct Presence {
    /// Every server holds it in shared mode: whoever gets it alone is the first.
    _lock: File,
    is_first: bool,
}

impl Presence {
    /// Enters the folder, and looks whether another server is there. Blocks no longer than another enters.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn enter(data_dir: &Path) -> io::Result<Self> {
        let lock = OpenOptions::new().create(true).append(true).open(data_dir.join("servers.lock"))?;
        let is_first = match lock.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(error),
        };
        lock.lock_shared()?;
        Ok(Self { _lock: lock, is_first })
    }

    /// Whether no other server was there.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_while_another_is_there_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let first = Presence::enter(folder.path()).unwrap();
        let second = Presence::enter(folder.path()).unwrap();
        assert!(first.is_first() && !second.is_first());
        drop(first);
        assert!(!Presence::enter(folder.path()).unwrap().is_first(), "the second is there yet");
        drop(second);
        assert!(Presence::enter(folder.path()).unwrap().is_first());
    }
}
