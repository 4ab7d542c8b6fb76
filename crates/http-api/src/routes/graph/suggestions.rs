//! GET /graph/suggestions

use actix_web::{HttpResponse, web};
use kos_model::{LinkKind, Violations};
use kos_repository::{Reason, Suggestion};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{NodeView, params};
use crate::problem::Result;
use crate::query::QueryString;
use crate::routes::links::no_such_item;
use crate::state::State;

const USUAL: u32 = 10;
const MOST: u32 = 50;

/// For which item.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SuggestionsQuery {
    /// The item.
    #[param(required = true, format = Uuid)]
    id: Option<String>,
    /// How many, 1 to 50; 10 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 50)]
    limit: Option<String>,
}

/// Links that might be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Suggestions {
    /// The surest first.
    data: Vec<SuggestionView>,
}

/// A link that might be.
#[derive(Debug, Serialize, ToSchema)]
struct SuggestionView {
    /// The other end.
    #[serde(flatten)]
    node: NodeView,
    /// The kind that is always right where there is any link at all.
    #[schema(example = "related_to")]
    kind: &'static str,
    /// How sure all the reasons together make us, 0 to 1.
    score: f64,
    /// Why.
    reasons: Vec<ReasonView>,
}

/// Why two items might be linked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
enum ReasonView {
    /// Both have these rare words.
    SharedWords {
        /// Their stems, the rarest first.
        words: Vec<String>,
        /// How sure that makes us, 0 to 1.
        score: f64,
    },
    /// The text of one has the title of the other.
    TitleMentioned {
        /// The title.
        title: String,
        /// How sure that makes us, 0 to 1.
        score: f64,
    },
    /// They were used for the same question, or by the same expert within half an hour.
    UsedTogether {
        /// How often.
        times: i64,
        /// How sure that makes us, 0 to 1.
        score: f64,
    },
}

/// Suggests links for an item: shared rare words, titles that are mentioned, items that are used together. What is
/// linked already, or was dismissed, is left out.
#[utoipa::path(
    get, path = "/graph/suggestions", tag = "graph", params(SuggestionsQuery),
    responses(
        (status = 200, body = Suggestions),
        (status = 404, description = "There is no such item", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<SuggestionsQuery>) -> Result<HttpResponse> {
    let mut faults = Violations::new();
    let id = faults.take(params::id("id", query.0.id.as_deref()));
    let limit = faults.take(params::number("limit", query.0.limit.as_deref(), USUAL, 1..=MOST));
    let (Some(id), Some(limit)) = (id, limit) else { return Err(faults.into()) };
    let (repository, most) = (state.repository.clone(), usize::try_from(limit).unwrap_or(usize::MAX));
    let found = state.run(async move { Ok(repository.suggestion_list(id, most).await?) }).await?;
    let found = found.ok_or_else(|| no_such_item(id))?;
    Ok(HttpResponse::Ok().json(Suggestions { data: found.into_iter().map(SuggestionView::from).collect() }))
}

impl From<Suggestion> for SuggestionView {
    fn from(suggestion: Suggestion) -> Self {
        Self {
            node: suggestion.node.into(),
            kind: LinkKind::RelatedTo.as_str(),
            score: suggestion.score,
            reasons: suggestion.reasons.into_iter().map(ReasonView::from).collect(),
        }
    }
}

impl From<Reason> for ReasonView {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::SharedWords { words, score } => Self::SharedWords { words, score },
            Reason::TitleMentioned { title, score } => Self::TitleMentioned { title, score },
            Reason::UsedTogether { times, score } => Self::UsedTogether { times, score },
        }
    }
}
