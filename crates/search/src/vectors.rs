//! What texts mean, as vectors in memory, and which of them are nearest to a query: every one is looked at,
//! so that nothing is missed.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, HashSet};

use kos_model::KnowledgeId;

/// Products that are summed side by side, so that the compiler can use wide registers.
const LANES: usize = 16;

/// The vectors of one model, each of length 1.
#[derive(Clone, Debug, Default)]
pub struct Vectors {
    dimension: usize,
    ids: Vec<KnowledgeId>,
    places: HashMap<KnowledgeId, usize>,
    /// One vector after the other, in the order of `ids`.
    values: Vec<f32>,
}

/// A text that is near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// The text.
    pub id: KnowledgeId,
    /// The cosine of the angle between the two, -1 to 1.
    pub similarity: f32,
}

/// Ordered by nearness; among equals the newer text is the nearer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ranked(Near);

impl Eq for Ranked {}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.similarity.total_cmp(&other.0.similarity).then(self.0.id.cmp(&other.0.id))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Vectors {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many numbers each has; 0 before there is one.
    #[must_use]
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// Adds the vector of a text, or puts it in the place of the one before. Says whether it did: one that
    /// has another dimension than the rest is of another model, and left out.
    pub fn put(&mut self, id: KnowledgeId, vector: &[f32]) -> bool {
        if self.is_empty() {
            self.dimension = vector.len();
        }
        if vector.is_empty() || vector.len() != self.dimension {
            return false;
        }
        match self.places.get(&id) {
            Some(place) => {
                if let Some(known) = self.values.chunks_exact_mut(self.dimension).nth(*place) {
                    known.copy_from_slice(vector);
                }
            }
            None => {
                self.places.insert(id, self.ids.len());
                self.ids.push(id);
                self.values.extend_from_slice(vector);
            }
        }
        true
    }

    /// Forgets the vector of a text.
    pub fn remove(&mut self, id: KnowledgeId) {
        let Some(place) = self.places.remove(&id) else { return };
        self.ids.swap_remove(place);
        let last = self.ids.len() * self.dimension;
        self.values.copy_within(last.., place * self.dimension);
        self.values.truncate(last);
        if let Some(moved) = self.ids.get(place) {
            self.places.insert(*moved, place);
        }
    }

    /// Forgets the vectors of all texts but these.
    pub fn keep_only(&mut self, texts: &HashSet<KnowledgeId>) {
        let gone: Vec<KnowledgeId> = self.ids.iter().filter(|id| !texts.contains(id)).copied().collect();
        gone.into_iter().for_each(|id| self.remove(id));
    }

    /// The nearest, at most so many, the nearest first; nothing for a query of another dimension.
    #[must_use]
    pub fn nearest(&self, query: &[f32], at_most: usize) -> Option<Vec<Near>> {
        self.compares(query).then(|| {
            let all = self.ids.iter().copied().zip(self.values.chunks_exact(self.dimension));
            nearest(all, query, at_most)
        })
    }

    /// As [`Self::nearest`], of some texts alone.
    #[must_use]
    pub fn nearest_of(
        &self,
        texts: impl Iterator<Item = KnowledgeId>,
        query: &[f32],
        at_most: usize,
    ) -> Option<Vec<Near>> {
        let vector = |id: KnowledgeId| {
            let begins = self.places.get(&id)? * self.dimension;
            Some((id, self.values.get(begins..begins + self.dimension)?))
        };
        self.compares(query).then(|| nearest(texts.filter_map(vector), query, at_most))
    }

    fn compares(&self, query: &[f32]) -> bool {
        query.len() == self.dimension && !self.is_empty()
    }
}

fn nearest<'v>(vectors: impl Iterator<Item = (KnowledgeId, &'v [f32])>, query: &[f32], at_most: usize) -> Vec<Near> {
    let mut nearest: BinaryHeap<Reverse<Ranked>> = BinaryHeap::with_capacity(at_most + 1);
    for (id, vector) in vectors {
        let candidate = Reverse(Ranked(Near { id, similarity: dot(query, vector) }));
        if nearest.len() < at_most {
            nearest.push(candidate);
        } else if nearest.peek().is_some_and(|farthest| candidate < *farthest) {
            nearest.pop();
            nearest.push(candidate);
        }
    }
    nearest.into_sorted_vec().into_iter().map(|Reverse(Ranked(near))| near).collect()
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f32 = ones.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in ones.zip(others) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Numbers that look random and are the same each time, of length 1 together.
    fn vector(seed: u64, dimension: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            f32::from(u16::try_from(state >> 48).unwrap()) / 65_536.0 - 0.5
        };
        let values: Vec<f32> = (0..dimension).map(|_| next()).collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        values.into_iter().map(|value| value / length).collect()
    }

    fn some(count: u64, dimension: usize) -> (Vectors, Vec<(KnowledgeId, Vec<f32>)>) {
        let all: Vec<_> = (0..count).map(|seed| (KnowledgeId::generate(), vector(seed, dimension))).collect();
        let mut vectors = Vectors::default();
        assert!(all.iter().all(|(id, vector)| vectors.put(*id, vector)));
        (vectors, all)
    }

    #[test]
    fn the_nearest_are_those_that_a_sort_of_all_would_find() {
        let (vectors, all) = some(500, 37);
        let query = vector(1_000_003, 37);
        let product = |other: &[f32]| query.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
        let mut sorted: Vec<_> = all.iter().map(|(id, vector)| (product(vector), *id)).collect();
        sorted.sort_by(|one, other| other.0.total_cmp(&one.0));
        let expected: Vec<_> = sorted.iter().take(10).map(|(_, id)| *id).collect();
        let found = vectors.nearest(&query, 10).unwrap();
        assert_eq!(found.iter().map(|near| near.id).collect::<Vec<_>>(), expected);
        assert!((found[0].similarity - sorted[0].0).abs() < 1e-5);
    }

    #[test]
    fn what_is_replaced_or_removed_is_not_found_as_it_was() {
        let (mut vectors, all) = some(20, 8);
        for (id, old) in &all[..10] {
            vectors.remove(*id);
            assert!(vectors.nearest(old, 20).unwrap().iter().all(|near| near.id != *id));
        }
        vectors.remove(all[0].0);
        assert_eq!(vectors.len(), 10);
        for (id, own) in &all[10..] {
            assert_eq!(vectors.nearest(own, 1).unwrap()[0].id, *id, "the others are still where they were");
        }
        let fresh = vector(99, 8);
        assert!(vectors.put(all[15].0, &fresh));
        assert_eq!((vectors.nearest(&fresh, 1).unwrap()[0].id, vectors.len()), (all[15].0, 10));
    }

    #[test]
    fn vectors_of_another_model_are_left_out() {
        let (mut vectors, _) = some(3, 8);
        assert!(!vectors.put(KnowledgeId::generate(), &vector(7, 9)));
        assert!(!vectors.put(KnowledgeId::generate(), &[]));
        assert!(vectors.nearest(&vector(7, 9), 3).is_none());
        assert!(Vectors::default().nearest(&[], 3).is_none());
    }

    #[test]
    #[ignore = "a measurement: cargo test --release -p kos-search --lib -- --ignored --nocapture hundred_thousand"]
    fn the_time_to_look_at_a_hundred_thousand_vectors() {
        let (vectors, _) = some(100_000, 384);
        let mut took: Vec<Duration> = (0..50)
            .map(|seed| {
                let query = vector(2_000_000 + seed, 384);
                let since = Instant::now();
                assert_eq!(vectors.nearest(&query, 100).unwrap().len(), 100);
                since.elapsed()
            })
            .collect();
        took.sort_unstable();
        println!("100,000 vectors of 384 numbers: p50 {:?}, p98 {:?}", took[25], took[49]);
    }
}
