//! The log: lines for people, or JSON for machines, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::settings::LogArgs;

/// What others would say although nobody asked; `LOG` may ask for it.
const QUIET: &str = "actix_server=warn";

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `LOG` cannot be understood.
    #[error("LOG: must be a level (info) or levels by module (info,kos_delivery=debug)")]
    Filter(#[source] ParseError),
    /// `LOG_FORMAT` cannot be understood.
    #[error("LOG_FORMAT: must be text or json")]
    Format,
    /// Somebody else set up a log already.
    #[error("the log is set up twice")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sets the log up for the whole process.
///
/// # Errors
/// Settings that cannot be used.
pub fn init(args: &LogArgs) -> Result<(), Error> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", args.log)).map_err(Error::Filter)?;
    let colours = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    let log = log.with_target(false);
    match args.log_format.as_str() {
        "text" => log.try_init(),
        "json" => log.json().flatten_event(true).with_target(true).try_init(),
        _ => return Err(Error::Format),
    }
    .map_err(Error::Twice)
}
