//! The words that texts are made of, and in how many texts each stands: what tells a rare word from a
//! common one, a slip from a word, and the start of a word from its end.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::distance::within;

/// The longest word that is looked for among its neighbours, in letters; 64 at the most, for [`within`].
const LONGEST: usize = 60;
/// The shortest word that may hold a slip, in letters.
pub(crate) const SHORTEST: usize = 4;
/// Up to this many letters, one slip is assumed; two in longer words.
const SHORT: usize = 5;

/// Every word (as stemmed) with the number of texts that it stands in. Made anew when it changes.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// All words, one after the other, in alphabetical order.
    letters: String,
    /// Where each begins in [`Self::letters`], and where the last one ends.
    starts: Vec<usize>,
    /// In how many texts each stands.
    texts: Vec<u32>,
    /// What can be compared before a word is read; in order, so that words of one length and as many digits lie together.
    sketches: Vec<Sketch>,
}

/// What a word looks like from afar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sketch {
    length: u8,
    /// How many digits it has: many words are numbers and names of versions.
    digits: u8,
    /// Its place among all words.
    at: u32,
    /// Which letters it has, a bit for each.
    letters: u64,
}

/// A word that is close to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The word.
    pub word: String,
    /// In how many texts it stands.
    pub texts: u32,
    /// How many slips apart: letters left out, added, changed, or swapped with the next.
    pub distance: usize,
}

impl Sketch {
    fn of(word: &str, at: usize) -> Self {
        let letters = word.chars().fold(0, |set, letter| set | 1 << (u32::from(letter) % 64));
        let length = small(word.chars().count());
        let digits = small(word.bytes().filter(u8::is_ascii_digit).count());
        Self { length, digits, at: u32::try_from(at).unwrap_or(u32::MAX), letters }
    }

    /// Whether words of about the same length may be that close. One slip takes a letter out of the set and adds another.
    fn may_be_within(self, other: Self, distance: u8) -> bool {
        (self.letters ^ other.letters).count_ones() <= 2 * u32::from(distance)
    }
}

fn small(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

impl FromIterator<(String, u32)> for Vocabulary {
    fn from_iter<I: IntoIterator<Item = (String, u32)>>(words: I) -> Self {
        Self::default().with(words.into_iter().collect())
    }
}

impl Vocabulary {
    /// The same with these words counted so instead; a word that stands in no text is left out.
    #[must_use]
    pub fn with(&self, mut changes: HashMap<String, u32>) -> Self {
        let kept = self.iter().map(|(word, texts)| (word.to_owned(), changes.remove(word).unwrap_or(texts)));
        let mut words: Vec<(String, u32)> = kept.collect();
        words.extend(changes);
        words.retain(|(_, texts)| *texts > 0);
        words.sort_unstable();
        let mut made = Self::default();
        for (at, (word, texts)) in words.iter().enumerate() {
            made.starts.push(made.letters.len());
            made.letters.push_str(word);
            made.texts.push(*texts);
            made.sketches.push(Sketch::of(word, at));
        }
        made.starts.push(made.letters.len());
        made.sketches.sort_unstable();
        made
    }

    /// How many words there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is no word.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// In how many texts a word stands; 0 when it is unknown.
    #[must_use]
    pub fn texts(&self, word: &str) -> u32 {
        let at = self.first_not_before(word);
        if self.word(at) == Some(word) { self.texts_of(at) } else { 0 }
    }

    /// The words that an unknown word may be meant as, the closest and among them the most common first.
    #[must_use]
    pub fn neighbours(&self, word: &str, at_most: usize) -> Vec<Neighbour> {
        let length = word.chars().count();
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Vec::new();
        }
        let distance = if length <= SHORT { 1 } else { 2 };
        let sketch = Sketch::of(word, 0);
        let letters: Vec<char> = word.chars().collect();
        let mut near: Vec<Neighbour> = self
            .of_like_shape(sketch, distance)
            .filter(|other| sketch.may_be_within(**other, distance))
            .filter_map(|other| {
                let at = usize::try_from(other.at).ok()?;
                let other = self.word(at)?;
                let distance = within(&letters, other, distance.into())?;
                (distance > 0).then(|| Neighbour { word: other.to_owned(), texts: self.texts_of(at), distance })
            })
            .collect();
        // People seldom miss the first letter.
        let first = word.chars().next();
        let key = |other: &Neighbour| (other.distance, other.word.chars().next() != first, Reverse(other.texts));
        near.sort_by(|one, other| key(one).cmp(&key(other)).then_with(|| one.word.cmp(&other.word)));
        near.truncate(at_most);
        near
    }

    /// The most common words that begin so.
    #[must_use]
    pub fn completions(&self, start: &str, at_most: usize) -> Vec<(String, u32)> {
        let begin = self.first_not_before(start);
        let mut found: Vec<(&str, u32)> = (begin..self.len())
            .map_while(|at| Some((self.word(at).filter(|word| word.starts_with(start))?, *self.texts.get(at)?)))
            .collect();
        found.sort_by_key(|(_, texts)| Reverse(*texts));
        found.into_iter().take(at_most).map(|(word, texts)| (word.to_owned(), texts)).collect()
    }

    /// The words with so many letters and digits, give or take the distance: a slip is one more or less of either.
    fn of_like_shape(&self, sketch: Sketch, distance: u8) -> impl Iterator<Item = &Sketch> {
        let around = move |count: u8| count.saturating_sub(distance)..=count.saturating_add(distance);
        around(sketch.length).flat_map(move |length| {
            let (least, most) = around(sketch.digits).into_inner();
            let begin = self.sketches.partition_point(|other| (other.length, other.digits) < (length, least));
            let end = self.sketches.partition_point(|other| (other.length, other.digits) <= (length, most));
            self.sketches.get(begin..end).unwrap_or_default()
        })
    }

    fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.texts.iter().enumerate().filter_map(|(at, texts)| Some((self.word(at)?, *texts)))
    }

    fn texts_of(&self, at: usize) -> u32 {
        self.texts.get(at).copied().unwrap_or_default()
    }

    fn word(&self, at: usize) -> Option<&str> {
        self.letters.get(*self.starts.get(at)?..*self.starts.get(at + 1)?)
    }

    fn first_not_before(&self, word: &str) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.word(middle).is_some_and(|other| other < word) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[(&str, u32)]) -> Vocabulary {
        words.iter().map(|(word, texts)| ((*word).to_owned(), *texts)).collect()
    }

    #[test]
    fn a_slip_finds_the_word_that_was_meant_the_closest_and_most_common_first() {
        let known = words(&[("программирован", 9), ("программ", 40), ("проблем", 30), ("python", 5), ("pylon", 8)]);
        let meant = |word: &str| known.neighbours(word, 3).into_iter().map(|near| near.word).collect::<Vec<_>>();
        assert_eq!(meant("програмирован"), ["программирован"]);
        assert_eq!(meant("пргорамм"), ["программ"]);
        assert_eq!(meant("pyton"), ["pylon", "python"]);
        assert!(meant("pyt").is_empty(), "short words hold no slips");
    }

    #[test]
    fn the_start_of_a_word_finds_its_most_common_ends() {
        let known = words(&[("поиск", 3), ("поисков", 9), ("пол", 50), ("search", 1)]);
        assert_eq!(known.completions("поис", 8), [("поисков".to_owned(), 9), ("поиск".to_owned(), 3)]);
        assert!(known.completions("щ", 8).is_empty());
    }

    #[test]
    fn a_count_is_replaced_and_a_word_of_no_text_forgotten() {
        let known = words(&[("a", 1), ("b", 2)]).with(HashMap::from([("a".to_owned(), 5), ("b".to_owned(), 0)]));
        assert_eq!((known.texts("a"), known.texts("b"), known.len()), (5, 0, 1));
    }

    proptest! {
        #[test]
        fn no_neighbour_is_missed_by_the_look_from_afar(word in "[a-cб-в0-2]{4,9}", other in "[a-cб-в0-2]{1,10}") {
            let distance = if word.chars().count() <= SHORT { 1 } else { 2 };
            let letters: Vec<char> = word.chars().collect();
            let close = within(&letters, &other, distance).is_some_and(|distance| distance > 0);
            prop_assert_eq!(!words(&[(&other, 1)]).neighbours(&word, 1).is_empty(), close);
        }

        #[test]
        fn every_word_is_found_again(list in proptest::collection::hash_map("[a-zа-я]{1,6}", 1_u32..9, 0..30)) {
            let known: Vocabulary = list.clone().into_iter().collect();
            prop_assert_eq!(known.len(), list.len());
            for (word, texts) in list {
                prop_assert_eq!(known.texts(&word), texts);
                prop_assert!(known.completions(&word, 99).contains(&(word, texts)));
            }
        }
    }
}
