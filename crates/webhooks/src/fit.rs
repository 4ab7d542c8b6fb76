//! Cuts a text so that it keeps a platform's limit even after it is escaped: short parts stay whole,
//! the long ones are cut. The raw text is cut, so an escape is never torn; cuts fall between
//! graphemes, between words where one ends near. Lengths are UTF-16 units, which is never less than
//! what any platform counts.

use unicode_segmentation::UnicodeSegmentation;

const ELLIPSIS: char = '…';

/// A part of at most this length is cut only when leaving out the parts behind it is not enough.
const SHORT: usize = 100;

/// How far back from the limit a word's end is looked for, in graphemes.
const WORD_REACH: usize = 40;

/// The length in UTF-16 units.
#[cfg(any(feature = "telegram", test))]
pub(crate) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// The parts, a line each, in at most `budget` units after escaping; an ellipsis stands for what does
/// not fit. `weight` is the most that a character takes once it is escaped; a line's end takes 1.
///
/// The longest parts are cut until the rest fits; where there are too many parts for that, the last are
/// left out. A budget below 4 is too small to be kept.
pub(crate) fn fit(parts: &[String], budget: usize, weight: impl Fn(char) -> usize) -> String {
    // Every part takes a unit and a line's end at least: no more of them are looked at.
    let near = parts.get(..parts.len().min(budget)).unwrap_or(parts);
    let sizes: Vec<usize> = near.iter().map(|part| size(part, &weight)).collect();
    let (kept, level) = share(&sizes, near.len() < parts.len(), budget);
    let mut lines: Vec<String> =
        near.iter().zip(&sizes).take(kept).map(|(part, size)| cut(part, *size, level, &weight)).collect();
    if kept < parts.len() {
        lines.push(ELLIPSIS.to_string());
    }
    lines.join("\n")
}

fn size(text: &str, weight: impl Fn(char) -> usize) -> usize {
    text.chars().map(weight).sum()
}

/// How many parts are kept, and the length to which those that are longer are cut.
fn share(sizes: &[usize], more: bool, budget: usize) -> (usize, usize) {
    let level_of = |kept: usize| {
        let mark = if more || kept < sizes.len() { "\n…".chars().count() } else { 0 };
        let line_ends = kept.saturating_sub(1);
        level(sizes.get(..kept).unwrap_or(sizes), budget.saturating_sub(line_ends + mark))
    };
    let whole = level_of(sizes.len());
    if whole >= SHORT {
        return (sizes.len(), whole);
    }
    // The more parts are kept, the less is left for each: the last count that leaves enough is looked for.
    let counts: Vec<usize> = (1..sizes.len()).collect();
    let kept = counts.partition_point(|kept| level_of(*kept) >= SHORT).max(1);
    (kept, level_of(kept))
}

/// The length to which the longest must be cut so that all take no more than `room`.
fn level(sizes: &[usize], mut room: usize) -> usize {
    let mut ascending = sizes.to_vec();
    ascending.sort_unstable();
    for (done, size) in ascending.iter().enumerate() {
        let left = ascending.len() - done;
        if size.saturating_mul(left) > room {
            return room / left;
        }
        room -= size;
    }
    usize::MAX
}

fn cut(text: &str, size: usize, level: usize, weight: impl Fn(char) -> usize) -> String {
    if size <= level {
        return text.to_owned();
    }
    let room = level.saturating_sub(weight(ELLIPSIS));
    // A single grapheme can be longer than any limit: then it is cut after all.
    let start = match longest(text, text.graphemes(true), room, &weight) {
        "" => longest(text, text.split_inclusive(|_: char| true), room, &weight),
        some => at_word_end(some, text),
    };
    format!("{}{ELLIPSIS}", start.trim_end())
}

/// As many of the pieces that `text` consists of as there is room for.
fn longest<'t>(
    text: &'t str,
    pieces: impl Iterator<Item = &'t str>,
    room: usize,
    weight: impl Fn(char) -> usize,
) -> &'t str {
    let mut used = 0;
    let fits = |piece: &&str| {
        used += size(piece, &weight);
        used <= room
    };
    let end = pieces.take_while(fits).map(str::len).sum();
    text.get(..end).unwrap_or_default()
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

    fn doubled(c: char) -> usize {
        if c == '&' { "&amp;".len() } else { c.len_utf16() }
    }

    fn fit_one(text: &str, budget: usize, weight: impl Fn(char) -> usize) -> String {
        fit(&[text.to_owned()], budget, weight)
    }

    #[test]
    fn a_text_within_its_budget_stays_as_it_is() {
        assert_eq!(fit_one("a & b", 9, doubled), "a & b");
    }

    #[test]
    fn what_escaping_adds_counts() {
        assert_eq!(fit_one("ab&&&", 8, doubled), "ab&…");
        assert_eq!(fit_one("ab&&&", 7, doubled), "ab…");
    }

    #[test]
    fn the_cut_falls_at_the_end_of_a_word() {
        assert_eq!(fit_one("the quick brown fox", 13, char::len_utf16), "the quick…");
        assert_eq!(fit_one("the quick brown fox", 10, char::len_utf16), "the quick…");
    }

    #[test]
    fn a_family_of_emoji_and_an_accent_are_not_torn() {
        assert_eq!(fit_one("a👨‍👩‍👧b", 8, char::len_utf16), "a…");
        assert_eq!(fit_one("xe\u{301}y", 3, char::len_utf16), "x…");
    }

    #[test]
    fn a_letter_with_endless_accents_is_cut_all_the_same() {
        let zalgo = format!("e{}", "\u{301}".repeat(100));
        assert_eq!(units(&fit_one(&zalgo, 10, char::len_utf16)), 10);
    }

    #[test]
    fn a_long_part_is_cut_and_the_short_ones_around_it_stay() {
        let parts = ["Created".to_owned(), "x".repeat(5000), "Domain: python".to_owned(), "ID: 1".to_owned()];
        let text = fit(&parts, 300, char::len_utf16);
        assert_eq!(text, format!("Created\n{}…\nDomain: python\nID: 1", "x".repeat(300 - 30)));
        assert_eq!(units(&text), 300);
    }

    #[test]
    fn of_several_long_parts_each_gets_the_same() {
        let text = fit(&["a".repeat(500), "b".repeat(900), "c".to_owned()], 303, char::len_utf16);
        assert_eq!(text, format!("{}…\n{}…\nc", "a".repeat(149), "b".repeat(149)));
    }

    #[test]
    fn of_too_many_parts_the_first_stay_whole() {
        let parts: Vec<String> = (100..200).map(|number| format!("field {number}")).collect();
        let text = fit(&parts, 50, char::len_utf16);
        assert_eq!(text, "field 100\nfield 101\nfield 102\nfield 103\n…");
    }

    proptest! {
        #[test]
        fn whatever_the_text_the_budget_is_kept(
            parts in prop::collection::vec("\\PC{0,80}|[&<a😀\u{301} ]{0,60}|[a-z ]{100,300}", 1..6),
            budget in 4usize..400,
        ) {
            let text = fit(&parts, budget, doubled);
            prop_assert!(size(&text, doubled) <= budget, "{text}");
            prop_assert!(text.contains(ELLIPSIS) || text == parts.join("\n"));
        }
    }
}
