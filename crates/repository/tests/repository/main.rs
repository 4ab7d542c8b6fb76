//! The repository against a real Postgres, a database for each test.
#![cfg(test)]

mod builders;
mod deliveries;
mod embedded;
mod emitting;
mod migrations;
mod reports;
mod searching;
mod webhooks;
