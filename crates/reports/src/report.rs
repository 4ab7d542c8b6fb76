//! What a report says: figures beside those of the period before.

use chrono::SecondsFormat;
use kos_model::Locale;
use serde_json::{Map, Value, json};

use crate::period::{Kind, Period};
use crate::words::{day, decimal, pick, ratings, span};

/// What was counted in one period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Knowledge added.
    pub new_knowledge: i64,
    /// Tasks completed.
    pub completed_tasks: i64,
    /// Interactions logged.
    pub interactions: i64,
    /// Mean feedback of those, 1 to 5; none when nobody gave any.
    pub average_feedback: Option<f64>,
    /// How many gave feedback.
    pub feedback_count: i64,
    /// Experts at the period's end.
    pub experts: i64,
    /// Domains at the period's end.
    pub domains: i64,
}

/// A period's figures and those of the period before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The period.
    pub period: Period,
    /// Its figures.
    pub current: Figures,
    /// The figures of the period before.
    pub previous: Figures,
}

/// One figure of a report: its name, its label, and where it is counted.
struct Line {
    name: &'static str,
    emoji: &'static str,
    label: (&'static str, &'static str),
    value: fn(&Figures) -> i64,
}

const NEW_KNOWLEDGE: Line =
    Line {
        name: "new_knowledge", emoji: "📚", label: ("Новых знаний", "New knowledge"), value: |f| f.new_knowledge
    };
const COMPLETED_TASKS: Line = Line {
    name: "completed_tasks",
    emoji: "✅",
    label: ("Завершённых задач", "Completed tasks"),
    value: |f| f.completed_tasks,
};
const INTERACTIONS: Line =
    Line {
        name: "interactions", emoji: "💬", label: ("Взаимодействий", "Interactions"), value: |f| f.interactions
    };
const EXPERTS: Line =
    Line {
        name: "experts", emoji: "👤", label: ("Всего экспертов", "Experts in all"), value: |f| f.experts
    };
const DOMAINS: Line =
    Line {
        name: "domains", emoji: "🗂️", label: ("Всего доменов", "Domains in all"), value: |f| f.domains
    };

const DAILY: &[Line] = &[NEW_KNOWLEDGE, COMPLETED_TASKS, INTERACTIONS];
const WEEKLY: &[Line] = &[NEW_KNOWLEDGE, COMPLETED_TASKS, EXPERTS, DOMAINS];

impl Report {
    /// The report as a chat shows it: its name, then the text.
    #[must_use]
    pub fn titled(&self, locale: Locale) -> String {
        let known = self.period.kind().known();
        let title = pick((known.title_ru(), known.title_en()), locale);
        format!("{} {title}\n{}", known.emoji(), self.text(locale))
    }

    /// The report as plain text, the period on its first line.
    #[must_use]
    pub fn text(&self, locale: Locale) -> String {
        let (first, last) = (self.period.first_day(), self.period.last_day());
        let title = match self.period.kind() {
            Kind::Daily => day(first, locale),
            Kind::Weekly => span(first, last, locale),
        };
        let mut lines = vec![title, String::new()];
        lines.extend(self.lines().iter().map(|line| self.line(line, locale)));
        if self.period.kind() == Kind::Daily {
            lines.push(self.feedback(locale));
        }
        if self.is_quiet() {
            lines.push(String::new());
            lines.push(
                pick(("Тихий период: ничего не произошло.", "A quiet period: nothing happened."), locale).to_owned(),
            );
        }
        lines.join("\n")
    }

    /// The event's payload: the text for chats in every language, the figures for programs.
    #[must_use]
    pub fn payload(&self, locale: Locale) -> Value {
        let period = &self.period;
        let time = |instant: chrono::DateTime<chrono::Utc>| instant.to_rfc3339_opts(SecondsFormat::Secs, true);
        json!({
            "message": self.text(locale),
            "messages": {"en": self.text(Locale::En), "ru": self.text(Locale::Ru)},
            "report": {
                "kind": period.kind().as_str(),
                "first_day": period.first_day().to_string(),
                "last_day": period.last_day().to_string(),
                "period_start": time(period.start()),
                "period_end": time(period.end()),
                "time_zone": period.time_zone().to_string(),
                "figures": self.figures(),
            },
        })
    }

    fn lines(&self) -> &'static [Line] {
        match self.period.kind() {
            Kind::Daily => DAILY,
            Kind::Weekly => WEEKLY,
        }
    }

    fn is_quiet(&self) -> bool {
        let Figures { new_knowledge, completed_tasks, interactions, .. } = self.current;
        new_knowledge + completed_tasks + interactions == 0
    }

    fn line(&self, line: &Line, locale: Locale) -> String {
        let (now, before) = ((line.value)(&self.current), (line.value)(&self.previous));
        let change = change(now, before, locale);
        format!("{} {}: {now}{change}", line.emoji, pick(line.label, locale))
    }

    fn feedback(&self, locale: Locale) -> String {
        let label = pick(("Средний feedback", "Average feedback"), locale);
        let Some(now) = self.current.average_feedback else { return format!("⭐ {label}: —") };
        let count = ratings(self.current.feedback_count, locale);
        let change = self.previous.average_feedback.map_or_else(String::new, |before| {
            let delta = now - before;
            match decimal(delta.abs(), locale).as_str() {
                "0.0" | "0,0" => " =".to_owned(),
                size if delta > 0.0 => format!(" ▲ +{size}"),
                size => format!(" ▼ −{size}"),
            }
        });
        format!("⭐ {label}: {} ({count}){change}", decimal(now, locale))
    }

    fn figures(&self) -> Value {
        let figure = |line: &Line| {
            let (now, before) = ((line.value)(&self.current), (line.value)(&self.previous));
            let delta = now - before;
            let percent = percent(delta, before);
            (line.name.to_owned(), json!({"value": now, "previous": before, "delta": delta, "delta_percent": percent}))
        };
        let mut figures: Map<String, Value> = self.lines().iter().map(figure).collect();
        if self.period.kind() == Kind::Daily {
            let feedback = json!({
                "value": self.current.average_feedback,
                "previous": self.previous.average_feedback,
                "count": self.current.feedback_count,
            });
            figures.insert("average_feedback".to_owned(), feedback);
        }
        Value::Object(figures)
    }
}

/// ` ▲ +3 (+25 %)`
fn change(now: i64, before: i64, locale: Locale) -> String {
    let delta = now - before;
    match (delta, percent(delta, before)) {
        (0, _) if now == 0 => String::new(),
        (0, _) => " =".to_owned(),
        (_, None) => format!(" ▲ {}", pick(("впервые", "new"), locale)),
        (1.., Some(percent)) => format!(" ▲ +{delta} (+{percent} %)"),
        (_, Some(percent)) => format!(" ▼ −{} (−{} %)", delta.abs(), percent.abs()),
    }
}

/// The change in percent of what was before, rounded half away from zero; none when that was nothing.
fn percent(delta: i64, before: i64) -> Option<i64> {
    let doubled = delta.checked_mul(200)?.checked_div(before)?;
    Some((doubled + doubled.signum()) / 2)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use chrono_tz::Tz;

    use super::*;

    fn report(kind: Kind, current: Figures, previous: Figures) -> Report {
        let date = NaiveDate::from_ymd_opt(2025, 11, 24).unwrap();
        Report { period: Period::containing(kind, date, Tz::Europe__Moscow), current, previous }
    }

    fn busy() -> Figures {
        Figures {
            new_knowledge: 12,
            completed_tasks: 5,
            interactions: 40,
            average_feedback: Some(4.46),
            feedback_count: 21,
            experts: 7,
            domains: 3,
        }
    }

    fn before() -> Figures {
        Figures {
            new_knowledge: 9,
            completed_tasks: 6,
            interactions: 40,
            average_feedback: Some(4.2),
            feedback_count: 3,
            experts: 7,
            domains: 0,
        }
    }

    #[test]
    fn a_day_in_russian() {
        insta::assert_snapshot!(report(Kind::Daily, busy(), before()).text(Locale::Ru), @r"
        24 ноября 2025, понедельник

        📚 Новых знаний: 12 ▲ +3 (+33 %)
        ✅ Завершённых задач: 5 ▼ −1 (−17 %)
        💬 Взаимодействий: 40 =
        ⭐ Средний feedback: 4,5 (21 оценка) ▲ +0,3
        ");
    }

    #[test]
    fn a_week_in_english() {
        insta::assert_snapshot!(report(Kind::Weekly, busy(), before()).text(Locale::En), @r"
        24–30 November 2025

        📚 New knowledge: 12 ▲ +3 (+33 %)
        ✅ Completed tasks: 5 ▼ −1 (−17 %)
        👤 Experts in all: 7 =
        🗂️ Domains in all: 3 ▲ new
        ");
    }

    #[test]
    fn a_day_in_english_by_its_name() {
        insta::assert_snapshot!(report(Kind::Daily, busy(), before()).titled(Locale::En), @"
        📊 Daily report
        24 November 2025, Monday

        📚 New knowledge: 12 ▲ +3 (+33 %)
        ✅ Completed tasks: 5 ▼ −1 (−17 %)
        💬 Interactions: 40 =
        ⭐ Average feedback: 4.5 (21 ratings) ▲ +0.3
        ");
    }

    #[test]
    fn a_week_in_russian_by_its_name() {
        insta::assert_snapshot!(report(Kind::Weekly, busy(), before()).titled(Locale::Ru), @"
        📈 Еженедельный отчёт
        24–30 ноября 2025

        📚 Новых знаний: 12 ▲ +3 (+33 %)
        ✅ Завершённых задач: 5 ▼ −1 (−17 %)
        👤 Всего экспертов: 7 =
        🗂️ Всего доменов: 3 ▲ впервые
        ");
    }

    #[test]
    fn what_is_sent_of_a_day_of_23_hours() {
        insta::assert_snapshot!(sent(&day_of_change(2025, 3, 30)), @r#"
        {
          "message": "30 March 2025, Sunday\n\n📚 New knowledge: 12 ▲ +3 (+33 %)\n✅ Completed tasks: 5 ▼ −1 (−17 %)\n💬 Interactions: 40 =\n⭐ Average feedback: 4.5 (21 ratings) ▲ +0.3",
          "messages": {
            "en": "30 March 2025, Sunday\n\n📚 New knowledge: 12 ▲ +3 (+33 %)\n✅ Completed tasks: 5 ▼ −1 (−17 %)\n💬 Interactions: 40 =\n⭐ Average feedback: 4.5 (21 ratings) ▲ +0.3",
            "ru": "30 марта 2025, воскресенье\n\n📚 Новых знаний: 12 ▲ +3 (+33 %)\n✅ Завершённых задач: 5 ▼ −1 (−17 %)\n💬 Взаимодействий: 40 =\n⭐ Средний feedback: 4,5 (21 оценка) ▲ +0,3"
          },
          "report": {
            "figures": {
              "average_feedback": {
                "count": 21,
                "previous": 4.2,
                "value": 4.46
              },
              "completed_tasks": {
                "delta": -1,
                "delta_percent": -17,
                "previous": 6,
                "value": 5
              },
              "interactions": {
                "delta": 0,
                "delta_percent": 0,
                "previous": 40,
                "value": 40
              },
              "new_knowledge": {
                "delta": 3,
                "delta_percent": 33,
                "previous": 9,
                "value": 12
              }
            },
            "first_day": "2025-03-30",
            "kind": "daily",
            "last_day": "2025-03-30",
            "period_end": "2025-03-30T22:00:00Z",
            "period_start": "2025-03-29T23:00:00Z",
            "time_zone": "Europe/Berlin"
          }
        }
        "#);
    }

    #[test]
    fn what_is_sent_of_a_day_of_25_hours() {
        insta::assert_snapshot!(sent(&day_of_change(2025, 10, 26)), @r#"
        {
          "message": "26 October 2025, Sunday\n\n📚 New knowledge: 12 ▲ +3 (+33 %)\n✅ Completed tasks: 5 ▼ −1 (−17 %)\n💬 Interactions: 40 =\n⭐ Average feedback: 4.5 (21 ratings) ▲ +0.3",
          "messages": {
            "en": "26 October 2025, Sunday\n\n📚 New knowledge: 12 ▲ +3 (+33 %)\n✅ Completed tasks: 5 ▼ −1 (−17 %)\n💬 Interactions: 40 =\n⭐ Average feedback: 4.5 (21 ratings) ▲ +0.3",
            "ru": "26 октября 2025, воскресенье\n\n📚 Новых знаний: 12 ▲ +3 (+33 %)\n✅ Завершённых задач: 5 ▼ −1 (−17 %)\n💬 Взаимодействий: 40 =\n⭐ Средний feedback: 4,5 (21 оценка) ▲ +0,3"
          },
          "report": {
            "figures": {
              "average_feedback": {
                "count": 21,
                "previous": 4.2,
                "value": 4.46
              },
              "completed_tasks": {
                "delta": -1,
                "delta_percent": -17,
                "previous": 6,
                "value": 5
              },
              "interactions": {
                "delta": 0,
                "delta_percent": 0,
                "previous": 40,
                "value": 40
              },
              "new_knowledge": {
                "delta": 3,
                "delta_percent": 33,
                "previous": 9,
                "value": 12
              }
            },
            "first_day": "2025-10-26",
            "kind": "daily",
            "last_day": "2025-10-26",
            "period_end": "2025-10-26T23:00:00Z",
            "period_start": "2025-10-25T22:00:00Z",
            "time_zone": "Europe/Berlin"
          }
        }
        "#);
    }

    /// The day on which the clocks of Berlin change.
    fn day_of_change(year: i32, month: u32, day: u32) -> Report {
        let date = NaiveDate::from_ymd_opt(year, month, day).unwrap();
        let period = Period::containing(Kind::Daily, date, Tz::Europe__Berlin);
        Report { period, current: busy(), previous: before() }
    }

    fn sent(report: &Report) -> String {
        serde_json::to_string_pretty(&report.payload(Locale::En)).unwrap()
    }

    #[test]
    fn a_day_without_anything_says_so() {
        insta::assert_snapshot!(report(Kind::Daily, Figures::default(), Figures::default()).text(Locale::Ru), @r"
        24 ноября 2025, понедельник

        📚 Новых знаний: 0
        ✅ Завершённых задач: 0
        💬 Взаимодействий: 0
        ⭐ Средний feedback: —

        Тихий период: ничего не произошло.
        ");
    }

    #[test]
    fn programs_get_the_figures_and_no_percentage_of_nothing() {
        let payload = report(Kind::Weekly, busy(), before()).payload(Locale::En);
        assert_eq!(payload["report"]["period_start"], "2025-11-23T21:00:00Z");
        assert_eq!(payload["report"]["period_end"], "2025-11-30T21:00:00Z");
        assert_eq!(payload["report"]["figures"]["completed_tasks"]["delta_percent"], -17);
        assert_eq!(payload["report"]["figures"]["domains"]["delta_percent"], Value::Null);
        assert_eq!(payload["message"], report(Kind::Weekly, busy(), before()).text(Locale::En));
    }
}
