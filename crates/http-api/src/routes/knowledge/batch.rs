//! POST /knowledge/batch

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use kos_model::knowledge::NewKnowledge;
use kos_model::{KnowledgeId, Violation, Violations, json};
use kos_repository::Stored;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::CreateKnowledge;
use crate::creation::{Creation, IdempotencyKey, judged};
use crate::problem::{ApiError, FieldError, Result, field_errors};
use crate::state::State;

/// Most items of one call.
const MAX_ITEMS: usize = 1_000;
/// Largest body, in bytes.
const MAX_BYTES: usize = 32 << 20;

/// Several pieces of knowledge.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateKnowledgeBatch {
    /// The items, 1 to 1,000.
    #[schema(value_type = Vec<CreateKnowledge>)]
    items: Vec<Box<RawValue>>,
}

/// What became of each item.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KnowledgeBatch {
    /// One for each item, in their order.
    results: Vec<KnowledgeResult>,
    /// Their ids in the same order; null for those that failed.
    #[schema(value_type = Vec<Option<String>>)]
    ids: Vec<Option<KnowledgeId>>,
}

/// What became of one item.
#[derive(Debug, Serialize, ToSchema)]
struct KnowledgeResult {
    /// Its place among the items, from 0.
    index: usize,
    /// `created`, `duplicate` or `failed`.
    status: &'static str,
    /// Its id, or that of the one with the same text that was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    id: Option<KnowledgeId>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ItemProblem>,
}

/// What is wrong with one item.
#[derive(Debug, Serialize, ToSchema)]
struct ItemProblem {
    /// The HTTP status that it would have had by itself.
    status: u16,
    /// The kind of problem, for programs.
    #[schema(example = "validation_failed")]
    code: &'static str,
    /// What is wrong and what to do about it.
    detail: String,
    /// Every broken rule, with its field within the body.
    errors: Vec<FieldError>,
}

/// Adds several pieces of knowledge at once. Each is judged by itself: what is refused does not keep the others out. Those
/// that are new are stored in one transaction with an event each (`knowledge_created`).
#[utoipa::path(
    post, path = "/knowledge/batch", tag = "knowledge", request_body = CreateKnowledgeBatch,
    params(IdempotencyKey),
    responses(
        (status = 200, description = "Each item's fate", body = KnowledgeBatch),
        (status = 409, description = "A request with this key is under way (`idempotency_key_busy`)", body = crate::problem::Problem, content_type = "application/problem+json"),
        (status = 422, description = "The body breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(
    state: web::Data<State>,
    request: Creation<CreateKnowledgeBatch, MAX_BYTES>,
) -> Result<HttpResponse> {
    let items = request.body.items;
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        return Err(Violation::new("/items", "out_of_range", "must hold 1 to 1000 items: split it").into());
    }
    let checked: Vec<_> = items.iter().enumerate().map(|(index, item)| check(index, item)).collect();
    drop(items);
    let (good, faults) = split(checked);
    let render = move |stored| judged(StatusCode::OK, &KnowledgeBatch::of(&faults, stored));
    state.create(good, request.idempotency, render).await
}

/// An item that may be stored, or everything that is wrong with it, by its place in the body.
fn check(index: usize, item: &RawValue) -> std::result::Result<NewKnowledge, Violations> {
    let read = json::read::<CreateKnowledge>(item.get().as_bytes()).map_err(|fault| fault.into_violation().into());
    read.and_then(|item| item.draft().check()).map_err(|faults: Violations| {
        let mut placed = Violations::new();
        for fault in faults.as_slice() {
            placed.push(Violation { pointer: format!("/items/{index}{}", fault.pointer), ..fault.clone() });
        }
        placed
    })
}

/// The good ones, and for each item what is wrong with it.
fn split(checked: Vec<std::result::Result<NewKnowledge, Violations>>) -> (Vec<NewKnowledge>, Vec<Option<Violations>>) {
    let mut good = Vec::with_capacity(checked.len());
    let judged = checked.into_iter().map(|item| item.map(|new| good.push(new)).err()).collect();
    (good, judged)
}

impl KnowledgeBatch {
    fn of(faults: &[Option<Violations>], stored: Vec<Stored>) -> Self {
        let mut stored = stored.into_iter();
        let result = |(index, faults): (usize, &Option<Violations>)| match faults {
            Some(faults) => KnowledgeResult::failed(index, faults),
            None => KnowledgeResult::stored(index, stored.next()),
        };
        let results: Vec<KnowledgeResult> = faults.iter().enumerate().map(result).collect();
        let ids = results.iter().map(|result| result.id).collect();
        Self { results, ids }
    }
}

impl KnowledgeResult {
    fn failed(index: usize, faults: &Violations) -> Self {
        let error = ItemProblem {
            status: 422,
            code: "validation_failed",
            detail: ApiError::Invalid(faults.clone()).to_string(),
            errors: field_errors(faults.as_slice()),
        };
        Self { index, status: "failed", id: None, error: Some(error) }
    }

    fn stored(index: usize, stored: Option<Stored>) -> Self {
        let status = match stored {
            Some(Stored::Created(_)) => "created",
            Some(Stored::Duplicate(_)) => "duplicate",
            None => "failed",
        };
        Self { index, status, id: stored.map(|stored| stored.id()), error: None }
    }
}
