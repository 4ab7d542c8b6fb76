//! From the words that somebody typed to the words to look for: rare ones count more, slips are mended,
//! the wrong keyboard layout is undone, and the start of a word stands for its ends.

use std::collections::HashMap;

use crate::vocabulary::{SHORTEST, Vocabulary};

/// What a word is worth that is one or two slips away from what was typed.
const SLIPS: [f64; 2] = [0.9, 0.7];
/// How many words a slip may be meant as.
const NEIGHBOURS: usize = 3;
/// How many words the start of one stands for.
const COMPLETIONS: usize = 8;
/// What a completion is worth to the word as it was typed.
const COMPLETED: f64 = 0.9;
/// Letters of a start that tell one keyboard layout from the other.
const SHORTEST_START: usize = 4;
/// Words that are looked for at the most.
const TERMS: usize = 32;
/// Texts that are looked at, at the most, unless the rarest word alone stands in more.
const BUDGET: u64 = 1_000;

/// A word as it was typed, with what the database makes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// As it was typed.
    pub word: String,
    /// Its stems; none for a word that says nothing, several for a compound.
    pub stems: Vec<String>,
    /// What the same keys give in the other keyboard layout, with the stems of that.
    pub swapped: Option<(String, Vec<String>)>,
    /// Whether only its start was typed.
    pub is_start: bool,
}

/// What the plan may do to words that nobody knows.
#[derive(Clone, Copy, Debug)]
pub struct Repairs {
    /// Mend slips and undo the wrong layout.
    pub typos: bool,
    /// Take the last word for the start of one: whoever stops there may have stopped in its middle.
    pub complete_last: bool,
}

/// How many texts there are, and in how many a word stands.
#[derive(Clone, Copy, Debug)]
pub struct Corpus<'a> {
    /// The words, counted some time ago.
    pub vocabulary: &'a Vocabulary,
    /// Words that were not known then, counted now.
    pub counted: &'a HashMap<String, u32>,
    /// How many texts there are.
    pub texts: u64,
}

/// A word to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// The stem.
    pub stem: String,
    /// What finding it is worth: its rarity, times how likely it was meant.
    pub worth: f64,
    /// In how many texts it stands.
    pub texts: u64,
}

/// One typed word: any of its alternatives will do, the best counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Term {
    /// The word as it was typed.
    pub word: String,
    /// What to look for.
    pub alternatives: Vec<Alternative>,
}

/// What to look for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The words, in the order they were typed.
    pub terms: Vec<Term>,
    /// What was typed and what was taken instead.
    pub corrected: Vec<(String, String)>,
    /// Words that stand in no text.
    pub unknown: Vec<String>,
}

impl Corpus<'_> {
    fn texts(&self, stem: &str) -> u32 {
        match self.vocabulary.texts(stem) {
            0 => self.counted.get(stem).copied().unwrap_or_default(),
            texts => texts,
        }
    }

    fn knows(&self, stems: &[String]) -> bool {
        stems.iter().any(|stem| self.texts(stem) > 0)
    }

    /// Whether a known word begins so; few letters begin anything.
    fn begins(&self, word: &str) -> bool {
        word.chars().count() >= SHORTEST_START && !self.vocabulary.completions(&start(word), 1).is_empty()
    }

    /// The rarity of BM25: little for a word of half the texts, much for one of few.
    fn rarity(&self, texts: u64) -> f64 {
        let (all, with) = (float(self.texts.max(texts)), float(texts));
        (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
    }

    fn alternative(&self, stem: String, weight: f64) -> Alternative {
        let texts = u64::from(self.texts(&stem));
        Alternative { stem, worth: weight * self.rarity(texts), texts }
    }
}

impl Plan {
    /// Decides what to look for.
    #[must_use]
    pub fn new(mut typed: Vec<Typed>, corpus: &Corpus<'_>, repairs: Repairs) -> Self {
        let mut plan = Self::default();
        if let Some(last) = typed.last_mut() {
            last.is_start |= repairs.complete_last;
        }
        let words = if repairs.typos { plan.in_the_right_layout(typed, corpus) } else { typed };
        for word in words {
            plan.look_for(&word, corpus, repairs.typos);
        }
        plan.keep_the_rarest();
        plan
    }

    /// Whether a word was typed in the wrong layout is told by whether the other one gives a known word, or the start
    /// of one where this one gives none.
    /// Where most words were, those that are known by chance were too.
    fn in_the_right_layout(&mut self, typed: Vec<Typed>, corpus: &Corpus<'_>) -> Vec<Typed> {
        let is_wrong = |word: &Typed| {
            let Some((swapped, stems)) = &word.swapped else { return false };
            let is_started =
                || word.is_start && !stems.is_empty() && corpus.begins(swapped) && !corpus.begins(&word.word);
            word.stems.iter().any(|stem| corpus.texts(stem) == 0) && (corpus.knows(stems) || is_started())
        };
        let wrong = typed.iter().filter(|word| is_wrong(word)).count();
        let most_are = wrong * 2 > typed.len();
        let mended = typed.into_iter().map(|word| {
            let makes_sense = |(_, stems): &(String, Vec<String>)| stems.is_empty() || corpus.knows(stems);
            let could_be = !corpus.knows(&word.stems) || word.swapped.as_ref().is_some_and(makes_sense);
            let take = is_wrong(&word) || most_are && could_be;
            match word.swapped.clone().filter(|_| take) {
                Some((swapped, stems)) => {
                    self.corrected.push((word.word, swapped.clone()));
                    Typed { word: swapped, stems, swapped: None, is_start: word.is_start }
                }
                None => word,
            }
        });
        mended.collect()
    }

    /// Common words tell least, and every word costs a look at every text.
    fn keep_the_rarest(&mut self) {
        let mut texts: Vec<u64> = self.terms.iter().map(Term::texts).collect();
        texts.sort_unstable();
        if let Some(most) = texts.get(TERMS - 1) {
            self.terms.retain(|term| term.texts() <= *most);
            self.terms.truncate(TERMS);
        }
    }

    fn look_for(&mut self, typed: &Typed, corpus: &Corpus<'_>, typos: bool) {
        for stem in &typed.stems {
            let mut alternatives = Vec::new();
            let known = corpus.texts(stem) > 0;
            if known {
                alternatives.push(corpus.alternative(stem.clone(), 1.0));
            }
            if typed.is_start {
                alternatives.extend(completions(stem, &typed.word, corpus));
            }
            if alternatives.is_empty() && typos {
                alternatives.extend(self.neighbours(&typed.word, stem, corpus));
            }
            if alternatives.is_empty() && typos && !typed.is_start && stem.chars().count() >= SHORTEST {
                alternatives.extend(completions(stem, stem, corpus));
            }
            if alternatives.is_empty() {
                self.unknown.push(typed.word.clone());
            } else {
                self.terms.push(Term { word: typed.word.clone(), alternatives });
            }
        }
    }

    fn neighbours(&mut self, word: &str, stem: &str, corpus: &Corpus<'_>) -> Vec<Alternative> {
        let near = corpus.vocabulary.neighbours(stem, NEIGHBOURS);
        if let Some(best) = near.first() {
            self.corrected.push((word.to_owned(), with_the_end_of(word, stem, &best.word)));
        }
        let weight = |distance: usize| SLIPS.get(distance.saturating_sub(1)).copied().unwrap_or_default();
        near.into_iter().map(|near| corpus.alternative(near.word, weight(near.distance))).collect()
    }

    /// The terms that choose the texts to be looked at: the rarest, as many as the budget allows. The
    /// others only help to put the texts in order.
    #[must_use]
    pub fn choosers(&self) -> Vec<&Term> {
        let mut terms: Vec<(u64, &Term)> = self.terms.iter().map(|term| (term.texts(), term)).collect();
        terms.sort_by_key(|(texts, _)| *texts);
        let mut left = BUDGET;
        let mut chosen = Vec::new();
        for (texts, term) in terms {
            if !chosen.is_empty() && texts > left {
                break;
            }
            left = left.saturating_sub(texts);
            chosen.push(term);
        }
        chosen
    }

    /// Whether even the rarest word stands in more texts than are looked at.
    #[must_use]
    pub fn is_common(&self) -> bool {
        self.terms.iter().all(|term| term.texts() > BUDGET)
    }
}

impl Term {
    /// In how many texts it stands, at the most.
    #[must_use]
    pub fn texts(&self) -> u64 {
        self.alternatives.iter().map(|alternative| alternative.texts).sum()
    }

    /// In which part of so many texts it stands, at the most; 0 to 1.
    #[must_use]
    pub fn share(&self, texts: u64) -> f64 {
        (float(self.texts()) / float(texts.max(1))).min(1.0)
    }
}

/// What was typed of a word, as the vocabulary writes it.
fn start(word: &str) -> String {
    word.to_lowercase().replace('ё', "е")
}

/// The words that begin so; together they are as rare as all their texts make them.
fn completions(stem: &str, word: &str, corpus: &Corpus<'_>) -> Vec<Alternative> {
    // A stem may be shorter than what was typed: what was typed is the start.
    let typed = start(word);
    let start = if typed.starts_with(stem) { typed.as_str() } else { stem };
    let mut found = corpus.vocabulary.completions(start, COMPLETIONS);
    if found.is_empty() {
        found = corpus.vocabulary.completions(stem, COMPLETIONS);
    }
    let worth = COMPLETED * corpus.rarity(found.iter().map(|(_, texts)| u64::from(*texts)).sum());
    let others = found.into_iter().filter(|(word, _)| word != stem);
    others.map(|(stem, texts)| Alternative { stem, worth, texts: u64::from(texts) }).collect()
}

/// The word that was meant, as people write it: stems have lost their ends.
fn with_the_end_of(word: &str, stem: &str, meant: &str) -> String {
    let word = word.to_lowercase();
    format!("{meant}{}", word.strip_prefix(stem).unwrap_or_default())
}

/// Exact up to four thousand million texts.
fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPAIRS: Repairs = Repairs { typos: true, complete_last: false };

    fn typed(word: &str) -> Typed {
        let swapped = crate::layout::swapped(word).map(|word| (word.clone(), vec![word]));
        Typed { word: word.to_owned(), stems: vec![word.to_owned()], swapped, is_start: false }
    }

    fn plan(words: &[&str], repairs: Repairs) -> Plan {
        let known = [("поиск", 20), ("поисков", 4), ("python", 300), ("the", 900), ("настройк", 7), ("yt", 1)];
        let vocabulary = known.iter().map(|(word, texts)| ((*word).to_owned(), *texts)).collect();
        let counted = HashMap::from([("новост".to_owned(), 3)]);
        let corpus = Corpus { vocabulary: &vocabulary, counted: &counted, texts: 1_000 };
        Plan::new(words.iter().map(|word| typed(word)).collect(), &corpus, repairs)
    }

    fn stems(plan: &Plan) -> Vec<Vec<&str>> {
        plan.terms.iter().map(|term| term.alternatives.iter().map(|other| other.stem.as_str()).collect()).collect()
    }

    #[test]
    fn rare_words_are_worth_more_and_choose_the_texts() {
        let plan = plan(&["the", "python", "поиск"], REPAIRS);
        let worth: Vec<f64> = plan.terms.iter().map(|term| term.alternatives[0].worth).collect();
        assert!(worth[0] < worth[1] && worth[1] < worth[2], "{worth:?}");
        let choosers: Vec<&str> = plan.choosers().into_iter().map(|term| term.word.as_str()).collect();
        assert_eq!(choosers, ["поиск", "python"], "the third would be too many texts");
        assert!(!plan.is_common());
    }

    #[test]
    fn a_slip_is_mended_and_told_with_the_end_that_was_typed() {
        let mended = plan(&["настойк", "python"], REPAIRS);
        assert_eq!(stems(&mended), [vec!["настройк"], vec!["python"]]);
        assert_eq!(mended.corrected, [("настойк".to_owned(), "настройк".to_owned())]);
        assert_eq!(with_the_end_of("Настойки", "настойк", "настройк"), "настройки");
        let as_typed = plan(&["настойк"], Repairs { typos: false, ..REPAIRS });
        assert_eq!((as_typed.terms.len(), as_typed.unknown), (0, vec!["настойк".to_owned()]));
    }

    #[test]
    fn the_wrong_layout_is_undone_even_where_a_word_is_known_by_chance() {
        let undone = plan(&["gjbcr", "yt", "yfcnhjqr"], REPAIRS);
        assert_eq!(stems(&undone), [vec!["поиск"], vec!["yt"], vec!["настройк"]]);
        assert_eq!(plan(&["python", "gjbcr"], REPAIRS).corrected, [("gjbcr".to_owned(), "поиск".to_owned())]);
    }

    #[test]
    fn the_start_of_the_last_word_stands_for_its_ends_where_that_is_wished() {
        let complete = plan(&["python", "пои"], Repairs { complete_last: true, ..REPAIRS });
        assert_eq!(stems(&complete), [vec!["python"], vec!["поиск", "поисков"]]);
        let swapped = plan(&["python", "gjbc"], Repairs { complete_last: true, ..REPAIRS });
        assert_eq!(stems(&swapped), stems(&complete));
        assert_eq!(swapped.corrected, [("gjbc".to_owned(), "поис".to_owned())]);
        let elsewhere = plan(&["gjbc", "pyt"], Repairs { complete_last: true, ..REPAIRS });
        assert_eq!((stems(&elsewhere), elsewhere.corrected.len()), (vec![vec!["python"]], 0), "only at the end");
        let short = plan(&["gjb"], Repairs { complete_last: true, ..REPAIRS });
        assert_eq!(short.unknown, ["gjb"], "three letters begin too many words");
    }

    #[test]
    fn of_very_many_words_the_rarest_are_looked_for() {
        let mut words = vec!["the"; 10];
        words.extend(["поиск"; 40]);
        let plan = plan(&words, REPAIRS);
        assert_eq!(plan.terms.len(), TERMS);
        assert!(plan.terms.iter().all(|term| term.word == "поиск"));
    }

    #[test]
    fn a_word_that_is_newer_than_the_vocabulary_is_no_slip() {
        assert_eq!(stems(&plan(&["новост"], REPAIRS)), [vec!["новост"]]);
    }
}
