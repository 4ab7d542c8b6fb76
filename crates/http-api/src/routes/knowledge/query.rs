//! The parameters of knowledge's routes.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::query::Repeats;

/// Which knowledge; every condition that is given must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct KnowledgeQuery {
    /// In the domain of this name.
    pub(super) domain: Option<String>,
    /// In this language.
    #[param(example = "ru")]
    pub(super) lang: Option<String>,
    /// At least so sure when it was written (`confidence_score`), 0 to 1.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 1)]
    pub(super) min_confidence: Option<String>,
    /// Confirmed by somebody, or not.
    #[param(value_type = Option<bool>)]
    pub(super) verified: Option<String>,
    /// Added then or later.
    pub(super) created_since: Option<String>,
    /// Added before.
    pub(super) created_until: Option<String>,
    /// Last changed then or later.
    pub(super) updated_since: Option<String>,
    /// `true` for what is in the bin, in the place of what is not.
    #[param(value_type = Option<bool>)]
    pub(super) deleted: Option<String>,
    /// `true` for what is linked with nothing, `false` for what is.
    #[param(value_type = Option<bool>)]
    pub(super) orphan: Option<String>,
    /// `created_at`, `updated_at` or `confidence`; with a leading `-` the greatest first. `-created_at` when not given.
    #[param(example = "-created_at")]
    pub(super) sort: Option<String>,
    /// How many items, 1 to 200; 50 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub(super) limit: Option<String>,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

impl Repeats for KnowledgeQuery {
    const NAME: &'static str = "tag";
}

/// How it is removed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteQuery {
    /// `true` to remove it for good with its history, also from the bin.
    #[param(value_type = Option<bool>)]
    pub(super) purge: Option<String>,
}

/// What to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// What was last changed then or later.
    pub(super) since: Option<String>,
    /// What is in the domain of this name.
    pub(super) domain: Option<String>,
}

/// How to import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportQuery {
    /// `true` to tell of every item that is new or changed (`knowledge_created`, `knowledge_updated`).
    #[param(value_type = Option<bool>)]
    pub(super) events: Option<String>,
}
