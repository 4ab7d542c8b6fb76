//! The repository against a real Postgres, a database for each test.
#![cfg(test)]

mod builders;
mod deliveries;
mod embedded;
mod emitting;
mod health;
mod held;
mod holders;
mod knowledge;
mod links;
mod migrations;
mod ordering;
mod people;
mod producers;
mod replays;
mod reports;
mod retention;
mod searching;
mod stories;
mod webhooks;
