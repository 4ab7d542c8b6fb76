//! The log: lines for people, or JSON for machines, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
        let filter = faults.take("LOG", filter(&self.log));
        let is_json = match self.log_format.as_str() {
            "text" => Ok(false),
            "json" => Ok(true),
            _ => Err("must be text or json"),
        };
        let is_json = faults.take("LOG_FORMAT", is_json);
        Some(Log { filter: filter?, is_json: is_json? })
    }
}

/// A word that is no level would be taken for a module, and nothing else be logged.
fn filter(text: &str) -> Result<EnvFilter, &'static str> {
    const RULE: &str = "must be a level (info) or levels by module (info,kos_delivery=debug)";
    let is_sound = |part: &str| part.contains(['=', '[']) || part.trim().parse::<LevelFilter>().is_ok();
    if !text.split(',').filter(|part| !part.trim().is_empty()).all(is_sound) {
        return Err(RULE);
    }
    EnvFilter::try_new(format!("{QUIET},{text}")).map_err(|_error| RULE)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for sound in ["info", "WARN", "off", "info,kos_delivery=debug", "kos_delivery[send]=trace, warn", ""] {
            assert!(filter(sound).is_ok(), "{sound}");
        }
        for unsound in ["verbose", "info,debugg", "kos_delivery", "kos_delivery=loud", "a=b=c"] {
            assert!(filter(unsound).is_err(), "{unsound}");
        }
    }
}
