//! What follows from an attempt. Pure: the whole of the retry policy can be read, and tested, here.

use std::time::Duration;

use kos_model::{Attempt, Outcome, Pause, RetrySchedule};
use kos_repository::{DisabledReason, Next, WaitsFor};

use crate::lane::Bearing;

/// What happens to the webhook itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Nothing is sent to it, or to its whole account, for a while.
    Hold(Pause),
    /// It is switched off.
    Disable(DisabledReason),
    /// Its chat has this new id.
    Move(i64),
}

/// Everything that follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) next: Next,
    pub(crate) effect: Effect,
    pub(crate) bearing: Bearing,
}

impl Verdict {
    /// The webhook was changed while it was asked, which says nothing of what it is now: unless it took the delivery,
    /// that goes there now, at no cost.
    pub(crate) fn outdated(self) -> Self {
        let next = match self.next {
            Next::Done => Next::Done,
            Next::RetryIn(..) | Next::DeferFor(..) | Next::Dead => Next::DeferFor(Duration::ZERO, WaitsFor::Move),
        };
        Self { next, effect: Effect::None, bearing: Bearing::None }
    }
}

/// What follows from attempt number `number` (1 is the first).
///
/// A delivery whose webhook is switched off is not given up: it stays parked and goes on when the
/// webhook is switched on again.
pub(crate) fn decide(
    attempt: &Attempt,
    number: u32,
    schedule: &RetrySchedule,
    fault_wait: Duration,
    jitter: f64,
) -> Verdict {
    let retry =
        |after, why| schedule.wait_after(number, after, jitter).map_or(Next::Dead, |wait| Next::RetryIn(wait, why));
    let pause = attempt.pause.map(bounded);
    let effect = pause.map_or(Effect::None, Effect::Hold);
    let parked = Next::DeferFor(Duration::ZERO, WaitsFor::Webhook);
    let (next, effect, bearing) = match attempt.outcome {
        Outcome::Delivered => (Next::Done, effect, Bearing::Well),
        Outcome::Retry { after: Some(after) } => (retry(Some(after), WaitsFor::Receiver), effect, Bearing::None),
        Outcome::Retry { after: None } => (retry(None, WaitsFor::Schedule), effect, Bearing::Ill),
        Outcome::Rejected => (Next::Dead, Effect::None, Bearing::Well),
        Outcome::Gone => (parked, Effect::Disable(DisabledReason::Gone), Bearing::None),
        Outcome::Unauthorized => (parked, Effect::Disable(DisabledReason::Unauthorized), Bearing::None),
        Outcome::Moved { chat_id } => {
            // Two chats that name each other would use up every attempt in a second: only the first goes on at once.
            let next = match retry(None, WaitsFor::Move) {
                Next::RetryIn(_, why) if number == 1 => Next::RetryIn(Duration::ZERO, why),
                other @ (Next::RetryIn(..) | Next::Done | Next::DeferFor(..) | Next::Dead) => other,
            };
            (next, Effect::Move(chat_id), Bearing::None)
        }
        Outcome::Fault => (Next::DeferFor(fault_wait, WaitsFor::Fault), Effect::None, Bearing::None),
    };
    Verdict { next, effect, bearing }
}

fn bounded(pause: Pause) -> Pause {
    Pause { wait: pause.wait.min(kos_model::retry::MAX_RETRY_AFTER), ..pause }
}

#[cfg(test)]
mod tests {
    use kos_model::Scope;

    use super::*;

    fn attempt(outcome: Outcome, pause: Option<Pause>) -> Attempt {
        Attempt { outcome, pause, status: None, response: None, error: None, duration: Duration::ZERO }
    }

    fn decided(outcome: Outcome, number: u32) -> Verdict {
        decide(&attempt(outcome, None), number, &RetrySchedule::default(), Duration::from_secs(60), 0.5)
    }

    fn pausing(outcome: Outcome, wait: u64) -> Verdict {
        let pause = Pause { wait: Duration::from_secs(wait), scope: Scope::Account };
        decide(&attempt(outcome, Some(pause)), 1, &RetrySchedule::default(), Duration::from_secs(60), 0.5)
    }

    #[test]
    fn a_passing_fault_is_retried_on_the_schedule_until_it_is_exhausted() {
        let next = |number| decided(Outcome::Retry { after: None }, number).next;
        assert_eq!(next(1), Next::RetryIn(Duration::from_secs(5), WaitsFor::Schedule));
        assert_eq!(next(9), Next::RetryIn(Duration::from_secs(86_400), WaitsFor::Schedule));
        assert_eq!(next(10), Next::Dead);
        assert_eq!(decided(Outcome::Retry { after: None }, 1).bearing, Bearing::Ill);
    }

    #[test]
    fn a_wait_that_the_platform_asks_for_holds_the_others_too_and_does_not_open_the_breaker() {
        let asked = Duration::from_secs(30);
        let verdict = pausing(Outcome::Retry { after: Some(asked) }, 30);
        assert_eq!(verdict.next, Next::RetryIn(asked, WaitsFor::Receiver));
        assert_eq!(verdict.effect, Effect::Hold(Pause { wait: asked, scope: Scope::Account }));
        assert_eq!(verdict.bearing, Bearing::None);
    }

    #[test]
    fn a_platform_that_bears_no_more_for_now_holds_the_others_after_a_success() {
        let verdict = pausing(Outcome::Delivered, 2);
        assert_eq!(verdict.next, Next::Done);
        assert!(matches!(verdict.effect, Effect::Hold(Pause { wait, .. }) if wait == Duration::from_secs(2)));
        let endless = pausing(Outcome::Delivered, 1 << 40);
        assert!(matches!(endless.effect, Effect::Hold(Pause { wait, .. }) if wait == Duration::from_secs(86_400)));
    }

    #[test]
    fn a_rejected_message_is_buried_and_its_webhook_left_alone() {
        let verdict = decided(Outcome::Rejected, 1);
        assert_eq!((verdict.next, verdict.effect, verdict.bearing), (Next::Dead, Effect::None, Bearing::Well));
    }

    #[test]
    fn a_receiver_that_is_gone_or_refuses_us_is_switched_off_and_its_deliveries_parked() {
        for (outcome, reason) in
            [(Outcome::Gone, DisabledReason::Gone), (Outcome::Unauthorized, DisabledReason::Unauthorized)]
        {
            let verdict = decided(outcome, 1);
            assert_eq!(verdict.next, Next::DeferFor(Duration::ZERO, WaitsFor::Webhook));
            assert_eq!(verdict.effect, Effect::Disable(reason));
        }
    }

    #[test]
    fn a_chat_that_moved_is_followed_at_once_but_not_for_ever() {
        let verdict = decided(Outcome::Moved { chat_id: -100 }, 1);
        assert_eq!((verdict.next, verdict.effect), (Next::RetryIn(Duration::ZERO, WaitsFor::Move), Effect::Move(-100)));
        let again = decided(Outcome::Moved { chat_id: -200 }, 2).next;
        assert!(matches!(again, Next::RetryIn(wait, WaitsFor::Move) if !wait.is_zero()), "{again:?}");
        assert_eq!(decided(Outcome::Moved { chat_id: -100 }, 10).next, Next::Dead);
    }

    #[test]
    fn a_fault_of_ours_costs_the_receiver_no_attempt() {
        let verdict = decided(Outcome::Fault, 3);
        assert_eq!(verdict.next, Next::DeferFor(Duration::from_secs(60), WaitsFor::Fault));
        assert_eq!(verdict.bearing, Bearing::None);
    }
}
