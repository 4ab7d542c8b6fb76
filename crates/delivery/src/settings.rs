//! The engine's numbers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kos_model::RetrySchedule;
use kos_repository::{FailingRule, Retention};

/// How much the engine does at once, and how long it waits for what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Messages on their way at the same time, to all webhooks together.
    pub in_flight: usize,
    /// Messages held in memory behind those on their way, for one webhook.
    pub backlog: u32,
    /// Messages held in memory behind those on their way, for all webhooks together: their number, and
    /// the bytes of their payloads.
    pub queued: (u32, usize),
    /// Deliveries taken by one claim, over all webhooks.
    pub claim: u32,
    /// Events that are stored in one transaction.
    pub batch: usize,
    /// How long a delivery belongs to the engine. Must exceed the longest attempt (30 s) by more than
    /// [`Self::margin`], so that no heartbeat is needed.
    pub lease: Duration,
    /// What a lease must have left, beyond one attempt, for an attempt to begin.
    pub margin: Duration,
    /// The shortest and the longest wait between two looks at the database.
    pub poll: (Duration, Duration),
    /// How long a shutdown waits for what is on its way.
    pub drain: Duration,
    /// How long a delivery waits after a fault of ours.
    pub fault_wait: Duration,
    /// When a failed delivery is tried again, unless its webhook's policy says otherwise.
    pub schedule: RetrySchedule,
    /// When a webhook is left alone for a while.
    pub breaker: BreakerRule,
    /// When a webhook that keeps failing is switched off.
    pub failing: FailingRule,
    /// How long events and logs are kept.
    pub retention: Retention,
}

/// When a webhook's breaker opens, for how long, and when it closes.
#[derive(Clone, Copy, Debug)]
pub struct BreakerRule {
    /// It opens after so many failures in a row, or when of at least so many attempts …
    pub attempts: u32,
    /// … within this time …
    pub within: Duration,
    /// … this share failed.
    pub share: f64,
    /// How long it is open the first time; doubled with every further time.
    pub open_for: Duration,
    /// The longest that it is open.
    pub open_at_most: Duration,
    /// Probes that must succeed for it to close.
    pub closes_after: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight: 2_000,
            backlog: 54,
            queued: (4_096, 32 << 20),
            claim: 1_024,
            batch: 128,
            lease: Duration::from_secs(60),
            margin: Duration::from_secs(10),
            poll: (Duration::from_millis(50), Duration::from_secs(1)),
            drain: Duration::from_secs(20),
            fault_wait: Duration::from_secs(60),
            schedule: RetrySchedule::default(),
            breaker: BreakerRule::default(),
            failing: FailingRule { time: Duration::from_secs(5 * 24 * 60 * 60), attempts: 20 },
            retention: Retention { events: 30, logs: 14 },
        }
    }
}

impl Default for BreakerRule {
    fn default() -> Self {
        Self {
            attempts: 10,
            within: Duration::from_secs(60),
            share: 0.7,
            open_for: Duration::from_secs(30),
            open_at_most: Duration::from_secs(15 * 60),
            closes_after: 3,
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
