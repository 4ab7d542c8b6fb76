//! Words typed with the wrong keyboard layout on: `gjbcr` is `поиск`, `куыгде` is `result`.

const LATIN: &str = "qwertyuiop[]asdfghjkl;'zxcvbnm,.`";
const CYRILLIC: &str = "йцукенгшщзхъфывапролджэячсмитьбюё";

/// The word that the same keys give in the other layout, in small letters; none for a word of both scripts,
/// or of none.
#[must_use]
pub fn swapped(word: &str) -> Option<String> {
    let word = word.to_lowercase();
    let latin = word.chars().any(|letter| letter.is_ascii_alphabetic());
    let cyrillic = word.chars().any(is_cyrillic);
    let (from, to) = match (latin, cyrillic) {
        (true, false) => (LATIN, CYRILLIC),
        (false, true) => (CYRILLIC, LATIN),
        (true, true) | (false, false) => return None,
    };
    let other = |letter: char| from.chars().zip(to.chars()).find(|(here, _)| *here == letter);
    Some(word.chars().map(|letter| other(letter).map_or(letter, |(_, there)| there)).collect())
}

const fn is_cyrillic(letter: char) -> bool {
    matches!(letter, '\u{400}'..='\u{52f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_one_layout_give_the_words_of_the_other() {
        assert_eq!(swapped("Gjbcr").as_deref(), Some("поиск"));
        assert_eq!(swapped(",tkst").as_deref(), Some("белые"));
        assert_eq!(swapped("куыгде").as_deref(), Some("result"));
        assert_eq!(swapped("поисkов"), None);
        assert_eq!(swapped("2026"), None);
    }

    #[test]
    fn every_key_goes_there_and_back() {
        assert_eq!(LATIN.chars().count(), CYRILLIC.chars().count());
        assert_eq!(swapped(&swapped(CYRILLIC).unwrap()).as_deref(), Some(CYRILLIC));
    }
}
