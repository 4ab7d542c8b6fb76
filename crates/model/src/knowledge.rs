//! Knowledge: a text, the domain it belongs to, and how sure we are of it.

use serde_json::{Map, Value};

use crate::violation::{Violation, Violations};

/// Longest content, in characters.
pub const MAX_CONTENT: usize = 200_000;
/// Longest domain name, in characters.
pub const MAX_DOMAIN: usize = 200;
/// Longest source reference, in characters.
pub const MAX_SOURCE: usize = 2_000;

/// Knowledge that has passed its rules and is about to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewKnowledge {
    content: String,
    domain: Option<String>,
    confidence_score: f64,
    source_ref: Option<String>,
    metadata: Map<String, Value>,
}

/// The fields of new knowledge as somebody sent them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnowledgeDraft {
    /// The text itself.
    pub content: String,
    /// The domain's name; it is created when new.
    pub domain: Option<String>,
    /// How sure we are, 0 to 1; 1 when not given.
    pub confidence_score: Option<f64>,
    /// Where it comes from: an address, a document, a person.
    pub source_ref: Option<String>,
    /// Anything else, kept as it is.
    pub metadata: Map<String, Value>,
}

impl KnowledgeDraft {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<NewKnowledge, Violations> {
        let mut faults = Violations::new();
        let content = faults.take(text("/content", &self.content, MAX_CONTENT));
        let domain = self.domain.and_then(|name| faults.take(text("/domain", &name, MAX_DOMAIN)));
        let source_ref = self.source_ref.and_then(|source| faults.take(text("/source_ref", &source, MAX_SOURCE)));
        let confidence_score = faults.take(confidence(self.confidence_score.unwrap_or(1.0)));
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(NewKnowledge {
            content: content.unwrap_or_default(),
            domain,
            confidence_score: confidence_score.unwrap_or_default(),
            source_ref,
            metadata: self.metadata,
        })
    }
}

impl NewKnowledge {
    /// The text itself, without white space around it.
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }

    /// The domain's name.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// How sure we are, 0 to 1.
    #[must_use]
    pub const fn confidence_score(&self) -> f64 {
        self.confidence_score
    }

    /// Where it comes from.
    #[must_use]
    pub fn source_ref(&self) -> Option<&str> {
        self.source_ref.as_deref()
    }

    /// Anything else that was said of it.
    #[must_use]
    pub const fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }
}

fn confidence(score: f64) -> Result<f64, Violation> {
    if (0.0..=1.0).contains(&score) {
        Ok(score)
    } else {
        Err(Violation::new("/confidence_score", "out_of_range", "must be a number from 0 to 1"))
    }
}

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
        return Err(Violation::new(pointer, "nul_character", "must not contain the character U+0000: remove it"));
    }
    let length = text.chars().count();
    if length > max {
        let detail = format!("has {length} characters; at most {max}: shorten or split it");
        return Err(Violation::new(pointer, "too_long", detail));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(content: &str, confidence_score: Option<f64>) -> KnowledgeDraft {
        KnowledgeDraft { content: content.to_owned(), confidence_score, ..KnowledgeDraft::default() }
    }

    #[test]
    fn a_confidence_outside_0_to_1_or_nan_is_refused() {
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let faults = draft("x", Some(bad)).check().unwrap_err();
            assert_eq!(faults.as_slice().first().unwrap().pointer, "/confidence_score");
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let mut bad = draft(" \n", Some(2.0));
        bad.domain = Some("a\0b".to_owned());
        let codes: Vec<_> = bad.check().unwrap_err().as_slice().iter().map(|fault| fault.code).collect();
        assert_eq!(codes, ["blank", "nul_character", "out_of_range"]);
    }
}
