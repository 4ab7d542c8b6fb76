//! The vectors of the last queries.

use std::collections::HashMap;

/// Remembers so many, and forgets what was asked for least recently.
#[derive(Debug)]
pub(crate) struct Cache {
    most: usize,
    clock: u64,
    known: HashMap<String, (u64, Vec<f32>)>,
}

impl Cache {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, clock: 0, known: HashMap::new() }
    }

    pub(crate) fn get(&mut self, text: &str) -> Option<Vec<f32>> {
        self.clock += 1;
        let (used, vector) = self.known.get_mut(text)?;
        *used = self.clock;
        Some(vector.clone())
    }

    /// Forgets everything if it is not so long: another model answers under the same name now.
    pub(crate) fn expect(&mut self, numbers: usize) {
        if self.known.values().any(|(_, vector)| vector.len() != numbers) {
            self.known.clear();
        }
    }

    pub(crate) fn put(&mut self, text: String, vector: Vec<f32>) {
        self.clock += 1;
        self.known.insert(text, (self.clock, vector));
        if self.known.len() > self.most {
            // A look at all of them costs less than the answer that has just been waited for.
            let oldest = self.known.iter().min_by_key(|(_, (used, _))| *used).map(|(text, _)| text.clone());
            oldest.map(|text| self.known.remove(&text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_of_a_model_whose_vectors_are_of_another_length() {
        let mut cache = Cache::new(2);
        cache.put("a".to_owned(), vec![1.0]);
        cache.expect(1);
        assert_eq!(cache.get("a"), Some(vec![1.0]));
        cache.expect(2);
        assert_eq!(cache.get("a"), None);
    }

    #[test]
    fn what_was_asked_for_least_recently_is_forgotten() {
        let mut cache = Cache::new(2);
        cache.put("a".to_owned(), vec![1.0]);
        cache.put("b".to_owned(), vec![2.0]);
        assert_eq!(cache.get("a"), Some(vec![1.0]));
        cache.put("c".to_owned(), vec![3.0]);
        assert_eq!((cache.get("a"), cache.get("b"), cache.get("c")), (Some(vec![1.0]), None, Some(vec![3.0])));
    }
}
