//! What the binaries share before they begin their work: settings, secrets in files, logs, signals.
//!
//! The environment is read here and nowhere else. This crate knows nothing of the others: it hands
//! over plain values, and the binaries put them where they belong.

pub mod command_line;
pub mod env_file;
pub mod secret_file;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
