//! What a piece of knowledge counts for today: its confidence with its age, and what its readers said.

use chrono::{DateTime, Utc};

/// Knowledge never counts for less than this part of what it was given.
const FLOOR: f64 = 0.1;
/// So many readers who said neither yes nor no are counted along: one click sinks nothing.
const PRIOR_COUNT: f64 = 5.0;
/// What they are taken to have said.
const PRIOR: f64 = 0.0;
const SECONDS_A_DAY: f64 = 86_400.0;

/// How sure we still are: half as much after each half-life of its domain since somebody last stood by it.
/// Without a half-life it does not age.
#[must_use]
pub fn effective_confidence(
    confidence: f64,
    confirmed_at: DateTime<Utc>,
    now: DateTime<Utc>,
    half_life_days: Option<f64>,
) -> f64 {
    let Some(half_life) = half_life_days.filter(|days| *days > 0.0) else { return confidence };
    let age = (now - confirmed_at).as_seconds_f64().max(0.0) / SECONDS_A_DAY;
    (confidence * 0.5_f64.powf(age / half_life)).max(confidence * FLOOR)
}

/// The mean of what readers said, each from -1 to 1, drawn to 0 while few have.
#[must_use]
pub fn mean_feedback(sum: f64, count: i32) -> f64 {
    (sum + PRIOR_COUNT * PRIOR) / (f64::from(count) + PRIOR_COUNT)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn after(days: i64, half_life: Option<f64>) -> f64 {
        let confirmed = DateTime::UNIX_EPOCH;
        effective_confidence(0.8, confirmed, confirmed + TimeDelta::days(days), half_life)
    }

    #[test]
    fn it_halves_with_each_half_life_down_to_a_tenth() {
        assert_eq!(after(0, Some(30.0)), 0.8);
        assert!((after(30, Some(30.0)) - 0.4).abs() < 1e-12);
        assert!((after(60, Some(30.0)) - 0.2).abs() < 1e-12);
        assert!((after(100_000, Some(30.0)) - 0.08).abs() < 1e-12);
        assert_eq!(after(100_000, None), 0.8);
        assert_eq!(after(-1, Some(30.0)), 0.8, "a clock that is ahead makes nothing surer");
    }

    #[test]
    fn one_reader_moves_the_mean_little_and_many_move_it_far() {
        assert_eq!(mean_feedback(0.0, 0), 0.0);
        assert!((mean_feedback(-1.0, 1) + 1.0 / 6.0).abs() < 1e-12);
        assert!(mean_feedback(95.0, 95) > 0.9);
    }
}
