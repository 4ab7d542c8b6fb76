//! Texts: what may be stored, which two are the same, and what language one is in.

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::json::nul;
use crate::violation::Violation;

/// Of three letters one Cyrillic: Russian texts about software are full of Latin words.
const CYRILLIC_SHARE: usize = 3;

/// A text that is not blank, not too long and that Postgres can store.
///
/// # Errors
/// The broken rule, at `pointer`.
pub fn text(pointer: &str, text: &str, max: usize) -> Result<String, Violation> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Violation::new(pointer, "blank", "must not be empty"));
    }
    if text.contains('\0') {
        return Err(nul(pointer));
    }
    let length = text.chars().count();
    if length > max {
        let detail = format!("has {length} characters; at most {max}: shorten or split it");
        return Err(Violation::new(pointer, "too_long", detail));
    }
    Ok(text.to_owned())
}

/// The text by which two are the same: composed (NFC), in lower case, one space for any white space.
#[must_use]
pub fn fold(text: &str) -> String {
    let lower = if is_nfc(text) { text.to_lowercase() } else { text.nfc().collect::<String>().to_lowercase() };
    let mut folded = String::with_capacity(lower.len());
    for word in lower.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}

/// The language by the letters: `ru` where a third are Cyrillic, `en` where others are Latin, or `und`.
#[must_use]
pub fn language(text: &str) -> &'static str {
    let (mut cyrillic, mut latin) = (0_usize, 0_usize);
    for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
        match letter {
            '\u{400}'..='\u{52F}' => cyrillic += 1,
            'a'..='z' | 'A'..='Z' | '\u{C0}'..='\u{24F}' => latin += 1,
            _ => {}
        }
    }
    match (cyrillic, latin) {
        (0, 0) => "und",
        _ if cyrillic * CYRILLIC_SHARE >= cyrillic + latin => "ru",
        _ => "en",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_differ_in_case_space_or_composition_are_the_same() {
        assert_eq!(fold("  Ёлка\u{a0}и\r\n\tЙОД "), "ёлка и йод");
        assert_eq!(fold("Caf\u{e9}"), fold("CAFE\u{301}"));
        assert_eq!(fold("И\u{306}"), fold("й"));
        assert_ne!(fold("ab"), fold("a b"));
    }

    #[test]
    fn the_language_is_judged_by_the_share_of_cyrillic_letters() {
        for (text, expected) in [
            ("Best practices", "en"),
            ("Лучшие практики", "ru"),
            ("Лучшие практики async/await", "ru"),
            ("The word «ёж» means hedgehog", "en"),
            ("42 + 1 = 43", "und"),
            ("知識", "und"),
            ("", "und"),
        ] {
            assert_eq!(language(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing_more(text in "[a-zA-Zа-яА-Я\\sé\u{301}\u{306}]{0,40}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }
    }
}
