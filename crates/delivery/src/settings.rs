//! The engine's numbers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kos_model::RetrySchedule;

/// How much the engine does at once, and how long it waits for what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Messages on their way to one webhook at the same time.
    pub in_flight: u32,
    /// Messages held in memory behind those, for one webhook.
    pub backlog: u32,
    /// Deliveries taken by one claim, over all webhooks.
    pub claim: u32,
    /// How long a delivery belongs to the engine. Must exceed [`Self::attempt`] by more than
    /// [`Self::margin`], so that no heartbeat is needed.
    pub lease: Duration,
    /// The longest that one attempt can take.
    pub attempt: Duration,
    /// What a lease must have left, beyond one attempt, for an attempt to begin.
    pub margin: Duration,
    /// The shortest and the longest wait between two looks at the database.
    pub poll: (Duration, Duration),
    /// How long a shutdown waits for what is on its way.
    pub drain: Duration,
    /// How long a delivery waits after a fault of ours.
    pub fault_wait: Duration,
    /// When a failed delivery is tried again.
    pub schedule: RetrySchedule,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight: 10,
            backlog: 54,
            claim: 1024,
            lease: Duration::from_secs(60),
            attempt: Duration::from_secs(15),
            margin: Duration::from_secs(10),
            poll: (Duration::from_millis(50), Duration::from_secs(1)),
            drain: Duration::from_secs(20),
            fault_wait: Duration::from_secs(60),
            schedule: RetrySchedule::default(),
        }
    }
}

/// What the engine takes from the world around it.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// The wall clock; it goes into signatures and decides nothing else.
    pub now: fn() -> DateTime<Utc>,
    /// A number from 0 to 1 that spreads the retries.
    pub jitter: fn() -> f64,
}
