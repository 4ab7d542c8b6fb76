//! GET /tasks

use actix_web::{HttpResponse, web};
use kos_model::field::{id, time, word};
use kos_model::{TaskPriority, TaskStatus, Violations};
use kos_repository::{TaskFilter, TaskRecord};

use super::{TaskView, TasksQuery};
use crate::page::Page;
use crate::problem::Result;
use crate::query::QueryString;
use crate::sorted::Sorting;
use crate::state::State;

/// Lists tasks.
#[utoipa::path(
    get, path = "/tasks", tag = "people and work", params(TasksQuery),
    responses(
        (status = 200, description = "A page of them", body = Page<TaskView>),
        (status = 422, description = "A parameter breaks rules", body = crate::problem::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn handler(state: web::Data<State>, query: QueryString<TasksQuery>) -> Result<HttpResponse> {
    let query = query.0;
    let mut faults = Violations::new();
    let filter = TaskFilter {
        status: query.status.and_then(|given| faults.take(word("status", &given, TaskStatus::WORDS))),
        priority: query.priority.and_then(|given| faults.take(word("priority", &given, TaskPriority::WORDS))),
        assignee_id: query.assignee_id.and_then(|given| faults.take(id("assignee_id", &given))),
        domain_id: query.domain_id.and_then(|given| faults.take(id("domain_id", &given))),
        due_before: query.due_before.and_then(|given| faults.take(time("due_before", &given))),
        overdue: query.overdue.and_then(|given| faults.take(word("overdue", &given, &["true", "false"]))),
    };
    let sorting = Sorting { sort: query.sort, limit: query.limit, cursor: query.cursor };
    let page = sorting.check(TaskRecord::SORTS, "-created_at", faults)?;
    let (repository, part) = (state.repository.clone(), page.part());
    let rows = state.run(async move { Ok(repository.task_list(&filter, &part).await?) }).await?;
    Ok(HttpResponse::Ok().json(page.page(rows, |row| row.id.0, TaskView::from)))
}
