//! Whole-system stories: the real binaries are started, used, killed and asked again.
#![cfg(test)]

mod chaos;
mod crash;
mod embeddings;
mod examples;
mod hostile;
mod load;
mod outage;
mod reports;
mod secrets;
mod seed;
mod start;
mod transfer;
mod world;
