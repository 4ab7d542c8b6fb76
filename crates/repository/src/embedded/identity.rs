//! Whom Postgres runs as: us, or when we are root somebody with less power.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User, geteuid};

use super::Error;

/// The user that Postgres' programs run as, where that is not ourselves.
#[derive(Clone, Debug)]
pub(super) struct Identity(Option<User>);

impl Identity {
    /// The owner of the data that is there; for root and new data `postgres`, else `nobody`.
    pub(super) fn of(data: &Path) -> Result<Self, Error> {
        let owner = fs::metadata(data).ok().map(|data| data.uid());
        let us = geteuid();
        if !us.is_root() {
            return match owner {
                Some(owner) if owner != us.as_raw() => Err(Error::Foreign { dir: data.to_owned() }),
                _ => Ok(Self(None)),
            };
        }
        let named = |name| User::from_name(name).ok().flatten();
        let owner = owner.filter(|owner| *owner != 0).and_then(|owner| User::from_uid(Uid::from_raw(owner)).ok()?);
        let user = owner.or_else(|| named("postgres")).or_else(|| named("nobody")).ok_or(Error::NoUser)?;
        Ok(Self(Some(user)))
    }

    /// Gives a file or folder to that user.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        let Some(user) = &self.0 else { return Ok(()) };
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(|source| Error::File { path: path.to_owned(), source })
    }

    /// Has a command run as that user. The standard library drops root's other groups.
    pub(super) fn assume<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        match &self.0 {
            Some(user) => command.uid(user.uid.as_raw()).gid(user.gid.as_raw()),
            None => command,
        }
    }

    /// Makes sure that the user can get into a folder, asked of the kernel as that user.
    pub(super) fn enter(&self, dir: &Path) -> Result<(), Error> {
        let Some(user) = &self.0 else { return Ok(()) };
        let mut test = Command::new("/bin/sh");
        test.args(["-c", "test -x \"$0\""]).arg(dir).current_dir("/").stdin(Stdio::null());
        let entered = self.assume(&mut test).status().is_ok_and(|status| status.success());
        if entered { Ok(()) } else { Err(Error::Untraversable { dir: dir.to_owned(), user: user.name.clone() }) }
    }

    /// Whether a path is a folder of that user's, and no link to somewhere else.
    pub(super) fn owns(&self, path: &Path) -> io::Result<bool> {
        let owner = self.0.as_ref().map_or_else(geteuid, |user| user.uid);
        let found = fs::symlink_metadata(path)?;
        Ok(found.is_dir() && found.uid() == owner.as_raw())
    }

    /// The mode of a folder of ours that this user must be able to pass through.
    pub(super) const fn passage(&self) -> u32 {
        if self.0.is_some() { 0o711 } else { 0o700 }
    }
}

/// What installs Postgres here.
pub(super) fn install_command() -> &'static str {
    if geteuid().is_root() {
        "apt-get install --no-install-recommends postgresql"
    } else {
        "sudo apt-get install --no-install-recommends postgresql"
    }
}
