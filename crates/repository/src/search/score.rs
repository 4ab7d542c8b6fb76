//! What the words of a query are worth in a text, as an expression of SQL.

use kos_search::{Alternative, Plan, Term};

/// Room for words with one way to read them; [`Score::of_usual`] takes the first that suffices.
const SINGLE: [usize; 3] = [2, 4, 8];
/// Room for the ways to read one word more: as it stands, and as most words are completed.
const ALTERNATIVES: usize = 9;

/// The sum over the words of the best that one of each word's readings is worth. Takes their worths from $1 and their
/// stems, as Postgres writes them, from $2.
pub(super) struct Score {
    pub(super) sql: String,
    pub(super) worths: Vec<Option<f64>>,
    pub(super) stems: Vec<Option<String>>,
}

impl Score {
    /// For a query such as most are: of few words, of which one at most has several readings. Few texts of SQL do for all
    /// of these, with holes among the parameters where there is room and no word, so that connections may keep them with
    /// their plans: to make one takes as long as a small search.
    pub(super) fn of_usual(plan: &Plan) -> Option<Self> {
        let (several, single): (Vec<&Term>, Vec<&Term>) =
            plan.terms.iter().partition(|term| term.alternatives.len() > 1);
        let room = SINGLE.into_iter().find(|room| *room >= single.len())?;
        let single =
            single.into_iter().map(Some).chain(std::iter::repeat(None)).take(room).map(|term| readings(term, 1));
        let slots: Vec<Vec<Option<&Alternative>>> = match several.as_slice() {
            [] => single.collect(),
            [one] if one.alternatives.len() <= ALTERNATIVES => {
                single.chain([readings(Some(one), ALTERNATIVES)]).collect()
            }
            _ => return None,
        };
        // As a query of its own, each parameter is made a tsquery once and not for each text.
        let rank =
            |place| format!("(SELECT $1[{place}]) * ts_rank('{{1,1,1,1}}', c.search, (SELECT $2[{place}]::tsquery))");
        Some(Self::new(&slots, rank, |best| format!("coalesce({best}, 0)")))
    }

    /// For any query. The planner makes constants of the parameters.
    pub(super) fn of_any(plan: &Plan) -> Self {
        let slots: Vec<_> = plan.terms.iter().map(|term| readings(Some(term), term.alternatives.len())).collect();
        let rank = |place| format!("$1[{place}] * ts_rank('{{1,1,1,1}}', c.search, $2[{place}]::tsquery)");
        Self::new(&slots, rank, |best| best)
    }

    /// Spelt out: a loop over a table of the readings takes three times as long.
    fn new(
        slots: &[Vec<Option<&Alternative>>],
        rank: impl Fn(usize) -> String,
        of_word: impl Fn(String) -> String,
    ) -> Self {
        let mut places = 1..;
        let words = slots.iter().map(|slot| {
            let ranks: Vec<String> = places.by_ref().take(slot.len()).map(&rank).collect();
            of_word(format!("greatest({})", ranks.join(", ")))
        });
        let sql = words.collect::<Vec<_>>().join(" + ");
        let all = || slots.iter().flatten();
        Self {
            sql,
            worths: all().map(|reading| Some((*reading)?.worth)).collect(),
            stems: all().map(|reading| Some(quoted(&(*reading)?.stem))).collect(),
        }
    }
}

/// How a word may be read, with holes up to so many.
fn readings(term: Option<&Term>, room: usize) -> Vec<Option<&Alternative>> {
    let readings = term.map(|term| term.alternatives.as_slice()).unwrap_or_default();
    readings.iter().map(Some).chain(std::iter::repeat(None)).take(room).collect()
}

/// A lexeme as a tsquery writes it.
pub(super) fn quoted(stem: &str) -> String {
    format!("'{}'", stem.replace('\'', "''").replace('\\', "\\\\"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn plan(readings: &[usize]) -> Plan {
        let reading = Alternative { stem: "word".to_owned(), worth: 1.0, texts: 1 };
        let term = |readings: &usize| Term { alternatives: vec![reading.clone(); *readings], ..Term::default() };
        Plan { terms: readings.iter().map(term).collect(), ..Plan::default() }
    }

    #[test]
    fn few_texts_do_for_all_usual_queries() {
        let single = (0..=8).map(|words| vec![1; words]);
        let queries: Vec<Vec<usize>> =
            single.flat_map(|words| (1..=ALTERNATIVES).map(move |last| [&words[..], &[last]].concat())).collect();
        let usual: Vec<Score> = queries.iter().filter_map(|query| Score::of_usual(&plan(query))).collect();
        assert_eq!(usual.len(), queries.len() - 1, "nine words of one reading are too many");
        assert_eq!(usual.iter().map(|score| &score.sql).collect::<HashSet<_>>().len(), 6);
        assert!([vec![3, 2], vec![ALTERNATIVES + 1]].iter().all(|query| Score::of_usual(&plan(query)).is_none()));
    }
}
