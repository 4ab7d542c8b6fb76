//! /interactions: what was asked and answered, and what the askers thought of it.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod feedback;
pub(crate) mod get;
pub(crate) mod list;

use chrono::{DateTime, Utc};
use kos_model::{ExpertId, InteractionId, KnowledgeId};
use kos_repository::InteractionRecord;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::ApiError;

/// Which interactions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InteractionsQuery {
    /// Of this expert.
    #[param(value_type = Option<String>, format = Uuid)]
    expert_id: Option<String>,
    /// In which this knowledge was used.
    #[param(value_type = Option<String>, format = Uuid)]
    knowledge_id: Option<String>,
    /// `true` for those with feedback, `false` for those without.
    #[param(value_type = Option<bool>)]
    has_feedback: Option<String>,
    /// Logged from then on …
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// … to before then.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
    /// `created_at`, or `-created_at` from the last to the first; `-created_at` when not given.
    sort: Option<String>,
    /// How many items, 1 to 200; 50 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next_cursor` of the page before, in the same order.
    cursor: Option<String>,
}

/// An interaction.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InteractionView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: InteractionId,
    /// Who answered.
    #[schema(value_type = Option<String>, format = Uuid)]
    expert_id: Option<ExpertId>,
    /// Their name.
    expert: Option<String>,
    /// The knowledge that was used.
    #[schema(value_type = Option<String>, format = Uuid)]
    knowledge_id: Option<KnowledgeId>,
    /// The question.
    query: String,
    /// The answer; may be empty.
    response: String,
    /// What the asker thought of it, from 1, useless, to 5, excellent; null until it is said.
    feedback_score: Option<i32>,
    /// The same in words.
    feedback_comment: Option<String>,
    /// When that was last said.
    feedback_at: Option<DateTime<Utc>>,
    /// When it was logged.
    created_at: DateTime<Utc>,
}

impl From<InteractionRecord> for InteractionView {
    fn from(record: InteractionRecord) -> Self {
        Self {
            id: record.id,
            expert_id: record.expert_id,
            expert: record.expert,
            knowledge_id: record.knowledge_id,
            query: record.query,
            response: record.response,
            feedback_score: record.feedback_score,
            feedback_comment: record.feedback_comment,
            feedback_at: record.feedback_at,
            created_at: record.created_at,
        }
    }
}

fn no_such(id: InteractionId) -> ApiError {
    ApiError::NotFound(format!("no interaction has the id {id}"))
}
