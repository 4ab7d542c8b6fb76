//! How messages are sent to one webhook: how many at once, how fast, in which order, how long they
//! may take, and when a failed one is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::retry::RetrySchedule;
use crate::violation::{Violation, Violations};

/// Messages on their way to one webhook at the same time, unless its policy says otherwise.
pub const IN_FLIGHT: u32 = 10;
/// Most messages that may be on their way to one webhook.
pub const MAX_IN_FLIGHT: u32 = 100;
/// How long an attempt may take, in seconds, unless the policy says otherwise.
pub const TIMEOUT: u32 = 15;
/// The shortest and the longest time that an attempt may be given, in seconds.
pub const TIMEOUTS: (u32, u32) = (5, 30);
/// Most retries of one delivery.
pub const MAX_RETRIES: usize = 20;
/// Longest wait between two attempts, in seconds: two days.
pub const MAX_WAIT: u32 = 2 * 24 * 60 * 60;
/// Longest that all waits together may last, in seconds: a week.
pub const MAX_SCHEDULE: u32 = 7 * 24 * 60 * 60;

/// So many messages in so much time; that many may also go at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Messages, 1 to 10,000.
    pub limit: u32,
    /// Seconds, 1 to 86,400.
    pub per_seconds: u32,
}

impl RateLimit {
    /// The mean time between two messages.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.per_seconds.into()) / self.limit.max(1)
    }
}

/// How messages are sent to one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryPolicy {
    /// Messages on their way at the same time, 1 to 100.
    pub max_in_flight: u32,
    /// One after the other, in the order of their events; the first that fails holds the rest.
    pub ordered: bool,
    /// No faster than this; none means as fast as they come.
    pub rate_limit: Option<RateLimit>,
    /// How long an attempt may take, in seconds, 5 to 30.
    pub timeout_seconds: u32,
    /// The waits after the first, second, … failed attempt, in seconds; none means the usual ones.
    pub retry_schedule: Option<Vec<u32>>,
}

impl Default for DeliveryPolicy {
    fn default() -> Self {
        Self {
            max_in_flight: IN_FLIGHT,
            ordered: false,
            rate_limit: None,
            timeout_seconds: TIMEOUT,
            retry_schedule: None,
        }
    }
}

impl DeliveryPolicy {
    /// Applies the rules; faults stand at `/policy/…`.
    ///
    /// # Errors
    /// Every broken rule.
    pub fn check(&self) -> Result<(), Violations> {
        let mut faults = Violations::new();
        let range = |pointer: &str, value: u32, least: u32, most: u32| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Violation::new(pointer, "out_of_range", format!("must be from {least} to {most}")))
        };
        faults.take(range("/policy/max_in_flight", self.max_in_flight, 1, MAX_IN_FLIGHT));
        faults.take(range("/policy/timeout_seconds", self.timeout_seconds, TIMEOUTS.0, TIMEOUTS.1));
        if let Some(rate) = &self.rate_limit {
            faults.take(range("/policy/rate_limit/limit", rate.limit, 1, 10_000));
            faults.take(range("/policy/rate_limit/per_seconds", rate.per_seconds, 1, 86_400));
        }
        if let Some(waits) = &self.retry_schedule {
            check_schedule(waits, &mut faults);
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Messages that may be on their way at the same time.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        if self.ordered { 1 } else { self.max_in_flight }
    }

    /// How long an attempt may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }

    /// The policy's own schedule.
    #[must_use]
    pub fn schedule(&self) -> Option<RetrySchedule> {
        let waits = self.retry_schedule.as_ref()?;
        Some(RetrySchedule::new(waits.iter().map(|wait| Duration::from_secs((*wait).into())).collect()))
    }
}

fn check_schedule(waits: &[u32], faults: &mut Violations) {
    const POINTER: &str = "/policy/retry_schedule";
    if waits.len() > MAX_RETRIES {
        faults.push(Violation::new(POINTER, "too_many", format!("has {} waits; at most {MAX_RETRIES}", waits.len())));
    }
    if let Some(index) = waits.iter().position(|wait| *wait > MAX_WAIT) {
        let detail = format!("a wait has at most {MAX_WAIT} seconds");
        faults.push(Violation::new(format!("{POINTER}/{index}"), "out_of_range", detail));
    }
    if waits.iter().map(|wait| u64::from(*wait)).sum::<u64>() > u64::from(MAX_SCHEDULE) {
        let detail = format!("lasts longer than {MAX_SCHEDULE} seconds in all: events are not kept for ever");
        faults.push(Violation::new(POINTER, "out_of_range", detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_out_of_its_range_is_named() {
        let policy = DeliveryPolicy {
            max_in_flight: 0,
            ordered: false,
            rate_limit: Some(RateLimit { limit: 0, per_seconds: 86_401 }),
            timeout_seconds: 31,
            retry_schedule: Some([vec![1; 20], vec![MAX_WAIT + 1]].concat()),
        };
        let faults = policy.check().unwrap_err();
        let pointers: Vec<_> = faults.as_slice().iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/policy/max_in_flight",
                "/policy/timeout_seconds",
                "/policy/rate_limit/limit",
                "/policy/rate_limit/per_seconds",
                "/policy/retry_schedule",
                "/policy/retry_schedule/20",
            ]
        );
        assert_eq!(DeliveryPolicy::default().check(), Ok(()));
        let endless = DeliveryPolicy { retry_schedule: Some(vec![MAX_WAIT; 4]), ..DeliveryPolicy::default() };
        assert!(endless.check().is_err());
    }

    #[test]
    fn what_a_policy_leaves_out_is_the_usual() {
        let policy: DeliveryPolicy = serde_json::from_str(r#"{"ordered": true}"#).unwrap();
        assert_eq!((policy.in_flight(), policy.timeout()), (1, Duration::from_secs(15)));
        assert!(serde_json::from_str::<DeliveryPolicy>(r#"{"colour": 1}"#).is_err());
    }
}
