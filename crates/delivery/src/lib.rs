//! The delivery engine: it takes what is due, sends it, and writes down what came of it.
//!
//! This is the only place where storage and senders meet. Nothing is decided in memory that a crash
//! could lose: a delivery belongs to the engine as long as its lease runs, and what the engine does
//! not report falls due again by itself. What an outcome leads to is decided in `policy`, who may
//! send at the same time in `lane`, and what is written in `recorder`.

mod engine;
mod lane;
pub mod policy;
mod recorder;
mod settings;
mod worker;

pub use engine::{Engine, Error, Handle, Intake};
pub use settings::{Settings, Surroundings};
