//! One webhook's recent fortune, and whether its breaker should open. Pure, but for the instants it is
//! given; what all servers see of a breaker stands in the database.

use std::collections::VecDeque;
use std::time::Instant;

use crate::settings::BreakerRule;

/// Attempts that are remembered.
const REMEMBERED: usize = 128;

/// How the last attempts went.
#[derive(Debug, Default)]
pub(crate) struct Window {
    recent: VecDeque<(Instant, bool)>,
    in_a_row: u32,
}

impl Window {
    /// Notes an attempt; says whether the breaker should open now.
    pub(crate) fn note(&mut self, succeeded: bool, now: Instant, rule: &BreakerRule) -> bool {
        self.in_a_row = if succeeded { 0 } else { self.in_a_row.saturating_add(1) };
        self.recent.push_back((now, succeeded));
        let is_old = |at: &Instant| now.duration_since(*at) > rule.within;
        while self.recent.len() > REMEMBERED || self.recent.front().is_some_and(|(at, _)| is_old(at)) {
            self.recent.pop_front();
        }
        !succeeded && (self.in_a_row >= rule.attempts || self.mostly_fails(rule))
    }

    /// Begins anew: the breaker has opened, and what comes after it counts.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether there is nothing worth remembering.
    pub(crate) fn is_spotless(&self) -> bool {
        self.in_a_row == 0 && self.recent.iter().all(|(_, succeeded)| *succeeded)
    }

    fn mostly_fails(&self, rule: &BreakerRule) -> bool {
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let (all, failed) = (self.recent.len(), self.recent.iter().filter(|(_, succeeded)| !succeeded).count());
        count(all) >= f64::from(rule.attempts) && count(failed) >= rule.share * count(all)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// After which of these attempts (`x` failed) the breaker opens.
    fn trips(attempts: &str, apart: Duration) -> Option<usize> {
        let rule = BreakerRule::default();
        let mut window = Window::default();
        let mut now = Instant::now();
        attempts.chars().position(|attempt| {
            now += apart;
            window.note(attempt != 'x', now, &rule)
        })
    }

    #[test]
    fn ten_failures_in_a_row_open_it_however_far_apart() {
        assert_eq!(trips("xxxxxxxxxx", Duration::from_secs(1)), Some(9));
        assert_eq!(trips("xxxxxxxxxx", Duration::from_secs(3600)), Some(9));
        assert_eq!(trips("xxxxxxxxx.xxxxxxxxx", Duration::from_secs(3600)), None);
    }

    #[test]
    fn seventy_per_cent_within_a_minute_open_it_and_no_less() {
        assert_eq!(trips("xx.xx.xx.x", Duration::from_secs(1)), Some(9));
        assert_eq!(trips("xx.x..xx.x.x", Duration::from_secs(1)), None);
        assert_eq!(trips("xx.xx.xx.x", Duration::from_secs(10)), None, "what is older than a minute does not count");
    }

    #[test]
    fn after_it_has_opened_it_counts_anew() {
        let rule = BreakerRule::default();
        let mut window = Window::default();
        let now = Instant::now();
        assert!((0..10).any(|_| window.note(false, now, &rule)));
        window.clear();
        assert!(window.is_spotless());
        assert!(!window.note(false, now, &rule));
        assert!(!window.is_spotless());
    }
}
