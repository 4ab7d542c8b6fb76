//! Where Postgres' programs are.

use std::env::split_paths;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::identity::install_command;
use super::{Config, Error};

/// Folders that hold a folder for each version.
const ROOTS: [&str; 4] =
    ["/usr/lib/postgresql", "/usr", "/opt/homebrew/opt", "/Applications/Postgres.app/Contents/Versions"];

/// The folder of `initdb`, `pg_ctl` and `postgres`: the one that is named, else on the search path, else
/// the newest that is installed.
pub(super) fn find(config: &Config) -> Result<PathBuf, Error> {
    let missing = |looked: String| Error::Missing { looked, command: install_command() };
    if let Some(named) = &config.bin_dir {
        return complete(named).then(|| named.clone()).ok_or_else(|| missing(named.display().to_string()));
    }
    let path = config.search_path.as_deref().unwrap_or_default();
    split_paths(path)
        .filter_map(|dir| resolved(&dir))
        .next()
        .or_else(newest)
        .ok_or_else(|| missing(format!("PATH, {}", ROOTS.join(", "))))
}

/// The major version of the programs.
pub(super) fn major(bin: &Path) -> Option<String> {
    let said = Command::new(bin.join("postgres")).arg("--version").current_dir("/").output().ok()?.stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let version = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(digits(version))
}

/// `initdb` looks for its files relative to where it really lies, so links are followed first.
fn resolved(dir: &Path) -> Option<PathBuf> {
    let dir = fs::canonicalize(dir.join("initdb")).ok()?.parent()?.to_owned();
    complete(&dir).then_some(dir)
}

fn newest() -> Option<PathBuf> {
    let versions = ROOTS.iter().flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
    let installed = versions.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let version: u32 = digits(name.trim_start_matches(|c: char| !c.is_ascii_digit())).parse().ok()?;
        let bin = entry.path().join("bin");
        complete(&bin).then_some((version, bin))
    });
    installed.max().map(|(_, bin)| bin)
}

fn complete(dir: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"].iter().all(|program| dir.join(program).is_file())
}

fn digits(text: &str) -> String {
    text.chars().take_while(char::is_ascii_digit).collect()
}
