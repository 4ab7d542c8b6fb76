//! /domains: what knowledge, tasks and experts are sorted by.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

use chrono::{DateTime, Utc};
use kos_model::DomainId;
use kos_repository::DomainRecord;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::ApiError;

/// Which domains.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DomainsQuery {
    /// With this in their name, in capitals or not.
    #[param(example = "py")]
    q: Option<String>,
    /// `name` or `created_at`, with `-` before it from the last to the first; `name` when not given.
    sort: Option<String>,
    /// How many items, 1 to 200; 50 when not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next_cursor` of the page before, in the same order.
    cursor: Option<String>,
}

/// What becomes of what belongs to the domain.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Heir {
    /// Its knowledge, tasks and experts go to this domain.
    #[param(value_type = Option<String>, format = Uuid)]
    move_to: Option<String>,
}

/// A domain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DomainView {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    id: DomainId,
    /// Its name, which no other domain has.
    #[schema(example = "python")]
    name: String,
    /// What it is about; may be empty.
    description: String,
    /// After how many days what we are sure of counts half; null where knowledge does not age.
    half_life_days: Option<f64>,
    /// Pieces of knowledge in it.
    knowledge: i64,
    /// Tasks in it.
    tasks: i64,
    /// Experts who know it.
    experts: i64,
    /// Counts its changes, from 1; the ETag.
    version: i32,
    /// When it was added.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<DomainRecord> for DomainView {
    fn from(record: DomainRecord) -> Self {
        Self {
            id: record.id,
            name: record.name,
            description: record.description,
            half_life_days: record.half_life_days,
            knowledge: record.knowledge,
            tasks: record.tasks,
            experts: record.experts,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        }
    }
}

fn no_such(id: DomainId) -> ApiError {
    ApiError::NotFound(format!("no domain has the id {id}"))
}
