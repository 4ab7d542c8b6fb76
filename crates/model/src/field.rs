//! Rules that fields of several entities share.

use std::str::FromStr;

use chrono::{DateTime, Datelike as _, Utc};

use crate::knowledge::text;
use crate::violation::Violation;

/// A text that may be empty; otherwise as [`text`].
///
/// # Errors
/// The broken rule, at `pointer`.
pub fn text_or_empty(pointer: &str, given: &str, max: usize) -> Result<String, Violation> {
    if given.trim().is_empty() { Ok(String::new()) } else { text(pointer, given, max) }
}

/// A text that may be left out, which an empty one stands for; otherwise as [`text`].
///
/// # Errors
/// The broken rule, at `pointer`.
pub fn optional_text(pointer: &str, given: Option<&str>, max: usize) -> Result<Option<String>, Violation> {
    given.filter(|text| !text.trim().is_empty()).map(|given| text(pointer, given, max)).transpose()
}

/// The id of something else.
///
/// # Errors
/// The text is no UUID.
pub fn id<T: FromStr>(pointer: &str, given: &str) -> Result<T, Violation> {
    given.trim().parse().map_err(|_not_an_id| {
        Violation::new(pointer, "invalid_id", "must be a UUID such as 0190b0d2-7b1c-7c3e-8f00-1234567890ab")
    })
}

/// A moment, to the microsecond.
///
/// # Errors
/// The text is no time as RFC 3339 has it, or one outside the years 1 to 9999.
pub fn time(pointer: &str, given: &str) -> Result<DateTime<Utc>, Violation> {
    let read = DateTime::parse_from_rfc3339(given.trim()).map_err(|error| {
        let detail = format!("must be a time such as 2025-12-14T12:00:00Z or 2025-12-14T15:00:00+03:00 ({error})");
        Violation::new(pointer, "invalid_time", detail)
    })?;
    let time = whole(read.to_utc());
    if !(1..=9999).contains(&time.year()) {
        return Err(Violation::new(pointer, "out_of_range", "must lie in the years 1 to 9999"));
    }
    Ok(time)
}

/// A moment as Postgres keeps it: to the microsecond, and a leap second as the one that follows.
pub(crate) fn whole(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// One of some words.
///
/// # Errors
/// Another word; the violation lists those that are allowed.
pub fn word<T: FromStr>(pointer: &str, given: &str, allowed: &[&str]) -> Result<T, Violation> {
    given
        .parse()
        .map_err(|_unknown| Violation::new(pointer, "unknown_word", format!("must be one of {}", allowed.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_any_zone_and_cut_to_what_the_database_keeps() {
        let read = time("/due_at", "2025-12-14T15:00:00.123456789+03:00").unwrap();
        assert_eq!(read.to_rfc3339(), "2025-12-14T12:00:00.123456+00:00");
        for bad in ["", "tomorrow", "2025-12-14", "2025-12-14T12:00:00", "2025-02-30T12:00:00Z"] {
            assert_eq!(time("/due_at", bad).unwrap_err().pointer, "/due_at", "{bad}");
        }
        for beyond in
            ["0000-06-01T00:00:00Z", "0001-01-01T00:00:00+03:00", "9999-12-31T23:59:59-03:00", "9999-12-31T23:59:60Z"]
        {
            assert_eq!(time("/due_at", beyond).unwrap_err().code, "out_of_range", "{beyond}");
        }
    }
}
