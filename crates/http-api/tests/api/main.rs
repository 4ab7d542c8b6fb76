//! The API as its callers see it, over a real Postgres and real receivers.
#![cfg(test)]

mod bad_input;
mod bench;
mod deliveries;
mod documentation;
mod domains;
mod events;
mod experts;
mod idempotency;
mod interactions;
mod knowledge;
mod operating;
mod tasks;
mod webhooks;
