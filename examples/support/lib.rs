//! What the examples share: a receiver, a look at what it received, texts to send, a service to try, and
//! the means to measure it.

pub mod chance;
pub mod inbox;
pub mod load;
pub mod screen;
pub mod service;
pub mod sink;
pub mod texts;
pub mod timing;
pub mod usage;
