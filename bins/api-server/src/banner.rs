//! The few lines that a person sees at the start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kos_assembly::Database;
use kos_boot::settings::Storage;
use secrecy::{ExposeSecret, SecretString};

/// The key that callers must present, and where it is kept if the service made it: the file, and
/// whether that happened just now.
pub(crate) struct Key {
    pub(crate) secret: SecretString,
    pub(crate) kept: Option<(PathBuf, bool)>,
}

/// Where the data is, what was done to it, and whether another server is there already.
pub(crate) fn data(database: &Database, storage: &Storage, applied: usize, is_joining: bool) -> String {
    let place = match database.is_embedded() {
        true => format!("embedded Postgres in {}", storage.data_dir.display()),
        false => "Postgres of DATABASE_URL".to_owned(),
    };
    let migrated = if applied > 0 { format!(", {applied} migrations applied") } else { String::new() };
    let joining = if is_joining { "; another api-server already serves it, and both share the work" } else { "" };
    format!("{place}{migrated}{joining}")
}

pub(crate) fn print(address: SocketAddr, data: &str, key: &Key) {
    let host =
        if address.ip().is_unspecified() { format!("127.0.0.1:{}", address.port()) } else { address.to_string() };
    println!("Knowledge OS {}", env!("CARGO_PKG_VERSION"));
    println!("  API       http://{host}");
    println!("  docs      http://{host}/docs/");
    println!("  data      {data}");
    let shown = match &key.kept {
        None => {
            println!("  API key   the one in API_KEY");
            "$API_KEY".to_owned()
        }
        Some((path, true)) => {
            println!("  API key   {}   (shown this once; kept in {})", key.secret.expose_secret(), path.display());
            contents(path)
        }
        Some((path, false)) => {
            println!("  API key   in {}", path.display());
            contents(path)
        }
    };
    println!("  try it    curl -X POST http://{host}/knowledge -H \"X-API-Key: {shown}\" \\");
    println!("              -H 'Content-Type: application/json' \\");
    println!(
        "              -d '{{\"content\": \"Python async/await best practices\", \"domain\": \"python\", \"confidence_score\": 0.95}}'"
    );
}

/// What the shell puts in the place of this is in the file.
fn contents(path: &Path) -> String {
    let path = path.to_string_lossy();
    // Only a NUL cannot be quoted, and no path has one.
    format!("$(cat {})", shlex::try_quote(&path).unwrap_or_else(|_nul| path.clone()))
}
