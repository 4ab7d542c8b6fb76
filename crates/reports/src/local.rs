//! Local times as instants, also where the clocks change.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// The longest stretch of local time that a zone ever skipped: Apia left out 30 December 2011.
const LONGEST_GAP_MINUTES: i64 = 25 * 60;

/// The instant of a local time: the first of two where it is doubled, the next that exists where it is
/// skipped.
pub(crate) fn instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    let found = |local: NaiveDateTime| match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => Some(instant.to_utc()),
        MappedLocalTime::None => None,
    };
    let later = |minutes| local.checked_add_signed(TimeDelta::minutes(minutes)).and_then(found);
    found(local).or_else(|| (1..=LONGEST_GAP_MINUTES).find_map(later)).unwrap_or_else(|| local.and_utc())
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn at(zone: Tz, day: (i32, u32, u32), hour: u32, minute: u32) -> String {
        let local = NaiveDate::from_ymd_opt(day.0, day.1, day.2).unwrap().and_hms_opt(hour, minute, 0).unwrap();
        instant(local, zone).to_rfc3339()
    }

    #[test]
    fn a_doubled_time_is_its_first_occurrence_and_a_skipped_one_the_next_that_exists() {
        assert_eq!(at(Tz::Europe__Berlin, (2025, 10, 26), 2, 30), "2025-10-26T00:30:00+00:00");
        assert_eq!(at(Tz::Europe__Berlin, (2025, 3, 30), 2, 30), "2025-03-30T01:00:00+00:00");
        assert_eq!(at(Tz::America__Santiago, (2025, 9, 7), 0, 0), "2025-09-07T04:00:00+00:00");
        assert_eq!(at(Tz::Pacific__Apia, (2011, 12, 30), 0, 0), "2011-12-30T10:00:00+00:00");
    }
}
