//! Examples of what operations are sent and what they answer: recorded from the service itself, by the test that also
//! holds them to what it says now (`tests/api/examples.rs`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, RefOr};

const RECORDED: &str = include_str!("examples.json");

/// What one operation was sent, and what it answered with each status.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Example {
    request: Option<Value>,
    responses: BTreeMap<String, Value>,
}

/// All of them, by the names of their operations.
#[derive(Debug, Default)]
pub(super) struct Examples(BTreeMap<String, Example>);

impl Examples {
    /// A file that cannot be read holds none, which the test finds out.
    pub(super) fn recorded() -> Self {
        Self(serde_json::from_str(RECORDED).unwrap_or_default())
    }

    /// Adds those of an operation to its description.
    pub(super) fn add_to(&self, operation: &mut Operation) {
        let Some(example) = operation.operation_id.as_ref().and_then(|name| self.0.get(name)) else { return };
        if let (Some(RefOr::T(body)), Some(request)) = (&mut operation.request_body, &example.request) {
            body.content.values_mut().for_each(|content| set(content, request));
        }
        for (status, answer) in &example.responses {
            if let Some(RefOr::T(response)) = operation.responses.responses.get_mut(status) {
                response.content.values_mut().for_each(|content| set(content, answer));
            }
        }
    }
}

fn set(content: &mut RefOr<Content>, example: &Value) {
    if let RefOr::T(content) = content {
        content.example = Some(example.clone());
    }
}
