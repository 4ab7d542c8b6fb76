//! How many slips lie between two words (optimal string alignment: a letter left out, added, changed, or
//! swapped with the next counts one).

/// The distance, unless it is more than `most`.
pub(crate) fn within(word: &[char], other: &str, most: usize) -> Option<usize> {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=word.len()).collect();
    let mut previous = None;
    for (row, letter) in other.chars().enumerate() {
        let mut next = Vec::with_capacity(last.len());
        next.push(row + 1);
        for (column, own) in word.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let changed = at(&last, column) + usize::from(*own != letter);
            let mut best = changed.min(at(&last, column + 1) + 1).min(at(&next, column) + 1);
            let is_swap = column > 0 && previous == Some(*own) && word.get(column - 1) == Some(&letter);
            if is_swap {
                best = best.min(at(&before, column - 1).saturating_add(1));
            }
            next.push(best);
        }
        if next.iter().all(|distance| *distance > most) {
            return None;
        }
        before = std::mem::replace(&mut last, next);
        previous = Some(letter);
    }
    last.last().copied().filter(|distance| *distance <= most)
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

    proptest! {
        #[test]
        fn it_is_the_same_in_both_directions(a in "[a-d]{0,8}", b in "[a-d]{0,8}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &a), Some(0));
        }
    }
}
