//! Databases, receivers and processes for tests; a dev-dependency only.
//!
//! Nothing here stands in for our own code: the databases are Postgres, the receivers listen on
//! sockets, the processes are the binaries that are shipped.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up must fail, loudly and where it happens"
)]

pub mod database;
pub mod embedder;
pub mod process;
pub mod receiver;

pub use database::TestDb;
pub use embedder::Embedder;
pub use process::Process;
pub use receiver::{Received, Receiver};
