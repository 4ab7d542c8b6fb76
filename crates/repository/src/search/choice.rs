//! Which texts are looked at: those with the rare words of a query, and how many of them.

use kos_search::{Plan, Term};

use super::score::quoted;
use super::{Search, SearchSort};

/// Texts that are scored at the most.
const CANDIDATES: u32 = 5_000;
/// Texts that are scored at the most when even the rarest word is a common one.
const COMMON_CANDIDATES: u32 = 2_000;
/// The same where some texts come before others, of either.
const CANDIDATES_EACH: u32 = 1_000;
/// Texts with a word that are all put in order where the newest are wanted: the word may stand in old ones alone.
const SORTED: u64 = 100_000;
/// How much longer it takes to look whether a text holds a word than to read from the index that it does: by the different
/// words of a text, as those of long ones lie apart from its row; and at least.
const LOOK: f64 = 0.1;
const LEAST_LOOK: f64 = 2.0;
/// There is no word to choose by.
const NONE: &str = "false";

/// Texts that lie in some of the pages, or, where these do not hold half of what is wanted, those that the index knows.
/// The pages are the same each time, until there are so many texts more that fewer do. As a query of its own, the
/// condition is made a tsquery once and not for each text.
const FROM_PAGES: &str = "(
    WITH sample AS MATERIALIZED (
        SELECT k.ctid FROM knowledge k TABLESAMPLE SYSTEM ($17[PLACE]::real) REPEATABLE (0)
        WHERE $17[PLACE] > 0 AND CONDITION LIMIT $5
    )
    SELECT ctid FROM sample
    UNION ALL
    (SELECT k.ctid FROM knowledge k WHERE (SELECT 2 * count(*) < $5 FROM sample) AND CONDITION LIMIT $5)
)";

/// The texts that are looked at: some of those that fulfil each of `first`, and some of those that fulfil `any`.
pub(super) struct Choice {
    first: Vec<Condition>,
    any: Condition,
    /// Of each so many …
    pub(super) most: u32,
    /// … in this order.
    order: Order,
}

/// A condition as Postgres writes it.
struct Condition {
    query: String,
    /// Which part of all texts is likely to fulfil it.
    share: f64,
}

/// Which texts come first where more than enough fulfil a condition.
#[derive(Clone, Copy)]
enum Order {
    /// As they lie on disk. Where every text fits and the words are common, those on some of the pages, all over the
    /// table: the index gives all texts or none, which takes the longer the more there are.
    AsTheyLie { all: Option<All> },
    /// The newest by this column. By putting all that fulfil it in order, or else by looking through the newest texts.
    Newest { time: &'static str, is_sorted: bool },
}

/// All texts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct All {
    /// How many there are.
    pub(super) texts: u64,
    /// Different words of each, on average.
    pub(super) average_length: f64,
}

impl Choice {
    /// The texts that hold a rare word; with `is_wide` others too, after those.
    pub(super) fn of(plan: &Plan, is_wide: bool, search: &Search, all: All) -> Self {
        let (choosers, texts) = (plan.choosers(), all.texts);
        let order = Order::of(plan, search, all);
        let rare = any(choosers.iter().copied(), texts);
        if is_wide {
            let others = plan.terms.iter().filter(|term| !choosers.contains(term)).collect();
            let first = [Some(rare), together(others, texts)].into_iter().flatten().collect();
            return Self { first, any: any(&plan.terms, texts), most: CANDIDATES_EACH, order };
        }
        if !plan.is_common() {
            let order = Order::AsTheyLie { all: None };
            return Self { first: Vec::new(), any: rare, most: CANDIDATES, order };
        }
        match together(plan.terms.iter().collect(), texts) {
            Some(together) => Self { first: vec![together], any: rare, most: CANDIDATES_EACH, order },
            None => Self { first: Vec::new(), any: rare, most: COMMON_CANDIDATES, order },
        }
    }

    /// As a condition. The texts that come first are read by where they lie: by their ids, the planner would rather read
    /// the whole index.
    pub(super) fn condition(&self) -> String {
        if self.any.query.is_empty() {
            return NONE.to_owned();
        }
        if self.first.is_empty() && matches!(self.order, Order::AsTheyLie { all: None }) {
            return "k.search @@ $3::tsquery AND FITS LIMIT $5".to_owned();
        }
        let first = (1..=self.first.len()).map(|place| self.some(&format!("$4[{place}]"), place));
        let any = self.some("$3", self.first.len() + 1);
        format!("k.ctid = ANY (ARRAY({}))", joined(first.chain([any]), " UNION "))
    }

    /// Where some of those texts lie that fulfil a query; its place is the one in [`pages`](Self::pages).
    fn some(&self, query: &str, place: usize) -> String {
        let condition = format!("k.search @@ (SELECT {query}::tsquery) AND FITS");
        match self.order {
            Order::AsTheyLie { all: None } => format!("(SELECT k.ctid FROM knowledge k WHERE {condition} LIMIT $5)"),
            Order::AsTheyLie { all: Some(_) } => {
                FROM_PAGES.replace("PLACE", &place.to_string()).replace("CONDITION", &condition)
            }
            Order::Newest { time, is_sorted: true } => format!(
                "(SELECT s.ctid FROM (SELECT k.ctid, k.{time}, k.id FROM knowledge k WHERE {condition} OFFSET 0) AS s
                  ORDER BY s.{time} DESC, s.id DESC LIMIT $5)"
            ),
            Order::Newest { time, is_sorted: false } => {
                format!("(SELECT k.ctid FROM knowledge k WHERE {condition} ORDER BY k.{time} DESC, k.id DESC LIMIT $5)")
            }
        }
    }

    /// What texts must fulfil to come first.
    pub(super) fn first_queries(&self) -> Vec<&str> {
        self.first.iter().map(|words| words.query.as_str()).collect()
    }

    /// What texts must fulfil to come at all.
    pub(super) fn any_query(&self) -> &str {
        &self.any.query
    }

    /// Whether all texts are looked at that fulfil the condition, where they are few enough.
    pub(super) fn is_whole(&self) -> bool {
        self.pages().iter().all(|pages| *pages == 0.0)
    }

    /// On which part of all pages texts are looked for, in percent, for each of the first and for all; 0 is for the index.
    pub(super) fn pages(&self) -> Vec<f64> {
        let Order::AsTheyLie { all: Some(All { texts, average_length }) } = self.order else { return Vec::new() };
        let wanted = f64::from(self.most) / f64::from(u32::try_from(texts.max(1)).unwrap_or(u32::MAX));
        let look = (LOOK * average_length).max(LEAST_LOOK);
        self.first.iter().chain([&self.any]).map(|words| words.pages(wanted, look)).collect()
    }
}

impl Condition {
    /// On which part of all pages so large a part of all texts is likely to be found, in percent; 0 where the index is
    /// faster: it reads all that fulfil the condition, the pages all that lie there, which takes so much longer each.
    fn pages(&self, wanted: f64, look: f64) -> f64 {
        if self.share * self.share > look * wanted { 100.0 * wanted / self.share } else { 0.0 }
    }
}

impl Order {
    fn of(plan: &Plan, search: &Search, all: All) -> Self {
        let is_sorted = plan.terms.iter().map(Term::texts).sum::<u64>() <= SORTED;
        match search.sort {
            SearchSort::CreatedAt => Self::Newest { time: "created_at", is_sorted },
            SearchSort::UpdatedAt => Self::Newest { time: "updated_at", is_sorted },
            SearchSort::Relevance | SearchSort::Confidence => Self::AsTheyLie { all: search.fits_all().then_some(all) },
        }
    }
}

/// The three rarest of several words: where they stand together, the texts fit best. Words of one query often stand
/// together: the likely share lies between what chance would have it and the share of the rarest.
fn together(mut terms: Vec<&Term>, texts: u64) -> Option<Condition> {
    terms.sort_by(|one, other| (one.texts(), &one.word).cmp(&(other.texts(), &other.word)));
    terms.dedup_by(|one, other| one.alternatives == other.alternatives);
    terms.truncate(3);
    if terms.len() < 2 {
        return None;
    }
    let shares = || terms.iter().map(|term| term.share(texts));
    let share = (shares().product::<f64>() * shares().fold(1.0, f64::min)).sqrt();
    Some(Condition { query: joined(terms.iter().map(|term| any_of(term)), " & "), share })
}

/// Any of the words. The likely share lies between that of the most common and what chance would have it.
fn any<'t>(terms: impl IntoIterator<Item = &'t Term>, texts: u64) -> Condition {
    let (mut queries, mut most, mut without) = (Vec::new(), 0.0_f64, 1.0);
    for term in terms {
        let share = term.share(texts);
        queries.push(any_of(term));
        most = most.max(share);
        without *= 1.0 - share;
    }
    Condition { query: queries.join(" | "), share: ((1.0 - without) * most).sqrt() }
}

fn any_of(term: &Term) -> String {
    format!("({})", joined(term.alternatives.iter().map(|other| quoted(&other.stem)), " | "))
}

pub(super) fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}
