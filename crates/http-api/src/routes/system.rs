//! What tells people and machines that the service is there, and well.

use std::time::Instant;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::problem::{ApiError, Result};
use crate::state::State;

/// The service's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who answers here, and where to read on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Root {
    /// The service's name.
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// Where people read on.
    docs: &'static str,
    /// Where programs read on.
    openapi: &'static str,
    /// Where monitors look.
    health: &'static str,
}

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `pass` or `fail`.
    #[schema(example = "pass")]
    status: &'static str,
    /// The service's version.
    version: &'static str,
    /// `pass` or `fail`: whether the database answers.
    database: &'static str,
    /// How long the database took to answer, in milliseconds.
    database_ms: u64,
    /// Messages on their way now.
    in_flight: u32,
    /// How long the service has been running, in seconds.
    uptime_s: u64,
}

/// Says who answers here.
#[utoipa::path(get, path = "/", tag = "system", security(()), responses((status = 200, body = Root)))]
pub(crate) async fn root() -> HttpResponse {
    HttpResponse::Ok().json(Root {
        name: "Knowledge OS",
        version: VERSION,
        docs: "/docs/",
        openapi: "/openapi.json",
        health: "/health",
    })
}

/// Says how the service is: 200, or 503 when the database is away.
#[utoipa::path(
    get, path = "/health", tag = "system", security(()),
    responses((status = 200, body = Health), (status = 503, description = "The database is away", body = Health))
)]
pub(crate) async fn health(state: web::Data<State>) -> HttpResponse {
    let asked = Instant::now();
    let answers = ready(&state).await.is_ok();
    let status = if answers { "pass" } else { "fail" };
    let health = Health {
        status,
        version: VERSION,
        database: status,
        database_ms: u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX),
        in_flight: state.engine.in_flight(),
        uptime_s: state.started.elapsed().as_secs(),
    };
    if answers { HttpResponse::Ok().json(health) } else { HttpResponse::ServiceUnavailable().json(health) }
}

/// Says that the process runs, whatever the database does.
#[utoipa::path(get, path = "/livez", tag = "system", security(()), responses((status = 200)))]
pub(crate) async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "pass" }))
}

/// Says whether the service can take work: the database answers and is migrated.
#[utoipa::path(
    get, path = "/readyz", tag = "system", security(()),
    responses((status = 200), (status = 503, body = crate::problem::Problem, content_type = "application/problem+json"))
)]
pub(crate) async fn readyz(state: web::Data<State>) -> Result<HttpResponse> {
    ready(&state).await?;
    Ok(HttpResponse::Ok().json(json!({ "status": "pass" })))
}

/// The service's own figures, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "system",
    responses((status = 200, description = "Prometheus text format", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(state.metrics.render())
}

async fn ready(state: &State) -> Result<()> {
    let repository = state.repository.clone();
    let migrated = state.run(async move { Ok(repository.is_migrated().await?) }).await?;
    if migrated {
        Ok(())
    } else {
        Err(ApiError::Unavailable(std::sync::Arc::new(std::io::Error::other("the database is not migrated"))))
    }
}
