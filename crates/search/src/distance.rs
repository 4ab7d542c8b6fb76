//! How many slips lie between two words (optimal string alignment: a letter left out, added, changed, or
//! swapped with the next counts one).

/// The distance, unless it is more than `most`. The word has 64 letters at the most.
///
/// A column of the table of distances is held in the bits of a few numbers, as differences between its cells, and the next
/// one made of it at once (H. Hyyrö, "A bit-vector algorithm for computing Levenshtein and Damerau edit distances", 2003).
pub(crate) fn within(word: &[char], other: &str, most: usize) -> Option<usize> {
    debug_assert!(word.len() <= 64, "there is a bit for each letter");
    let Some(end) = word.len().checked_sub(1) else {
        return Some(other.chars().count()).filter(|distance| *distance <= most);
    };
    let mut distance = word.len();
    let (mut more_below, mut less_below) = (u64::MAX, 0_u64);
    let (mut same_as_before, mut last_places) = (0_u64, 0);
    let mut left = other.chars().count();
    for letter in other.chars() {
        let places = places(word, letter);
        let swapped = ((!same_as_before & places) << 1) & last_places;
        let same = ((places & more_below).wrapping_add(more_below) ^ more_below) | places | less_below | swapped;
        let (more, less) = (less_below | !(same | more_below), same & more_below);
        distance += usize::from(more >> end & 1 == 1);
        distance -= usize::from(less >> end & 1 == 1);
        left -= 1;
        // Each letter that is left takes one off at the most.
        if distance > most + left {
            return None;
        }
        let (more, less) = (more << 1 | 1, less << 1);
        (more_below, less_below) = (less | !(same | more), more & same);
        (same_as_before, last_places) = (same, places);
    }
    Some(distance).filter(|distance| *distance <= most)
}

/// Where the letter stands in the word, a bit for each.
fn places(word: &[char], letter: char) -> u64 {
    word.iter().rev().fold(0, |places, own| places << 1 | u64::from(*own == letter))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn distance(a: &str, b: &str) -> Option<usize> {
        within(&a.chars().collect::<Vec<_>>(), b, 2)
    }

    #[test]
    fn every_kind_of_slip_counts_one() {
        for (right, wrong) in [("слово", "слво"), ("слово", "слоово"), ("слово", "слава"), ("слово", "солво")]
        {
            assert_eq!(distance(right, wrong), Some(if wrong == "слава" { 2 } else { 1 }), "{wrong}");
        }
        assert_eq!(distance("слово", "дело"), None);
        assert_eq!(distance("", "ab"), Some(2));
    }

    /// By the definition, cell by cell.
    fn by_definition(a: &[char], b: &[char]) -> usize {
        let ([.., last_a], [.., last_b]) = (a, b) else { return a.len().max(b.len()) };
        let (shorter_a, shorter_b) = (&a[..a.len() - 1], &b[..b.len() - 1]);
        let changed = by_definition(shorter_a, shorter_b) + usize::from(last_a != last_b);
        let mut least = changed.min(by_definition(shorter_a, b) + 1).min(by_definition(a, shorter_b) + 1);
        if let ([.., before_a, _], [.., before_b, _]) = (a, b)
            && (before_a, last_a) == (last_b, before_b)
        {
            least = least.min(by_definition(&a[..a.len() - 2], &b[..b.len() - 2]) + 1);
        }
        least
    }

    proptest! {
        #[test]
        fn the_bits_tell_the_distance(a in "[a-d]{0,6}", b in "[a-d]{0,6}", most in 0_usize..4) {
            let letters = |word: &str| word.chars().collect::<Vec<_>>();
            let distance = by_definition(&letters(&a), &letters(&b));
            prop_assert_eq!(within(&letters(&a), &b, most), Some(distance).filter(|distance| *distance <= most));
        }

        #[test]
        fn it_is_the_same_in_both_directions(a in "[a-d]{0,8}", b in "[a-d]{0,8}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &a), Some(0));
        }
    }
}
