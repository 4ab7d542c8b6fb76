//! Which texts are looked at: those with the rare words of a query, and how many of them.

use kos_search::{Plan, Term};

use super::SearchSort;
use super::score::quoted;

/// Texts that are scored at the most.
const CANDIDATES: i64 = 5_000;
/// Texts that are scored at the most when even the rarest word is a common one.
const COMMON_CANDIDATES: i64 = 2_000;
/// The same where some texts come before others, of either.
const CANDIDATES_EACH: i64 = 1_000;
/// Texts with a word that are all put in order where the newest are wanted: the word may stand in old ones alone.
const SORTED: u64 = 100_000;
/// There is no word to choose by.
const NONE: &str = "false";

/// The texts that are looked at: some of those that fulfil each of `first`, and some of those that fulfil `any`; both as
/// Postgres writes it.
pub(super) struct Choice {
    pub(super) first: Vec<String>,
    pub(super) any: String,
    /// Of each so many …
    pub(super) most: i64,
    /// … those that are newest by this column, where that is asked for and there may be more; else as they lie on disk.
    newest: Option<&'static str>,
    /// Whether the newest are found by putting all that fulfil it in order; else by looking through the newest texts.
    is_sorted: bool,
}

impl Choice {
    /// The texts that hold a rare word; with `is_wide` others too, after those.
    pub(super) fn of(plan: &Plan, is_wide: bool, sort: SearchSort) -> Self {
        let choosers = plan.choosers();
        let newest = match sort {
            SearchSort::CreatedAt => Some("created_at"),
            SearchSort::UpdatedAt => Some("updated_at"),
            SearchSort::Relevance | SearchSort::Confidence => None,
        };
        let is_sorted = plan.terms.iter().map(Term::texts).sum::<u64>() <= SORTED;
        let rare = one_of(choosers.iter().copied());
        if is_wide {
            let others = plan.terms.iter().filter(|term| !choosers.contains(term)).collect();
            let first = [Some(rare), together(others)].into_iter().flatten().collect();
            return Self { first, any: one_of(&plan.terms), most: CANDIDATES_EACH, newest, is_sorted };
        }
        if !plan.is_common() {
            return Self { first: Vec::new(), any: rare, most: CANDIDATES, newest: None, is_sorted };
        }
        match together(plan.terms.iter().collect()) {
            Some(together) => Self { first: vec![together], any: rare, most: CANDIDATES_EACH, newest, is_sorted },
            None => Self { first: Vec::new(), any: rare, most: COMMON_CANDIDATES, newest, is_sorted },
        }
    }

    /// As a condition. The texts that come first are read by where they lie: by their ids, the planner would rather read
    /// the whole index.
    pub(super) fn condition(&self) -> String {
        if self.any.is_empty() {
            return NONE.to_owned();
        }
        if self.first.is_empty() && self.newest.is_none() {
            return "k.search @@ $3::tsquery AND FITS LIMIT $5".to_owned();
        }
        let some = |query: &str| self.some(&format!("k.search @@ {query}::tsquery AND FITS"));
        let first = (1..=self.first.len()).map(|place| some(&format!("$4[{place}]")));
        format!("k.ctid = ANY (ARRAY({}))", joined(first.chain([some("$3")]), " UNION "))
    }

    /// Where some of those lie that fulfil a condition.
    fn some(&self, condition: &str) -> String {
        match (self.newest, self.is_sorted) {
            (None, _) => format!("(SELECT k.ctid FROM knowledge k WHERE {condition} LIMIT $5)"),
            (Some(time), true) => format!(
                "(SELECT s.ctid FROM (SELECT k.ctid, k.{time}, k.id FROM knowledge k WHERE {condition} OFFSET 0) AS s
                  ORDER BY s.{time} DESC, s.id DESC LIMIT $5)"
            ),
            (Some(time), false) => {
                format!("(SELECT k.ctid FROM knowledge k WHERE {condition} ORDER BY k.{time} DESC, k.id DESC LIMIT $5)")
            }
        }
    }
}

/// The three rarest of several words: where they stand together, the texts fit best.
fn together(mut terms: Vec<&Term>) -> Option<String> {
    terms.sort_by(|one, other| (one.texts(), &one.word).cmp(&(other.texts(), &other.word)));
    terms.dedup_by(|one, other| one.alternatives == other.alternatives);
    terms.truncate(3);
    (terms.len() > 1).then(|| joined(terms.into_iter().map(any_of), " & "))
}

fn one_of<'t>(terms: impl IntoIterator<Item = &'t Term>) -> String {
    joined(terms.into_iter().map(any_of), " | ")
}

fn any_of(term: &Term) -> String {
    format!("({})", joined(term.alternatives.iter().map(|other| quoted(&other.stem)), " | "))
}

pub(super) fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}
