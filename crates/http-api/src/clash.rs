//! Refusals that depend on what is stored, with what programs need to go on.

use kos_model::{KnowledgeId, TaskStatus, Violation, Violations};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Why something cannot be done as things stand.
#[derive(Clone, Debug)]
pub struct Clash {
    /// The kind of problem, for programs.
    pub(crate) code: &'static str,
    /// What went wrong this time, and what to do about it.
    pub(crate) detail: String,
    /// The fields at fault.
    pub(crate) errors: Violations,
    /// Further members of the problem.
    pub(crate) members: Map<String, Value>,
}

impl Clash {
    fn new(code: &'static str, detail: String, members: &Value) -> Self {
        let members = members.as_object().cloned().unwrap_or_default();
        Self { code, detail, errors: Violations::new(), members }
    }

    fn at(mut self, pointer: String) -> Self {
        self.errors.push(Violation::new(pointer, self.code, self.detail.clone()));
        self
    }

    /// Another has this name already.
    pub(crate) fn taken(field: &str, by: Option<Uuid>) -> Self {
        let whose = by.map_or_else(|| "something else".to_owned(), |id| format!("{id}"));
        let detail = format!("this {field} is taken by {whose}: choose another, or change that one");
        Self::new("name_taken", detail, &json!({"existing_id": by})).at(format!("/{field}"))
    }

    /// Others need it.
    pub(crate) fn in_use(users: &[(&'static str, i64)]) -> Self {
        let counts: Map<String, Value> = users.iter().map(|(what, count)| ((*what).to_owned(), json!(count))).collect();
        let told: Vec<String> = users.iter().map(|(what, count)| format!("{what}: {count}")).collect();
        let detail = format!("it is in use ({}): say with ?move_to=… where that goes", told.join(", "));
        Self::new("in_use", detail, &json!({"used_by": counts}))
    }

    /// A request under the same key is under way.
    pub(crate) fn key_busy() -> Self {
        let detail = "a request with this Idempotency-Key is under way: send it again in a moment, with the same key";
        Self::new("idempotency_key_busy", detail.to_owned(), &json!({})).at("Idempotency-Key".to_owned())
    }

    /// Links of this kind may not run in a circle; the items of the one that would close, back to its first.
    pub(crate) fn cycle(cycle: &[KnowledgeId]) -> Self {
        let circle: Vec<String> = cycle.iter().map(ToString::to_string).collect();
        let detail = format!("links of this kind may not run in a circle: remove one of {}", circle.join(" → "));
        Self::new("cycle", detail, &json!({"cycle": cycle}))
    }

    /// A task's life does not go that way.
    pub(crate) fn transition(from: TaskStatus, to: TaskStatus) -> Self {
        let allowed: Vec<&str> = from.next().iter().map(|status| status.as_str()).collect();
        let detail = format!("a task that is {from} cannot become {to}: it can become {}", allowed.join(", "));
        Self::new("transition_refused", detail, &json!({"status": from.as_str(), "allowed": allowed}))
            .at("/status".to_owned())
    }
}
