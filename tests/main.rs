//! Whole-system stories: the real binaries are started, used, killed and asked again.
#![cfg(test)]

mod crash;
mod examples;
mod load;
mod outage;
mod reports;
mod seed;
mod start;
mod world;
