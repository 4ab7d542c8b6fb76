//! The API as its callers see it, over a real Postgres and real receivers.
#![cfg(test)]

mod bad_input;
mod bench;
mod deliveries;
mod documentation;
mod domains;
mod events;
mod examples;
mod experts;
mod graph;
mod idempotency;
mod interactions;
mod knowledge;
mod knowledge_changes;
mod knowledge_duplicates;
mod knowledge_lists;
mod knowledge_transfer;
mod links;
mod meaning;
mod operating;
mod tasks;
mod webhooks;
