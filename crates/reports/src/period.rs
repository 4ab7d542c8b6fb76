//! The days and weeks that reports are about, and which of them are owed.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use kos_model::EventType;
use kos_model::event::Known;

use crate::local::instant;
use crate::schedule::Schedule;

/// Which report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// About one day.
    Daily,
    /// About one week, Monday to Sunday.
    Weekly,
}

impl Kind {
    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }

    /// The event that carries the report.
    #[must_use]
    pub fn event_type(self) -> EventType {
        self.known().event_type()
    }

    pub(crate) const fn known(self) -> Known {
        match self {
            Self::Daily => Known::DailyReport,
            Self::Weekly => Known::WeeklyReport,
        }
    }

    const fn days(self) -> Days {
        match self {
            Self::Daily => Days::new(1),
            Self::Weekly => Days::new(7),
        }
    }

    /// How many missed reports are made up for; a flood of old ones helps nobody.
    const fn catch_up(self) -> usize {
        match self {
            Self::Daily => 3,
            Self::Weekly => 2,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown report: use daily or weekly")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Daily, Self::Weekly].into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// One day, or one week from Monday to Sunday, of a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    kind: Kind,
    first_day: NaiveDate,
    time_zone: Tz,
}

impl Period {
    /// The period that a day lies in.
    #[must_use]
    pub fn containing(kind: Kind, date: NaiveDate, time_zone: Tz) -> Self {
        let first_day = match kind {
            Kind::Daily => date,
            Kind::Weekly => {
                let since_monday = Days::new(date.weekday().num_days_from_monday().into());
                date.checked_sub_days(since_monday).unwrap_or(date)
            }
        };
        Self { kind, first_day, time_zone }
    }

    /// The newest period that is over at `now`.
    #[must_use]
    pub fn last_closed(kind: Kind, now: DateTime<Utc>, time_zone: Tz) -> Self {
        Self::containing(kind, now.with_timezone(&time_zone).date_naive(), time_zone).previous()
    }

    /// Which report it is for.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its first day.
    #[must_use]
    pub const fn first_day(&self) -> NaiveDate {
        self.first_day
    }

    /// Its last day, the period's own.
    #[must_use]
    pub fn last_day(&self) -> NaiveDate {
        self.next().first_day.pred_opt().unwrap_or(self.first_day)
    }

    /// The zone that its days are counted in.
    #[must_use]
    pub const fn time_zone(&self) -> Tz {
        self.time_zone
    }

    /// When it begins.
    #[must_use]
    pub fn start(&self) -> DateTime<Utc> {
        instant(self.first_day.and_time(NaiveTime::MIN), self.time_zone)
    }

    /// When the next one begins; this moment is not the period's own.
    #[must_use]
    pub fn end(&self) -> DateTime<Utc> {
        self.next().start()
    }

    /// The one before.
    #[must_use]
    pub fn previous(&self) -> Self {
        let first_day = self.first_day.checked_sub_days(self.kind.days()).unwrap_or(self.first_day);
        Self { first_day, ..self.clone() }
    }

    /// The one after.
    #[must_use]
    pub fn next(&self) -> Self {
        let first_day = self.first_day.checked_add_days(self.kind.days()).unwrap_or(self.first_day);
        Self { first_day, ..self.clone() }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_closed(&self, now: DateTime<Utc>) -> bool {
        self.end() <= now
    }
}

/// What is owed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Whose reports should have been sent and were not, oldest first.
    pub periods: Vec<Period>,
    /// Those that are too old to be made up for, as stretches without a gap: the first and the last of each, oldest
    /// first. Told along with what is owed, and not otherwise: cron asks every five minutes.
    pub left_out: Vec<(Period, Period)>,
}

/// What should have been sent by `now` and was not. `made` are the first days of periods that were
/// reported, at least of the newest ten; when there are none, only the newest period is owed. Of those that
/// were missed, at most three days or two weeks are made up for.
#[must_use]
pub fn due(kind: Kind, schedule: &Schedule, now: DateTime<Utc>, made: &[NaiveDate]) -> Owed {
    let Some(fired) = schedule.last_due(now) else { return Owed::default() };
    let newest = Period::last_closed(kind, fired, schedule.time_zone());
    let Some(first) = made.iter().min() else {
        return Owed { periods: vec![newest], left_out: Vec::new() };
    };
    let back = std::iter::successors(Some(newest), |period| Some(period.previous()));
    let back = back.take_while(|period| period.first_day > *first);
    let is_missing = |period: &Period| !made.contains(&period.first_day);
    let mut periods: Vec<Period> = back.clone().take(kind.catch_up()).filter(is_missing).collect();
    if periods.is_empty() {
        return Owed::default();
    }
    periods.reverse();
    let mut too_old: Vec<Period> = back.skip(kind.catch_up()).filter(is_missing).collect();
    too_old.reverse();
    Owed { periods, left_out: stretches(too_old) }
}

/// Joins what follows one another.
fn stretches(periods: Vec<Period>) -> Vec<(Period, Period)> {
    let mut stretches: Vec<(Period, Period)> = Vec::new();
    for period in periods {
        match stretches.last_mut() {
            Some((_, last)) if last.next() == period => *last = period,
            Some(_) | None => stretches.push((period.clone(), period)),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use proptest::prelude::*;

    use super::*;

    const ZONES: [Tz; 9] = [
        Tz::UTC,
        Tz::Europe__Moscow,
        Tz::America__New_York,
        Tz::America__Santiago,
        Tz::Asia__Beirut,
        Tz::Africa__Cairo,
        Tz::Australia__Lord_Howe,
        Tz::Pacific__Apia,
        Tz::Atlantic__Azores,
    ];

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn periods_tile_the_time_without_a_gap_in_every_zone() {
        for zone in ZONES {
            for kind in [Kind::Daily, Kind::Weekly] {
                let mut period = Period::containing(kind, day(2011, 12, 1), zone);
                while period.first_day < day(2012, 2, 1)
                    || (day(2025, 1, 1)..day(2026, 2, 1)).contains(&period.first_day)
                {
                    let next = period.next();
                    assert_eq!(period.end(), next.start(), "{zone} {kind} {}", period.first_day);
                    assert!(period.start() <= period.end());
                    assert_eq!(next.previous(), period);
                    period = if next.first_day == day(2012, 2, 1) {
                        Period::containing(kind, day(2025, 1, 1), zone)
                    } else {
                        next
                    };
                }
            }
        }
    }

    #[test]
    fn days_last_as_long_as_the_clocks_say() {
        let hours = |date| {
            let period = Period::containing(Kind::Daily, date, Tz::Europe__Berlin);
            (period.end() - period.start()).num_hours()
        };
        assert_eq!([hours(day(2025, 3, 30)), hours(day(2025, 3, 31)), hours(day(2025, 10, 26))], [23, 24, 25]);
        let skipped = Period::containing(Kind::Daily, day(2011, 12, 30), Tz::Pacific__Apia);
        assert_eq!(skipped.start(), skipped.end(), "a day that a zone left out is empty");
    }

    #[test]
    fn a_report_is_due_from_its_hour_on_and_not_before() {
        let schedule = Schedule::parse(crate::DAILY, Tz::Europe__Moscow).unwrap();
        let at = |hour, minute| Utc.with_ymd_and_hms(2025, 11, 25, hour, minute, 0).unwrap();
        let monday = day(2025, 11, 24);
        let owed = |now, made: &[_]| due(Kind::Daily, &schedule, now, made).periods;
        assert_eq!(owed(at(5, 59), &[day(2025, 11, 23), day(2025, 11, 22), day(2025, 11, 21)]), []);
        let after = owed(at(6, 0), &[day(2025, 11, 23), day(2025, 11, 22)]);
        assert_eq!(after, [Period::containing(Kind::Daily, monday, Tz::Europe__Moscow)]);
        assert_eq!(owed(at(23, 0), &[monday]), []);
    }

    #[test]
    fn the_week_is_due_on_monday_and_missed_ones_are_made_up_for_within_reason() {
        let schedule = Schedule::parse(crate::WEEKLY, Tz::UTC).unwrap();
        let monday = Utc.with_ymd_and_hms(2025, 11, 24, 9, 0, 0).unwrap();
        let owed = |made: &[_]| {
            let owed = due(Kind::Weekly, &schedule, monday, made);
            let left_out: Vec<_> =
                owed.left_out.iter().map(|(first, last)| (first.first_day, last.first_day)).collect();
            (owed.periods.iter().map(Period::first_day).collect::<Vec<_>>(), left_out)
        };
        let (newest, before) = (day(2025, 11, 17), day(2025, 11, 10));
        assert_eq!(owed(&[]), (vec![newest], vec![]));
        assert_eq!(owed(&[before]), (vec![newest], vec![]));
        let left_out = vec![(day(2025, 9, 8), day(2025, 11, 3))];
        assert_eq!(owed(&[day(2025, 9, 1)]), (vec![before, newest], left_out));
        assert_eq!(owed(&[day(2025, 11, 3), newest]), (vec![before], vec![]), "a hole is filled");
        assert_eq!(owed(&[newest]), (vec![], vec![]), "what was before the first report is owed to nobody");
    }

    #[test]
    fn whatever_is_left_out_is_told_also_between_two_that_were_made() {
        let schedule = Schedule::parse(crate::DAILY, Tz::UTC).unwrap();
        let now = Utc.with_ymd_and_hms(2026, 11, 25, 9, 0, 0).unwrap();
        let november = |date| day(2026, 11, date);
        let days = |made: &[u32]| {
            let owed = due(Kind::Daily, &schedule, now, &made.iter().map(|date| november(*date)).collect::<Vec<_>>());
            let left_out = owed.left_out.iter().map(|(first, last)| (first.first_day, last.first_day));
            (owed.periods.iter().map(Period::first_day).collect::<Vec<_>>(), left_out.collect::<Vec<_>>())
        };
        let made_up = vec![november(22), november(23)];
        assert_eq!(days(&[24, 20]), (made_up.clone(), vec![(november(21), november(21))]));
        let stretches = vec![(november(13), november(14)), (november(16), november(21))];
        assert_eq!(days(&[24, 15, 12]), (made_up, stretches));
        assert_eq!(days(&[24, 23, 22, 20]), (vec![], vec![]), "cron asks every five minutes: nothing new, not a word");
    }

    #[test]
    fn a_report_comes_once_at_its_hour_on_both_sides_of_a_clock_change() {
        let zone = Tz::Europe__Berlin;
        let schedule = Schedule::parse(crate::DAILY, zone).unwrap();
        let weekly = Schedule::parse(crate::WEEKLY, zone).unwrap();
        // Nine o'clock is an hour earlier in UTC from the spring change on, an hour later from the autumn one.
        for (changed, before, after) in [
            (day(2025, 3, 30), "2025-03-29T08:00:00Z", "2025-03-31T07:00:00Z"),
            (day(2025, 10, 26), "2025-10-25T07:00:00Z", "2025-10-27T08:00:00Z"),
        ] {
            let (before, after): (DateTime<Utc>, DateTime<Utc>) = (before.parse().unwrap(), after.parse().unwrap());
            let mut made = vec![changed.pred_opt().unwrap().pred_opt().unwrap()];
            let mut sent = Vec::new();
            let mut now = before + chrono::TimeDelta::minutes(1);
            while now <= after + chrono::TimeDelta::hours(1) {
                for period in due(Kind::Daily, &schedule, now, &made).periods {
                    made.push(period.first_day);
                    sent.push((period.first_day, now));
                }
                now += chrono::TimeDelta::minutes(1);
            }
            assert_eq!(sent.last(), Some(&(changed, after)), "the day of the change, at nine of the day after");
            assert_eq!(sent.len(), 2, "{sent:?}");
            let week = due(Kind::Weekly, &weekly, after, &[]).periods;
            assert_eq!(week.len(), 1);
            assert_eq!(week[0].last_day(), changed, "the clocks change on a Sunday");
            assert_eq!(
                (week[0].end() - week[0].start()).num_hours(),
                if changed == day(2025, 3, 30) { 167 } else { 169 }
            );
            assert!(due(Kind::Weekly, &weekly, after - chrono::TimeDelta::minutes(1), &[changed]).periods.is_empty());
        }
    }

    proptest! {
        #[test]
        fn ticking_at_least_daily_reports_every_day_exactly_once(
            zone in prop::sample::select(ZONES.to_vec()),
            steps in prop::collection::vec(1i64..1440, 200..400),
        ) {
            let schedule = Schedule::parse("30 2 * * *", zone).unwrap();
            let mut now = Utc.with_ymd_and_hms(2025, 3, 1, 0, 0, 0).unwrap();
            let mut done = Vec::new();
            for step in steps {
                now += chrono::TimeDelta::minutes(step);
                for period in due(Kind::Daily, &schedule, now, &done).periods {
                    prop_assert!(period.is_closed(now));
                    done.push(period.first_day);
                }
            }
            for pair in done.windows(2) {
                prop_assert_eq!(pair[0].succ_opt().unwrap(), pair[1]);
            }
        }
    }
}
