//! The API as its callers see it, over a real Postgres and real receivers.
#![cfg(test)]

mod bad_input;
mod bench;
mod documentation;
mod knowledge;
mod webhooks;
