//! Interactions: a question, its answer, the knowledge that was used, and what the asker thought of it.

use crate::field::{id, optional_text, text_or_empty};
use crate::id::{ExpertId, KnowledgeId};
use crate::knowledge::text;
use crate::violation::{Violation, Violations};

/// Longest question, in characters.
pub const MAX_QUERY: usize = 10_000;
/// Longest answer, in characters.
pub const MAX_RESPONSE: usize = 100_000;
/// Longest comment, in characters.
pub const MAX_COMMENT: usize = 2_000;

/// An interaction that has passed its rules and is about to be stored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NewInteraction {
    /// Who answered.
    pub expert_id: Option<ExpertId>,
    /// The knowledge that was used.
    pub knowledge_id: Option<KnowledgeId>,
    /// The question.
    pub query: String,
    /// The answer; may be empty.
    pub response: String,
    /// What the asker thought of it.
    pub feedback: Option<Feedback>,
}

/// What somebody thought of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Feedback {
    /// From 1, useless, to 5, excellent.
    pub score: i32,
    /// In words.
    pub comment: Option<String>,
}

/// The fields of a new interaction as somebody sent them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InteractionDraft {
    /// Who answered.
    pub expert_id: Option<String>,
    /// The knowledge that was used.
    pub knowledge_id: Option<String>,
    /// The question.
    pub query: String,
    /// The answer.
    pub response: Option<String>,
    /// What the asker thought of it, 1 to 5.
    pub feedback_score: Option<i64>,
}

/// Feedback as somebody sent it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedbackDraft {
    /// From 1, useless, to 5, excellent.
    pub score: i64,
    /// In words.
    pub comment: Option<String>,
}

impl InteractionDraft {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<NewInteraction, Violations> {
        let mut faults = Violations::new();
        let expert_id = self.expert_id.and_then(|given| faults.take(id("/expert_id", &given)));
        let knowledge_id = self.knowledge_id.and_then(|given| faults.take(id("/knowledge_id", &given)));
        let query = faults.take(text("/query", &self.query, MAX_QUERY));
        let response = self.response.as_deref().unwrap_or_default();
        let response = faults.take(text_or_empty("/response", response, MAX_RESPONSE));
        let score = self.feedback_score.and_then(|given| faults.take(score("/feedback_score", given)));
        match (query, response) {
            (Some(query), Some(response)) if faults.is_empty() => {
                let feedback = score.map(|score| Feedback { score, comment: None });
                Ok(NewInteraction { expert_id, knowledge_id, query, response, feedback })
            }
            _ => Err(faults),
        }
    }
}

impl FeedbackDraft {
    /// Applies the rules.
    ///
    /// # Errors
    /// Every broken rule, each with its field.
    pub fn check(self) -> Result<Feedback, Violations> {
        let mut faults = Violations::new();
        let score = faults.take(score("/score", self.score));
        let comment = faults.take(optional_text("/comment", self.comment.as_deref(), MAX_COMMENT));
        match (score, comment) {
            (Some(score), Some(comment)) => Ok(Feedback { score, comment }),
            _ => Err(faults),
        }
    }
}

fn score(pointer: &str, given: i64) -> Result<i32, Violation> {
    let score = i32::try_from(given).ok().filter(|score| (1..=5).contains(score));
    score.ok_or_else(|| Violation::new(pointer, "out_of_range", "must be a whole number from 1 to 5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_at_once() {
        let draft = InteractionDraft {
            expert_id: Some("x".to_owned()),
            knowledge_id: Some("y".to_owned()),
            query: String::new(),
            response: Some("a\0".to_owned()),
            feedback_score: Some(6),
        };
        let faults = draft.check().unwrap_err();
        let pointers: Vec<_> = faults.as_slice().iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(pointers, ["/expert_id", "/knowledge_id", "/query", "/response", "/feedback_score"]);
        let faults = FeedbackDraft { score: i64::MIN, comment: Some("\0x".to_owned()) }.check().unwrap_err();
        assert_eq!(faults.as_slice().len(), 2);
    }
}
