//! The delivery engine: it takes what is due, sends it, and writes down what came of it.
//!
//! This is the only place where storage and senders meet. Nothing is decided in memory that a crash
//! could lose: a delivery belongs to the engine as long as its lease runs, and what the engine does
//! not report falls due again by itself. Events come in through `ingest`, what is due is found by
//! `claims`, who may send at the same time is decided in `lane`, what an outcome leads to in `policy`,
//! and what is written in `recorder`; `upkeep` sees to the rest.

mod ailing;
mod claims;
mod endpoint;
mod engine;
mod ingest;
mod lane;
mod policy;
mod recorder;
mod settings;
mod upkeep;
mod window;
mod worker;

pub use engine::{Engine, Error, Handle, Intake};
pub use ingest::Accepted;
pub use settings::{BreakerRule, Settings, Surroundings};
