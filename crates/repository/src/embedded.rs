//! A Postgres of our own, for those who name none: a supervisor over the system's `initdb` and `pg_ctl`.
//!
//! The server listens on a Unix socket in a folder that only its user can enter. Every process that
//! uses it holds a shared lock on `users.lock`; starts and stops take turns by `start.lock`; the last
//! user out stops it. A process that is killed leaves the server running, and the next start takes it
//! over: whether it is up is asked of the socket, never of a file that says so. This module knows
//! nothing of tables.

mod binaries;
mod cluster;
mod database;
mod identity;
mod lock;
mod memory;

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use cluster::Cluster;

/// The database within the server.
const DATABASE: &str = "knowledge_os";
/// The role that owns everything.
const ROLE: &str = "knowledge_os";

/// Where the server lives and what runs it.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The folder for the server's data, socket and log.
    pub data_dir: PathBuf,
    /// The folder of `initdb` and `pg_ctl`; found by itself when `None`.
    pub bin_dir: Option<PathBuf>,
    /// The caller's `PATH`, one of the places where they are looked for.
    pub search_path: Option<OsString>,
    /// Further settings of the server, written over ours.
    pub settings: Vec<(String, String)>,
}

/// Why the server cannot be used. Each text says what mends it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `initdb` and `pg_ctl` are nowhere.
    #[error(
        "PostgreSQL is not installed (looked in {looked}). Install it with `{command}`, or set DATABASE_URL or PG_BIN_DIR"
    )]
    Missing {
        /// Where it was looked for.
        looked: String,
        /// What installs it.
        command: &'static str,
    },
    /// Postgres refuses to run as root, and there is nobody else.
    #[error(
        "Postgres does not run as root, and there is neither a user `postgres` nor `nobody`: run as an ordinary user"
    )]
    NoUser,
    /// The server's user cannot get at the data.
    #[error(
        "{dir} cannot be entered by the user {user}, whom Postgres runs as: choose a DATA_DIR elsewhere, such as /var/lib/knowledge-os"
    )]
    Untraversable {
        /// The folder.
        dir: PathBuf,
        /// The user.
        user: String,
    },
    /// The data belongs to another user.
    #[error("{dir} belongs to another user: run as that user, or choose another DATA_DIR")]
    Foreign {
        /// The folder.
        dir: PathBuf,
    },
    /// The data was written by another major version.
    #[error(
        "{dir} was written by PostgreSQL {found}, and this is {have}: point PG_BIN_DIR at version {found}, or dump and restore"
    )]
    Version {
        /// The folder.
        dir: PathBuf,
        /// The data's version.
        found: String,
        /// The programs' version.
        have: String,
    },
    /// One of Postgres' programs failed.
    #[error("{program} failed: {log}")]
    Program {
        /// The program.
        program: &'static str,
        /// The end of what it said.
        log: String,
    },
    /// A file or folder cannot be used.
    #[error("{path} cannot be used: check its owner and the space on its disk")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server runs and does not let us in.
    #[error("the embedded Postgres does not accept us; its log is in {log}")]
    Refused {
        /// The folder of its log.
        log: PathBuf,
        /// What it said.
        #[source]
        source: tokio_postgres::Error,
    },
}

/// A running server and our share in it.
#[derive(Debug)]
pub struct Embedded {
    cluster: Cluster,
    password: SecretString,
    /// Held in shared mode while we use the server; `None` once we have let go.
    users: Option<File>,
    created: bool,
}

impl Embedded {
    /// Finds the server running, or makes and starts it. Blocks for a second or two at the first
    /// start: call it before a runtime starts, or from a blocking task.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn start(config: &Config) -> Result<Self, Error> {
        let cluster = Cluster::prepare(config)?;
        let guard = lock::exclusive(&cluster.state.join("start.lock"))?;
        let users = lock::shared(&cluster.state.join("users.lock"))?;
        let created = cluster.ensure_initialised()?;
        let password = cluster.password()?;
        cluster.ensure_running()?;
        drop(guard);
        // From here on a failure lets go of the server by dropping this.
        let embedded = Self { cluster, password, users: Some(users), created };
        embedded.ensure_database()?;
        Ok(embedded)
    }

    /// Whether a server was made in this folder before.
    #[must_use]
    pub fn exists(data_dir: &Path) -> bool {
        data_dir.join("pgdata/PG_VERSION").exists()
    }

    /// The address of the database, with its password.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.url_for(DATABASE)
    }

    /// The address of another database in the same server.
    #[must_use]
    pub fn url_for(&self, database: &str) -> String {
        let host = percent_encoded(&self.cluster.socket.to_string_lossy());
        format!("postgres://{ROLE}:{}@{host}:5432/{database}", self.password.expose_secret())
    }

    /// Whether this call made the server, and not only found or started it.
    #[must_use]
    pub const fn created(&self) -> bool {
        self.created
    }

    /// Starts the server again if it has died; says whether it had. Blocks.
    ///
    /// # Errors
    /// It does not start.
    pub fn ensure_running(&self) -> Result<bool, Error> {
        if self.cluster.is_listening() {
            return Ok(false);
        }
        let _guard = lock::exclusive(&self.cluster.state.join("start.lock"))?;
        self.cluster.ensure_running()
    }

    /// Lets go of the server, and stops it unless another process uses it; says whether it stopped. Blocks.
    ///
    /// # Errors
    /// It does not stop.
    pub fn stop(mut self) -> Result<bool, Error> {
        self.let_go()
    }

    fn let_go(&mut self) -> Result<bool, Error> {
        let Some(users) = self.users.take() else { return Ok(false) };
        let _guard = lock::exclusive(&self.cluster.state.join("start.lock"))?;
        let failed = |source| Error::File { path: self.cluster.state.join("users.lock"), source };
        users.unlock().map_err(failed)?;
        if users.try_lock().is_err() {
            return Ok(false);
        }
        self.cluster.stop()?;
        Ok(true)
    }

    fn ensure_database(&self) -> Result<(), Error> {
        database::ensure(&self.url_for("postgres"), DATABASE)
            .map_err(|source| Error::Refused { log: self.cluster.log_dir(), source })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Err(error) = self.let_go() {
            tracing::warn!(%error, "the embedded Postgres does not stop");
        }
    }
}

/// Creates a folder with this mode. One that holds something is somebody's and stays as it is: it may be
/// /tmp.
fn folder(path: &Path, mode: u32) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(failed)?;
    if fs::read_dir(path).map_err(failed)?.next().is_some() {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
}

fn percent_encoded(path: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    path.bytes().map(encode).collect()
}
