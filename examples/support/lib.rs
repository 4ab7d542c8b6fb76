//! What the examples share: a receiver, a look at what it received, texts to send, a service to try.

pub mod inbox;
pub mod screen;
pub mod service;
pub mod texts;
