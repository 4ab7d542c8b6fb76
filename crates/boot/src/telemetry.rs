//! The log: lines for people, or JSON for machines, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::settings::{Faults, LogArgs};

/// What others would say although nobody asked; `LOG` may ask for it by the same names. The two of actix-http
/// call it an error when a request is none, which anybody can send as often as they like.
const QUIET: &str = "actix_server=warn,actix_http::h1::dispatcher=off,actix_http::h1::decoder=off";

/// Somebody else set up a log already.
#[derive(Debug, thiserror::Error)]
#[error("the log is set up twice")]
pub struct Error(#[source] Box<dyn std::error::Error + Send + Sync>);

/// What is logged, and how, understood.
#[derive(Debug)]
pub struct Log {
    filter: EnvFilter,
    is_json: bool,
}

impl LogArgs {
    /// Understands these settings, or notes what is wrong with them.
    pub fn check(&self, faults: &mut Faults) -> Option<Log> {
        let filter = EnvFilter::try_new(format!("{QUIET},{}", self.log));
        let filter = filter.map_err(|_error| "must be a level (info) or levels by module (info,kos_delivery=debug)");
        let filter = faults.take("LOG", filter);
        let is_json = match self.log_format.as_str() {
            "text" => Ok(false),
            "json" => Ok(true),
            _ => Err("must be text or json"),
        };
        let is_json = faults.take("LOG_FORMAT", is_json);
        Some(Log { filter: filter?, is_json: is_json? })
    }
}

/// Sets the log up for the whole process.
///
/// # Errors
/// It is set up already.
pub fn init(log: Log) -> Result<(), Error> {
    let colours = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(log.filter).with_writer(io::stderr).with_ansi(colours);
    let lines = lines.with_target(false);
    match log.is_json {
        false => lines.try_init(),
        true => lines.json().flatten_event(true).with_target(true).try_init(),
    }
    .map_err(Error)
}
