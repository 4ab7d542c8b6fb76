//! Near duplicates: a number of 64 bits in which alike texts differ little.
//!
//! The hash is written out here and not the standard library's, for the numbers are stored: the same
//! text must give the same number in every version of this program.

/// Words that make one feature of a text.
const SHINGLE: usize = 3;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The SimHash over every three words in a row, of a text that is folded already. Two copies of a long
/// text with a small change differ in 3 bits or less; of a short text, every word counts.
#[must_use]
pub fn simhash(folded: &str) -> i64 {
    let words: Vec<&str> = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        // Signs alone are alike only when they are the same.
        return feature(&[folded]).cast_signed();
    }
    let mut balance = [0_i64; 64];
    for shingle in words.windows(SHINGLE.min(words.len())) {
        let hash = feature(shingle);
        for (bit, balance) in balance.iter_mut().enumerate() {
            *balance += if hash >> bit & 1 == 1 { 1 } else { -1 };
        }
    }
    let bits = balance.iter().enumerate().filter(|(_, balance)| **balance > 0);
    bits.fold(0_u64, |hash, (bit, _)| hash | 1 << bit).cast_signed()
}

/// FNV-1a, with the end mixed: by itself it changes few high bits for the last letters.
fn feature(words: &[&str]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0x1f]));
    let mut hash = bytes.fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers in words, so that every three in a row are found once.
    fn long_text(words: usize, start: usize) -> Vec<String> {
        (start..start + words).map(|number| format!("word{number}")).collect()
    }

    fn distance(a: &str, b: &str) -> u32 {
        (simhash(a) ^ simhash(b)).count_ones()
    }

    #[test]
    fn a_long_text_with_one_word_changed_is_near_and_another_text_is_far() {
        let words = long_text(1_000, 0);
        let mut edited = words.clone();
        "another".clone_into(&mut edited[500]);
        assert!(distance(&words.join(" "), &edited.join(" ")) <= 3);
        assert!(distance(&words.join(" "), &long_text(1_000, 5_000).join(" ")) > 10);
    }

    #[test]
    fn punctuation_makes_no_difference_and_the_order_of_words_does() {
        assert_eq!(distance("one, two; three. four!", "one two (three) four"), 0);
        assert!(distance("one two three four five", "five four three two one") > 3);
    }

    #[test]
    fn texts_without_words_are_alike_only_when_they_are_the_same() {
        assert!(distance("!!!", "???") > 3);
        assert_eq!(distance("!!!", "!!!"), 0);
    }

    #[test]
    fn the_number_of_a_text_never_changes_for_it_is_stored() {
        assert_eq!(simhash("python async await best practices"), simhash("python async/await best practices"));
        assert_eq!(simhash("a"), 6_228_905_960_580_743_110);
    }

    proptest! {
        #[test]
        fn any_text_has_a_number(text in "\\PC{0,200}") {
            prop_assert_eq!(simhash(&text), simhash(&text));
        }
    }
}
