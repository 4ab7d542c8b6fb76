//! The embedded Postgres: made once, shared, taken over after a crash.

use std::fs;
use std::path::Path;

use kos_repository::embedded::{Config, Embedded, Error};
use kos_test_support::database::config;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The server's process, as its own file says.
fn postmaster(dir: &Path) -> Pid {
    let file = fs::read_to_string(dir.join("pgdata/postmaster.pid")).unwrap();
    Pid::from_raw(file.lines().next().unwrap().parse().unwrap())
}

#[test]
fn a_server_is_made_once_shared_and_stopped_by_the_last_who_uses_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = Embedded::start(&config(dir.path())).unwrap();
    let second = Embedded::start(&config(dir.path())).unwrap();
    assert_eq!((first.created(), second.created()), (true, false));
    assert_eq!(first.database_url(), second.database_url());
    let server = postmaster(dir.path());
    assert!(!first.stop().unwrap(), "somebody still uses it");
    assert!(kill(server, None).is_ok());
    assert!(second.stop().unwrap());
    let again = Embedded::start(&config(dir.path())).unwrap();
    assert!(!again.created(), "its data are kept");
}

#[test]
fn a_server_that_was_killed_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = Embedded::start(&config(dir.path())).unwrap();
    kill(postmaster(dir.path()), Signal::SIGKILL).unwrap();
    // The socket refuses once the process is gone.
    while !embedded.ensure_running().unwrap() {}
    assert!(!embedded.ensure_running().unwrap());
}

#[test]
fn a_first_start_that_was_killed_half_way_leaves_nothing_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("pgdata.new/base")).unwrap();
    fs::write(dir.path().join("pgdata.new/PG_VERSION"), "15").unwrap();
    assert!(Embedded::start(&config(dir.path())).unwrap().created());
}

#[test]
fn a_folder_too_deep_for_a_socket_is_served_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(60)).join("e".repeat(60));
    fs::create_dir_all(&deep).unwrap();
    let embedded = Embedded::start(&config(&deep)).unwrap();
    assert!(embedded.database_url().contains("%2Ftmp%2Fknowledge-os-"));
}

#[test]
fn a_machine_without_postgres_is_told_the_one_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = Config { bin_dir: Some(dir.path().to_owned()), ..config(dir.path()) };
    let error = Embedded::start(&nowhere).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }));
    assert!(error.to_string().contains("apt-get install --no-install-recommends postgresql"), "{error}");
}

#[test]
fn data_of_another_version_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    Embedded::start(&config(dir.path())).unwrap().stop().unwrap();
    fs::write(dir.path().join("pgdata/PG_VERSION"), "9\n").unwrap();
    let error = Embedded::start(&config(dir.path())).unwrap_err();
    assert!(matches!(error, Error::Version { .. }), "{error}");
}
