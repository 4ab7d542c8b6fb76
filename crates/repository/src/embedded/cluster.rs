//! The server's files and its life: made once, started, stopped.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::distr::Alphanumeric;
use secrecy::SecretString;

use super::identity::Identity;
use super::{Config, Error, ROLE, binaries, folder, memory};

/// A socket's whole path has at most 108 bytes; its name takes a part of them.
const LONGEST_SOCKET_DIR: usize = 90;

/// How long a killed server's remains may stand in the way of the next.
const REMAINS: Duration = Duration::from_secs(20);

/// Ours, written before the caller's own. No network; parameters of statements, which hold secrets,
/// never in the log; the log in seven files, one a weekday.
const SETTINGS: &str = "\
listen_addresses = ''
unix_socket_permissions = 0700
port = 5432
max_connections = 100
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_min_error_statement = panic
lc_messages = 'C'
wal_compression = on
logging_collector = on
log_filename = 'postgres-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
log_rotation_size = 0
";

/// A server's place on disk.
#[derive(Debug)]
pub(super) struct Cluster {
    bin: PathBuf,
    /// The folder that everything is in.
    pub(super) state: PathBuf,
    /// The folder of the socket.
    pub(super) socket: PathBuf,
    data: PathBuf,
    identity: Identity,
    settings: Vec<(String, String)>,
}

impl Cluster {
    /// Finds the programs, makes the folders, and decides whom the server runs as.
    pub(super) fn prepare(config: &Config) -> Result<Self, Error> {
        let bin = binaries::find(config)?;
        let given = &config.data_dir;
        let identity = Identity::of(&given.join("pgdata"))?;
        folder(given, identity.passage())?;
        let state = fs::canonicalize(given).map_err(|source| Error::File { path: given.clone(), source })?;
        identity.enter(&state)?;
        let data = state.join("pgdata");
        let socket = socket_dir(&state, &identity)?;
        let cluster = Self { bin, state, socket, data, identity, settings: config.settings.clone() };
        cluster.private_folder(&cluster.log_dir())?;
        Ok(cluster)
    }

    /// Makes the server's data, if there are none; says whether it did. A run that was killed half way
    /// leaves nothing that the next one could take for whole.
    pub(super) fn ensure_initialised(&self) -> Result<bool, Error> {
        if self.data.join("PG_VERSION").exists() {
            self.check_version()?;
            return Ok(false);
        }
        let draft = self.state.join("pgdata.new");
        if let Err(source) = fs::remove_dir_all(&draft)
            && source.kind() != ErrorKind::NotFound
        {
            return Err(Error::File { path: draft, source });
        }
        self.private_folder(&draft)?;
        let password: String = rand::rng().sample_iter(Alphanumeric).take(40).map(char::from).collect();
        let password_file = self.socket.join("password");
        write_private(&password_file, &password)?;
        self.identity.own(&password_file)?;
        let made = self.initdb(&draft, &password_file);
        fs::remove_file(&password_file).map_err(|source| Error::File { path: password_file, source })?;
        made?;
        append(&draft.join("postgresql.conf"), "\ninclude_if_exists = 'knowledge-os.conf'\n")?;
        write_private(&self.password_file(), &password)?;
        fs::rename(&draft, &self.data).map_err(|source| Error::File { path: self.data.clone(), source })?;
        Ok(true)
    }

    /// The server's password.
    pub(super) fn password(&self) -> Result<SecretString, Error> {
        let path = self.password_file();
        let password = fs::read_to_string(&path).map_err(|source| Error::File { path, source })?;
        Ok(SecretString::from(password.trim()))
    }

    /// Starts the server if it does not run; says whether it did.
    pub(super) fn ensure_running(&self) -> Result<bool, Error> {
        if self.is_listening() {
            return Ok(false);
        }
        self.write_settings()?;
        let since = Instant::now();
        loop {
            match self.pg_ctl(&["start", "-w", "-t", "60"]) {
                // After a kill the children of the old server still hold its memory for a moment.
                Err(Error::Program { log, .. }) if is_remains(&log) && since.elapsed() < REMAINS => {
                    sleep(Duration::from_millis(200));
                }
                Err(Error::Program { program, log }) => {
                    return Err(Error::Program { program, log: format!("{log} | {}", self.last_words(since)) });
                }
                started => return started.map(|()| true),
            }
        }
    }

    /// What the server itself wrote since then: why it does not start.
    fn last_words(&self, since: Instant) -> String {
        let logs = fs::read_dir(self.log_dir()).into_iter().flatten().flatten();
        let fresh = logs.filter_map(|entry| {
            let written = entry.metadata().ok()?.modified().ok()?;
            (written.elapsed().ok()? <= since.elapsed() + Duration::from_secs(1)).then(|| (written, entry.path()))
        });
        let newest = fresh.max().and_then(|(_, path)| fs::read_to_string(path).ok());
        newest.map_or_else(|| "its log says nothing".to_owned(), |text| last_lines(&text))
    }

    /// Stops the server; its clients are cut off, nothing committed is lost.
    pub(super) fn stop(&self) -> Result<(), Error> {
        if self.is_listening() { self.pg_ctl(&["stop", "-w", "-m", "fast"]) } else { Ok(()) }
    }

    /// Asked of the socket: a file that says the server runs may be a dead server's.
    pub(super) fn is_listening(&self) -> bool {
        UnixStream::connect(self.socket.join(".s.PGSQL.5432")).is_ok()
    }

    /// Where the server writes its log.
    pub(super) fn log_dir(&self) -> PathBuf {
        self.state.join("log")
    }

    fn password_file(&self) -> PathBuf {
        self.state.join("postgres-password")
    }

    fn private_folder(&self, path: &Path) -> Result<(), Error> {
        folder(path, 0o700)?;
        self.identity.own(path)
    }

    fn check_version(&self) -> Result<(), Error> {
        let path = self.data.join("PG_VERSION");
        let found = fs::read_to_string(&path).map_err(|source| Error::File { path, source })?.trim().to_owned();
        let have = binaries::major(&self.bin).unwrap_or_default();
        if have == found { Ok(()) } else { Err(Error::Version { dir: self.data.clone(), found, have }) }
    }

    /// ICU where this Postgres has it, because without a locale `lower()` knows ASCII alone.
    fn initdb(&self, draft: &Path, password_file: &Path) -> Result<(), Error> {
        let locales: [&[&str]; 3] = [
            &["--locale-provider=icu", "--icu-locale=und", "--locale=C.UTF-8"],
            &["--locale=C.UTF-8"],
            &["--no-locale"],
        ];
        let mut made = Ok(());
        for locale in locales {
            let mut command = self.program("initdb");
            command.arg("-D").arg(draft).arg("--pwfile").arg(password_file).args(["-U", ROLE, "-E", "UTF8"]);
            command.args(["-A", "scram-sha-256", "--data-checksums", "--no-instructions"]).args(locale);
            made = self.run("initdb", command);
            if made.is_ok() {
                break;
            }
        }
        made
    }

    /// In a file of their own: what `pg_ctl -o` is given goes through a shell.
    fn write_settings(&self) -> Result<(), Error> {
        let mut text = format!("{SETTINGS}shared_buffers = {}MB\n", memory::for_pages());
        for (name, path) in [("unix_socket_directories", &self.socket), ("log_directory", &self.log_dir())] {
            text.push_str(&format!("{name} = '{}'\n", path.to_string_lossy().replace('\'', "''")));
        }
        for (name, value) in &self.settings {
            text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        let path = self.data.join("knowledge-os.conf");
        write_private(&path, &text)?;
        self.identity.own(&path)
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<(), Error> {
        let mut command = self.program("pg_ctl");
        command.args(arguments).args(["-s", "-D"]).arg(&self.data);
        self.run("pg_ctl", command)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        for variable in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS", "PGSERVICE"] {
            command.env_remove(variable);
        }
        command.env("LC_MESSAGES", "C").current_dir("/").stdin(Stdio::null());
        self.identity.assume(&mut command);
        command
    }

    /// What the program says goes to a file: the server that it starts inherits its output, and a pipe
    /// would never come to its end.
    fn run(&self, program: &'static str, mut command: Command) -> Result<(), Error> {
        let path = self.socket.join(format!("{program}.out"));
        let failed = |source| Error::File { path: path.clone(), source };
        let output =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path).map_err(failed)?;
        let status = command.stderr(output.try_clone().map_err(failed)?).stdout(output).status().map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Program { program, log: last_lines(&fs::read_to_string(&path).unwrap_or_default()) })
    }
}

/// Beside the data, or for a folder too deep for a socket in /tmp, where nobody else may have been first.
fn socket_dir(state: &Path, identity: &Identity) -> Result<PathBuf, Error> {
    let mut dir = state.join("run");
    if dir.as_os_str().len() > LONGEST_SOCKET_DIR {
        let failed = |source| Error::File { path: state.to_owned(), source };
        dir = PathBuf::from(format!("/tmp/knowledge-os-{:x}", fs::metadata(state).map_err(failed)?.ino()));
    }
    let failed = |source| Error::File { path: dir.clone(), source };
    if !dir.exists() {
        folder(&dir, 0o700)?;
        identity.own(&dir)?;
    }
    if identity.owns(&dir).map_err(failed)? { Ok(dir) } else { Err(Error::Foreign { dir }) }
}

fn is_remains(log: &str) -> bool {
    log.contains("shared memory block") || log.contains("already exists") || log.contains("in use")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join(" | ")
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let written = || {
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().map_err(|source| Error::File { path: path.to_owned(), source })
}

fn append(path: &Path, text: &str) -> Result<(), Error> {
    let written = || OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes());
    written().map_err(|source| Error::File { path: path.to_owned(), source })
}
