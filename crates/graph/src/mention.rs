//! Which titles a text may mention: every run of a few of its words.

use std::collections::BTreeSet;

/// Longest title that is looked for, in words.
const MAX_WORDS: usize = 6;
/// Shortest title that is looked for, in characters.
const MIN_CHARS: usize = 4;
/// How many words of a text are read.
const MAX_READ: usize = 1_000;

/// Every run of one to six words of the start of a text, in small letters and without the punctuation around it.
#[must_use]
pub fn phrases(text: &str) -> BTreeSet<String> {
    let words: Vec<String> = text.split_whitespace().take(MAX_READ).map(str::to_lowercase).collect();
    let mut phrases = BTreeSet::new();
    for length in 1..=MAX_WORDS {
        for run in words.windows(length) {
            let run = run.join(" ");
            let bare = run.trim_matches(|sign: char| !sign.is_alphanumeric());
            if bare.chars().count() >= MIN_CHARS {
                phrases.insert(bare.to_owned());
            }
        }
    }
    phrases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_found_in_small_letters_and_without_punctuation() {
        let phrases = phrases("See «Event loop», and async/await.");
        for title in ["event loop", "async/await", "see «event loop"] {
            assert!(phrases.contains(title), "{title} in {phrases:?}");
        }
        assert!(!phrases.contains("and"), "too short to mean anything");
    }
}
