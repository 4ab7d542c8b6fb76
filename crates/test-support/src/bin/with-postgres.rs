//! Runs a command with a Postgres of its own for the tests in it, and takes that away afterwards.

use std::process::{Command, ExitCode};

use kos_repository::embedded::Embedded;
use kos_test_support::database::config;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().ok_or("with-postgres: name a command")?;
    let folder = tempfile::Builder::new().prefix("kos-tests-").tempdir()?;
    let server = Embedded::start(&config(folder.path()))?;
    let status = Command::new(program).args(arguments).env("TEST_DATABASE_URL", server.url_for("postgres")).status();
    server.stop()?;
    folder.close()?;
    let code = status?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
