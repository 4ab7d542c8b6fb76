//! What follows from an outcome. Pure: the whole of the retry policy can be read, and tested, here.

use std::time::Duration;

use kos_model::{Outcome, RetrySchedule};
use kos_repository::Next;

/// What happens to the webhook itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Nothing is sent to it for this long.
    Hold(Duration),
    /// It is switched off, for this reason.
    Disable(&'static str),
    /// Its chat has this new id.
    Move(i64),
}

/// What follows from the outcome of attempt number `attempt` (1 is the first).
///
/// A delivery whose webhook is switched off is not given up: it stays parked and goes on when the
/// webhook is switched on again.
#[must_use]
pub fn decide(
    outcome: &Outcome,
    attempt: u32,
    schedule: &RetrySchedule,
    fault_wait: Duration,
    jitter: f64,
) -> (Next, Effect) {
    let retry = |after| schedule.wait_after(attempt, after, jitter).map_or(Next::Dead, Next::RetryIn);
    match outcome {
        Outcome::Delivered => (Next::Done, Effect::None),
        Outcome::Retry { after } => (retry(*after), after.map_or(Effect::None, hold)),
        Outcome::Rejected => (Next::Dead, Effect::None),
        Outcome::Gone => (Next::DeferFor(Duration::ZERO), Effect::Disable("gone")),
        Outcome::Unauthorized => (Next::DeferFor(Duration::ZERO), Effect::Disable("unauthorized")),
        Outcome::Moved { chat_id } => (retry(None).soon(), Effect::Move(*chat_id)),
        Outcome::Fault => (Next::DeferFor(fault_wait), Effect::None),
    }
}

fn hold(asked: Duration) -> Effect {
    Effect::Hold(asked.min(kos_model::retry::MAX_RETRY_AFTER))
}

/// A retry without its wait.
trait Soon {
    fn soon(self) -> Self;
}

impl Soon for Next {
    fn soon(self) -> Self {
        match self {
            Self::RetryIn(_) => Self::RetryIn(Duration::ZERO),
            Self::Done | Self::DeferFor(_) | Self::Dead => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(outcome: &Outcome, attempt: u32) -> (Next, Effect) {
        decide(outcome, attempt, &RetrySchedule::default(), Duration::from_secs(60), 0.5)
    }

    #[test]
    fn a_passing_fault_is_retried_on_the_schedule_until_it_is_exhausted() {
        let outcome = Outcome::Retry { after: None };
        assert_eq!(decided(&outcome, 1), (Next::RetryIn(Duration::from_secs(5)), Effect::None));
        assert_eq!(decided(&outcome, 9), (Next::RetryIn(Duration::from_secs(86_400)), Effect::None));
        assert_eq!(decided(&outcome, 10), (Next::Dead, Effect::None));
    }

    #[test]
    fn a_wait_that_the_platform_asks_for_holds_the_whole_webhook() {
        let asked = Duration::from_secs(30);
        let (next, effect) = decided(&Outcome::Retry { after: Some(asked) }, 1);
        assert_eq!((next, effect), (Next::RetryIn(asked), Effect::Hold(asked)));
    }

    #[test]
    fn a_rejected_message_is_buried_and_its_webhook_left_alone() {
        assert_eq!(decided(&Outcome::Rejected, 1), (Next::Dead, Effect::None));
    }

    #[test]
    fn a_receiver_that_is_gone_or_refuses_us_is_switched_off_and_its_deliveries_parked() {
        for (outcome, reason) in [(Outcome::Gone, "gone"), (Outcome::Unauthorized, "unauthorized")] {
            assert_eq!(decided(&outcome, 1), (Next::DeferFor(Duration::ZERO), Effect::Disable(reason)));
        }
    }

    #[test]
    fn a_chat_that_moved_is_followed_at_once_but_not_for_ever() {
        let outcome = Outcome::Moved { chat_id: -100 };
        assert_eq!(decided(&outcome, 1), (Next::RetryIn(Duration::ZERO), Effect::Move(-100)));
        assert_eq!(decided(&outcome, 10).0, Next::Dead);
    }

    #[test]
    fn a_fault_of_ours_costs_the_receiver_no_attempt() {
        assert_eq!(decided(&Outcome::Fault, 3), (Next::DeferFor(Duration::from_secs(60)), Effect::None));
    }
}
