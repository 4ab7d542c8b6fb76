//! The API as its callers see it, over a real Postgres and real receivers.
#![cfg(test)]

mod bad_input;
mod bench;
mod deliveries;
mod documentation;
mod events;
mod graph;
mod knowledge;
mod links;
mod operating;
mod webhooks;
