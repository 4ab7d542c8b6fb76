//! The API as its callers see it, over a real Postgres and real receivers.
#![cfg(test)]

mod bad_input;
mod bench;
mod deliveries;
mod documentation;
mod events;
mod knowledge;
mod knowledge_changes;
mod knowledge_duplicates;
mod knowledge_lists;
mod knowledge_transfer;
mod operating;
mod webhooks;
