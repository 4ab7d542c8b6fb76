//! When a report is due: crontab's expressions, read in a time zone.
//!
//! The `cron` crate finds the times. What it takes differs from a crontab (seconds first, Sunday is 1,
//! both day fields must match), so expressions are translated before, and it is asked about wall-clock
//! times alone: clock changes are settled here.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::local::instant;

/// The daily report: every day at 09:00.
pub const DAILY: &str = "0 9 * * *";
/// The weekly report: on Monday at 09:00.
pub const WEEKLY: &str = "0 9 * * 1";

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It has not five fields, nor six.
    #[error("a schedule has 5 fields (minute hour day month weekday), such as `0 9 * * 1`; this has {0}")]
    Fields(usize),
    /// A weekday is none.
    #[error("`{0}` is no weekday: use 0 to 7 (0 and 7 are Sunday) or MON to SUN")]
    Weekday(String),
    /// Both day fields are set.
    #[error("set the day of the month or the weekday, not both: make two schedules of it")]
    BothDays,
    /// A field is wrong.
    #[error("the schedule cannot be read: {0}")]
    Unreadable(String),
    /// There is no such day.
    #[error("this schedule never comes")]
    Never,
}

/// When a report is due.
#[derive(Clone, Debug)]
pub struct Schedule {
    times: cron::Schedule,
    time_zone: Tz,
}

impl Schedule {
    /// Reads crontab's five fields, `@daily` or `@weekly`, or the `cron` crate's six with the seconds
    /// first.
    ///
    /// # Errors
    /// The part that is wrong, and what to write instead.
    pub fn parse(expression: &str, time_zone: Tz) -> Result<Self, ScheduleError> {
        let expression = match expression.trim() {
            "@daily" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            other => other,
        };
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let translated = match *fields.as_slice() {
            [minute, hour, day, month, weekday] => {
                if day != "*" && weekday != "*" {
                    return Err(ScheduleError::BothDays);
                }
                format!("0 {minute} {hour} {day} {month} {}", weekdays(weekday)?)
            }
            [_, _, _, day, _, weekday] => {
                if !matches!(day, "*" | "?") && !matches!(weekday, "*" | "?") {
                    return Err(ScheduleError::BothDays);
                }
                expression.to_owned()
            }
            _ => return Err(ScheduleError::Fields(fields.len())),
        };
        let times: cron::Schedule =
            translated.parse().map_err(|error: cron::error::Error| ScheduleError::Unreadable(error.to_string()))?;
        let some_day = Utc.timestamp_nanos(0);
        if times.after(&some_day).next().is_none() {
            return Err(ScheduleError::Never);
        }
        Ok(Self { times, time_zone })
    }

    /// The zone that it is read in.
    #[must_use]
    pub const fn time_zone(&self) -> Tz {
        self.time_zone
    }

    /// The last time it came, `now` included.
    #[must_use]
    pub fn last_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = self.wall_clock(now) + TimeDelta::days(1);
        let mut times = self.times.after(&wall);
        std::iter::from_fn(|| times.next_back()).map(|wall| self.instant(wall)).find(|due| *due <= now)
    }

    /// The next time it comes, after `now`.
    #[must_use]
    pub fn next_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = self.wall_clock(now) - TimeDelta::days(1);
        self.times.after(&wall).map(|wall| self.instant(wall)).find(|due| *due > now)
    }

    /// What the clock on the wall says, dressed as UTC, where no time is skipped or doubled.
    fn wall_clock(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.with_timezone(&self.time_zone).naive_local().and_utc()
    }

    fn instant(&self, wall: DateTime<Utc>) -> DateTime<Utc> {
        instant(wall.naive_utc(), self.time_zone)
    }
}

/// Crontab's weekdays, by name: their numbers mean other days to the `cron` crate.
fn weekdays(field: &str) -> Result<String, ScheduleError> {
    if field == "*" || field == "?" {
        return Ok(field.to_owned());
    }
    let mut days: Vec<&str> = Vec::new();
    for part in field.split(',') {
        let wrong = || ScheduleError::Weekday(part.to_owned());
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: usize = step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?;
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((first, last)) => (weekday(first).ok_or_else(wrong)?, weekday(last).ok_or_else(wrong)?),
            None => (weekday(range).ok_or_else(wrong)?, weekday(range).ok_or_else(wrong)?),
        };
        // `FRI-MON` goes over the week's end.
        let last = if last < first { last + 7 } else { last };
        days.extend((first..=last).step_by(step).filter_map(|day| WEEKDAYS.get(day % 7).copied()));
    }
    days.sort_unstable();
    days.dedup();
    Ok(days.join(","))
}

fn weekday(text: &str) -> Option<usize> {
    let named = WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(text));
    named.or_else(|| text.parse().ok().filter(|number| *number <= 7))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn schedule(expression: &str, zone: Tz) -> Schedule {
        Schedule::parse(expression, zone).unwrap()
    }

    #[test]
    fn crontabs_monday_is_monday() {
        for expression in [WEEKLY, "0 9 * * mon", "0 9 * * 1-1", "0 0 9 * * Mon"] {
            let due = schedule(expression, Tz::UTC).next_due(utc("2025-11-19T12:00:00Z")).unwrap();
            assert_eq!(due, utc("2025-11-24T09:00:00Z"), "{expression}");
        }
        assert_eq!(weekdays("5-7").unwrap(), weekdays("FRI-SUN").unwrap());
        assert_eq!(weekdays("0").unwrap(), "SUN");
        assert_eq!(weekdays("7").unwrap(), "SUN");
        assert_eq!(weekdays("*/3").unwrap(), "SAT,SUN,WED");
    }

    #[test]
    fn a_time_that_the_clocks_skip_comes_right_after_and_a_doubled_one_comes_once() {
        let schedule = schedule("30 2 * * *", Tz::Europe__Berlin);
        let spring = utc("2025-03-30T01:00:00Z");
        assert_eq!(schedule.next_due(utc("2025-03-29T12:00:00Z")), Some(spring));
        assert_eq!(schedule.last_due(spring), Some(spring));
        let autumn = utc("2025-10-26T00:30:00Z");
        assert_eq!(schedule.next_due(utc("2025-10-25T12:00:00Z")), Some(autumn));
        assert_eq!(schedule.next_due(autumn), Some(utc("2025-10-27T01:30:00Z")));
        assert_eq!(schedule.last_due(utc("2025-10-26T01:30:00Z")), Some(autumn));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_remedy() {
        let refused = |expression| Schedule::parse(expression, Tz::UTC).unwrap_err();
        assert_eq!(refused("0 9 * *"), ScheduleError::Fields(4));
        assert_eq!(refused("0 9 1 * 1"), ScheduleError::BothDays);
        assert_eq!(refused("0 9 * * 8"), ScheduleError::Weekday("8".to_owned()));
        assert_eq!(refused("0 9 30 2 *"), ScheduleError::Never);
        assert!(matches!(refused("61 9 * * *"), ScheduleError::Unreadable(_)));
    }
}
