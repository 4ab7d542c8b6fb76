//! The real binaries, run as a person would run them.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

/// How long a test waits for a line that must come, before it says what came instead.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running binary. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a binary with these arguments and no environment but this, `PATH` and `HOME`.
    #[must_use]
    pub fn start(binary: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn(command(&path(binary), arguments, environment))
    }

    /// As [`Self::start`], as the user `nobody`, which only root can do. The binary is copied into `folder`,
    /// because `nobody` may not enter where it was built.
    #[must_use]
    pub fn start_as_nobody(binary: &str, folder: &Path, environment: &[(&str, &str)]) -> Self {
        let nobody = User::from_name("nobody").unwrap().expect("there is a user nobody");
        let copy = folder.join(binary);
        fs::copy(path(binary), &copy).unwrap();
        let mut command = command(&copy, &[], environment);
        command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw()).current_dir("/");
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let (sender, log) = (sender.clone(), Arc::clone(&log));
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let mut log = log.lock().unwrap();
                    log.push_str(&line);
                    log.push('\n');
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines, log }
    }

    /// Waits for a line of its output that contains these words, and returns it.
    pub fn wait_for(&self, words: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("`{words}` never came; it said:\n{}", self.log());
                }
            }
        }
    }

    /// All that it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Ends it at once, as kill -9 does, and waits for its end.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as an operator would, and waits for its end.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().unwrap();
        (status, self.log())
    }

    /// Waits for its end by itself.
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.log())
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a binary to its end.
#[must_use]
pub fn run(binary: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(&path(binary), arguments, environment).output().expect("the binary starts")
}

/// A port that nobody listens on now.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn command(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null());
    for name in ["PATH", "HOME"] {
        command.envs(env::var_os(name).map(|value| (name, value)));
    }
    command.envs(environment.iter().copied());
    command
}

/// Beside the folder of the test's own executable.
fn path(binary: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(binary);
    assert!(path.exists(), "{} is not built: run `cargo build --bins` first", path.display());
    path
}
