//! The API as its callers see it, over a real Postgres and real receivers.

mod bad_input;
mod bench;
mod documentation;
mod knowledge;
mod webhooks;
