//! /experts: who knows what.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

use chrono::{DateTime, Utc};
use kos_model::{DomainId, ExpertId};
use kos_repository::{ExpertRecord, NamedDomain};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::ApiError;

/// Which experts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExpertsQuery {
    /// With this in their name, in capitals or not.
    #[param(example = "vik")]
    q: Option<String>,
    /// Who know this domain.
    #[param(value_type = Option<String>, format = Uuid)]
    domain_id: Option<String>,
    /// `name` or `created_at`, with `-` before it from the last to the first; `name` when not given.
    sort: Option<String>,
    /// How many items, 1 to 200; 50 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next_cursor` of the page before, in the same order.
    cursor: Option<String>,
}

/// What becomes of what belongs to the expert.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Heir {
    /// Their tasks and interactions go to this expert.
    #[param(value_type = Option<String>, format = Uuid)]
    move_to: Option<String>,
}

/// An expert.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExpertView {
    /// The id.
    #[schema(value_type = String, format = Uuid)]
    id: ExpertId,
    /// The name.
    #[schema(example = "Виктория")]
    name: String,
    /// What they do; may be empty.
    #[schema(example = "Team Lead")]
    role: String,
    /// Where they can be written to.
    email: Option<String>,
    /// What else is worth knowing; may be empty.
    bio: String,
    /// The domains they know, by name.
    domains: Vec<NamedDomainView>,
    /// Counts the changes, from 1; the ETag.
    version: i32,
    /// When they joined.
    created_at: DateTime<Utc>,
    /// When they were last changed.
    updated_at: DateTime<Utc>,
}

/// A domain that an expert knows.
#[derive(Debug, Serialize, ToSchema)]
struct NamedDomainView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: DomainId,
    /// Its name.
    name: String,
}

impl From<NamedDomain> for NamedDomainView {
    fn from(domain: NamedDomain) -> Self {
        Self { id: domain.id, name: domain.name }
    }
}

impl From<ExpertRecord> for ExpertView {
    fn from(record: ExpertRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            role: record.role,
            email: record.email,
            bio: record.bio,
            domains: record.domains.into_iter().map(NamedDomainView::from).collect(),
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

fn no_such(id: ExpertId) -> ApiError {
    ApiError::NotFound(format!("no expert has the id {id}"))
}
