//! When a failed delivery is tried again.

use std::time::Duration;

/// The longest wait that a platform's `Retry-After` can cause.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How far a delay may stray from its nominal length, as a share of it.
pub const JITTER: f64 = 0.2;

/// The waits between one attempt and the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

impl Default for RetrySchedule {
    /// The example schedule of Standard Webhooks 1.0.0: ten attempts over some 75 hours.
    fn default() -> Self {
        const HOUR: u64 = 60 * 60;
        let seconds = [5, 5 * 60, 30 * 60, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Self(seconds.map(Duration::from_secs).to_vec())
    }
}

impl RetrySchedule {
    /// A schedule of these waits; the number of attempts is one more.
    #[must_use]
    pub const fn new(waits: Vec<Duration>) -> Self {
        Self(waits)
    }

    /// How many attempts there are in all.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.0.len() + 1
    }

    /// How long to wait after the failed attempt number `attempt` (1 is the first), or `None` when
    /// that was the last. `jitter` in 0..1 spreads the wait by ±20 %; what the platform asked for
    /// (`retry_after`, up to 24 h) is never undercut.
    #[must_use]
    pub fn wait_after(&self, attempt: u32, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
        let index = usize::try_from(attempt.max(1) - 1).ok()?;
        let nominal = self.0.get(index)?;
        let spread = nominal.mul_f64(1.0 + JITTER * (2.0 * jitter.clamp(0.0, 1.0) - 1.0));
        Some(retry_after.map_or(spread, |asked| spread.max(asked.min(MAX_RETRY_AFTER))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_schedule_makes_ten_attempts_over_three_days() {
        let schedule = RetrySchedule::default();
        let total: Duration = (1..10).map(|attempt| schedule.wait_after(attempt, None, 0.5).unwrap()).sum();
        assert_eq!(schedule.attempts(), 10);
        assert_eq!(total.as_secs(), 75 * 3600 + 35 * 60 + 5);
        assert_eq!(schedule.wait_after(10, None, 0.5), None);
    }

    #[test]
    fn a_retry_after_of_a_year_waits_a_day() {
        let wait = RetrySchedule::default().wait_after(1, Some(Duration::from_secs(31_536_000)), 0.5);
        assert_eq!(wait, Some(MAX_RETRY_AFTER));
    }

    proptest! {
        #[test]
        fn a_wait_never_undercuts_what_was_asked_nor_strays_over_a_fifth(attempt in 1u32..10, asked in 0u64..90_000, jitter in 0.0f64..1.0) {
            let schedule = RetrySchedule::default();
            let nominal = schedule.wait_after(attempt, None, 0.5).unwrap();
            let plain = schedule.wait_after(attempt, None, jitter).unwrap();
            prop_assert!(plain >= nominal.mul_f64(0.8) && plain <= nominal.mul_f64(1.2));
            let asked = Duration::from_secs(asked);
            prop_assert!(schedule.wait_after(attempt, Some(asked), jitter).unwrap() >= asked.min(MAX_RETRY_AFTER));
        }
    }
}
