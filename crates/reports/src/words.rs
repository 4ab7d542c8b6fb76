//! Dates and numbers as people write them, in Russian and English.

use chrono::{Datelike, NaiveDate};
use kos_model::Locale;

const MONTHS: [(&str, &str); 12] = [
    ("января", "January"),
    ("февраля", "February"),
    ("марта", "March"),
    ("апреля", "April"),
    ("мая", "May"),
    ("июня", "June"),
    ("июля", "July"),
    ("августа", "August"),
    ("сентября", "September"),
    ("октября", "October"),
    ("ноября", "November"),
    ("декабря", "December"),
];

const WEEKDAYS: [(&str, &str); 7] = [
    ("понедельник", "Monday"),
    ("вторник", "Tuesday"),
    ("среда", "Wednesday"),
    ("четверг", "Thursday"),
    ("пятница", "Friday"),
    ("суббота", "Saturday"),
    ("воскресенье", "Sunday"),
];

pub(crate) fn pick(pair: (&'static str, &'static str), locale: Locale) -> &'static str {
    match locale {
        Locale::Ru => pair.0,
        Locale::En => pair.1,
    }
}

/// `24 ноября 2025, понедельник`
pub(crate) fn day(date: NaiveDate, locale: Locale) -> String {
    let weekday = usize::try_from(date.weekday().num_days_from_monday()).ok().and_then(|day| WEEKDAYS.get(day));
    let weekday = weekday.map(|pair| pick(*pair, locale)).unwrap_or_default();
    format!("{} {} {}, {weekday}", date.day(), month(date, locale), date.year())
}

/// `17–23 ноября 2025`, and no more of a date than the two differ in.
pub(crate) fn span(first: NaiveDate, last: NaiveDate, locale: Locale) -> String {
    let end = format!("{} {} {}", last.day(), month(last, locale), last.year());
    if first.year() != last.year() {
        format!("{} {} {} – {end}", first.day(), month(first, locale), first.year())
    } else if first.month() != last.month() {
        format!("{} {} – {end}", first.day(), month(first, locale))
    } else {
        format!("{}–{end}", first.day())
    }
}

fn month(date: NaiveDate, locale: Locale) -> &'static str {
    let month = usize::try_from(date.month0()).ok().and_then(|month| MONTHS.get(month));
    month.map(|pair| pick(*pair, locale)).unwrap_or_default()
}

/// A number with at most one decimal, and the language's decimal sign.
pub(crate) fn decimal(number: f64, locale: Locale) -> String {
    let text = format!("{number:.1}");
    match locale {
        Locale::Ru => text.replace('.', ","),
        Locale::En => text,
    }
}

/// `1 оценка, 2 оценки, 5 оценок`; English knows but two.
pub(crate) fn ratings(count: i64, locale: Locale) -> String {
    let noun = match locale {
        Locale::En if count == 1 => "rating",
        Locale::En => "ratings",
        Locale::Ru => match (count % 10, count % 100) {
            (1, hundredth) if hundredth != 11 => "оценка",
            (2..=4, hundredth) if !(12..=14).contains(&hundredth) => "оценки",
            _ => "оценок",
        },
    };
    format!("{count} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn russian_nouns_follow_their_numbers() {
        let told: Vec<String> = [1, 2, 5, 11, 12, 21, 22, 111].map(|count| ratings(count, Locale::Ru)).to_vec();
        assert_eq!(
            told,
            ["1 оценка", "2 оценки", "5 оценок", "11 оценок", "12 оценок", "21 оценка", "22 оценки", "111 оценок"]
        );
    }

    #[test]
    fn a_span_names_what_differs() {
        assert_eq!(span(date(2025, 11, 17), date(2025, 11, 23), Locale::Ru), "17–23 ноября 2025");
        assert_eq!(span(date(2025, 10, 27), date(2025, 11, 2), Locale::En), "27 October – 2 November 2025");
        assert_eq!(span(date(2025, 12, 29), date(2026, 1, 4), Locale::Ru), "29 декабря 2025 – 4 января 2026");
    }
}
