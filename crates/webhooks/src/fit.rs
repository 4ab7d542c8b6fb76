//! Cuts a text so that, once escaped, it keeps a platform's limit. The raw text is cut, so an escape
//! is never torn; cuts fall between graphemes, between words where one ends near. Lengths are UTF-16
//! units, which is never less than what any platform counts.

use unicode_segmentation::UnicodeSegmentation;

const ELLIPSIS: &str = "…";

/// How far back from the limit a word's end is looked for, in graphemes.
const WORD_REACH: usize = 40;

/// The length in UTF-16 units.
pub(crate) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// `raw`, escaped, in at most `budget` units; what does not fit is replaced by an ellipsis.
///
/// An escape never makes a text shorter.
pub(crate) fn fit(raw: &str, budget: usize, escape: impl Fn(&str) -> String) -> String {
    // What lies beyond the budget unescaped cannot fit escaped: megabytes are not escaped in vain.
    let near = prefix_of_units(raw, budget);
    if near.len() == raw.len() {
        let whole = escape(raw);
        if units(&whole) <= budget {
            return whole;
        }
    }
    let fits = |prefix: &str| units(&escape(prefix)) + units(ELLIPSIS) <= budget;
    let graphemes = raw.grapheme_indices(true).map(|(index, _)| index).take_while(|index| *index <= near.len());
    // A single grapheme can be longer than any limit: then it is cut after all.
    let cut = match longest(raw, graphemes, fits) {
        "" => longest(raw, near.char_indices().map(|(index, _)| index), fits),
        some => at_word_end(some, raw),
    };
    let mut text = escape(cut.trim_end());
    text.push_str(ELLIPSIS);
    text
}

fn prefix_of_units(text: &str, budget: usize) -> &str {
    let mut used = 0;
    for (index, c) in text.char_indices() {
        used += c.len_utf16();
        if used > budget {
            return text.get(..index).unwrap_or_default();
        }
    }
    text
}

/// The longest of the prefixes of `text` that end at `ends` and fit; shorter ones always fit when a
/// longer one does.
fn longest(text: &str, ends: impl Iterator<Item = usize>, fits: impl Fn(&str) -> bool) -> &str {
    let prefixes: Vec<&str> = ends.filter_map(|end| text.get(..end)).collect();
    let count = prefixes.partition_point(|prefix| fits(prefix));
    count.checked_sub(1).and_then(|last| prefixes.get(last)).copied().unwrap_or_default()
}

/// `cut` without the word it tears, if that word began not far back.
fn at_word_end<'t>(cut: &'t str, whole: &str) -> &'t str {
    let tears = whole.get(cut.len()..).and_then(|rest| rest.chars().next()).is_some_and(|next| !next.is_whitespace());
    let reach = cut.grapheme_indices(true).rev().nth(WORD_REACH).map_or(0, |(index, _)| index);
    match cut.rfind(char::is_whitespace) {
        Some(space) if tears && space > reach => cut.get(..space).unwrap_or(cut),
        Some(_) | None => cut,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn doubled(text: &str) -> String {
        text.replace('&', "&amp;")
    }

    #[test]
    fn a_text_within_its_budget_is_only_escaped() {
        assert_eq!(fit("a & b", 9, doubled), "a &amp; b");
    }

    #[test]
    fn an_escape_is_kept_whole_or_left_out() {
        assert_eq!(fit("ab&&&", 8, doubled), "ab&amp;…");
        assert_eq!(fit("ab&&&", 7, doubled), "ab…");
    }

    #[test]
    fn the_cut_falls_at_the_end_of_a_word() {
        assert_eq!(fit("the quick brown fox", 13, str::to_owned), "the quick…");
        assert_eq!(fit("the quick brown fox", 10, str::to_owned), "the quick…");
    }

    #[test]
    fn a_family_of_emoji_and_an_accent_are_not_torn() {
        assert_eq!(fit("a👨‍👩‍👧b", 8, str::to_owned), "a…");
        assert_eq!(fit("xe\u{301}y", 3, str::to_owned), "x…");
    }

    #[test]
    fn a_letter_with_endless_accents_is_cut_all_the_same() {
        let zalgo = format!("e{}", "\u{301}".repeat(100));
        assert_eq!(units(&fit(&zalgo, 10, str::to_owned)), 10);
    }

    proptest! {
        #[test]
        fn whatever_the_text_the_budget_is_kept(raw in "\\PC{0,80}|[&<a😀\u{301} ]{0,60}", budget in 1usize..60) {
            let text = fit(&raw, budget, doubled);
            prop_assert!(units(&text) <= budget);
            prop_assert!(text.ends_with(ELLIPSIS) || text == doubled(&raw));
        }
    }
}
