//! Deliveries: one event on its way to one webhook.
//!
//! A delivery is claimed by moving its `due_at` into the future and giving it a new lease token. No
//! transaction stays open while the message is sent; whoever holds the token reports back with it,
//! and a report under an older token changes nothing. A holder that dies needs no clean-up: its
//! deliveries fall due again by themselves, and sooner where somebody notices (`holder`).

mod claim;
mod finish;
mod governed;
mod lane;
mod order;
mod story;

use std::sync::Arc;
use std::time::Duration;

use kos_model::{Attempt, DeliveryId, Event};

use crate::directory::Recipient;

pub use claim::Places;
pub use governed::GovernedLane;
pub use lane::{Breaker, WaitingLane};
pub(crate) use order::order_in_tx;
pub use story::{Cancelled, DeliveryFilter, DeliveryRecord, DeliveryState, Retried};

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// What comes for the first time.
    First,
    /// Retries and replays, which take what the others leave.
    Again,
}

impl Tier {
    const fn number(self) -> i16 {
        match self {
            Self::First => 0,
            Self::Again => 1,
        }
    }

    const fn of(number: i16) -> Self {
        if number == 0 { Self::First } else { Self::Again }
    }
}

/// A delivery that the caller holds until its lease runs out.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The delivery.
    pub id: DeliveryId,
    /// The proof of holding it.
    pub lease_token: i64,
    /// Attempts made before this one.
    pub attempts: u32,
    /// Whether it comes for the first time.
    pub tier: Tier,
    /// What is to be told.
    pub event: Arc<Event>,
    /// To whom.
    pub recipient: Arc<Recipient>,
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// It is done.
    Done,
    /// It is tried again after this time, and the attempt counts.
    RetryIn(Duration, WaitsFor),
    /// It is tried again after this time, and the attempt does not count.
    DeferFor(Duration, WaitsFor),
    /// It will never be tried again by itself.
    Dead,
}

/// Why a delivery that was tried waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The schedule of retries.
    Schedule,
    /// The receiver, which asked for time.
    Receiver,
    /// Nothing: the receiver moved or was changed, and is tried at its new address.
    Move,
    /// Somebody to switch its webhook on.
    Webhook,
    /// A fault of ours to be mended.
    Fault,
}

impl WaitsFor {
    /// Its name in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Receiver => "retry_after",
            Self::Move => "move",
            Self::Webhook => "webhook",
            Self::Fault => "fault",
        }
    }
}

/// One attempt's report.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The delivery, as it was claimed.
    pub claimed: Claimed,
    /// What happened.
    pub attempt: Attempt,
    /// What follows from it.
    pub next: Next,
}
