//! The API's description, for programs (`/openapi.json`, OpenAPI 3.1) and for people (`/docs/`).

mod examples;
mod outbound;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use self::examples::Examples;
use crate::routes::{
    deliveries, domains, events, experts, graph, interactions, knowledge, links, replays, search, stats, system, tasks,
    webhooks,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Knowledge OS",
        description = "A team's knowledge base and its door to the world: a REST API in, webhooks and reports out.\n\n\
                       Send the API key as `X-API-Key` or as a bearer token. Every error is `application/problem+json` \
                       and names the field and the remedy.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        system::root, system::health, system::livez, system::readyz, system::metrics, stats::stats,
        knowledge::create::handler, knowledge::list::handler, knowledge::get::handler, knowledge::update::handler,
        knowledge::delete::handler, knowledge::restore::handler, knowledge::verify::handler,
        knowledge::history::handler, knowledge::revert::handler, knowledge::duplicates::handler,
        knowledge::batch::handler, knowledge::export::handler, knowledge::import::handler, search::handler,
        domains::create::handler, domains::list::handler, domains::get::handler, domains::update::handler,
        domains::delete::handler,
        experts::create::handler, experts::list::handler, experts::get::handler, experts::update::handler,
        experts::delete::handler,
        tasks::create::handler, tasks::list::handler, tasks::get::handler, tasks::update::handler,
        tasks::delete::handler,
        interactions::create::handler, interactions::list::handler, interactions::get::handler,
        interactions::feedback::handler, interactions::delete::handler,
        links::create::handler, links::list::handler, links::batch::handler, links::get::handler,
        links::update::handler, links::delete::handler,
        graph::neighborhood::handler, graph::path::handler, graph::subgraph::handler, graph::stats::handler,
        graph::export::handler, graph::suggestions::handler, graph::accept::handler, graph::dismiss::handler,
        events::create::handler, events::batch::handler, events::list::handler, events::get::handler,
        events::types::handler,
        webhooks::create::handler, webhooks::list::handler, webhooks::get::handler, webhooks::update::handler,
        webhooks::delete::handler, webhooks::logs::handler, webhooks::health::handler, webhooks::test::handler,
        webhooks::preview::handler, webhooks::pause::handler, webhooks::resume::handler, webhooks::replay::handler,
        webhooks::rotate::handler, replays::get::handler, replays::cancel::handler,
        deliveries::list::handler, deliveries::get::handler, deliveries::retry::handler, deliveries::cancel::handler,
    ),
    components(schemas(crate::problem::Problem)),
    security(("api_key" = []), ("bearer" = [])),
    modifiers(&Common),
)]
struct Document;

/// What every operation has in common: its name, who may call it, and the problems that any may answer.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        components.add_security_scheme("api_key", key);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        for (status, description) in PROBLEMS {
            components.responses.insert(format!("Problem{status}"), RefOr::T(problem(description)));
        }
        let examples = Examples::recorded();
        document.webhooks = Some(outbound::webhooks(&examples));
        for (path, item) in &mut document.paths.paths {
            let operations = [
                ("get", &mut item.get),
                ("post", &mut item.post),
                ("put", &mut item.put),
                ("patch", &mut item.patch),
                ("delete", &mut item.delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    operation.operation_id = Some(operation_id(method, path));
                    complete(operation);
                    examples.add_to(operation);
                }
            }
        }
    }
}

/// Problems that more than one operation answers, and when.
const PROBLEMS: [(u16, &str); 6] = [
    (400, "The request cannot be read: an id, a parameter or the body is malformed"),
    (401, "A valid API key is needed"),
    (408, "The body did not arrive in time"),
    (413, "The body is too large"),
    (415, "The body must be JSON: set Content-Type"),
    (503, "The database is not available, or the service too busy: try again after Retry-After"),
];

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

fn complete(operation: &mut Operation) {
    // Those that say `security(())` ask for nothing.
    let is_open = operation.security.is_some();
    let has_body = operation.request_body.is_some();
    let has_input = has_body || operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty());
    for (status, _) in PROBLEMS {
        let is_answered = match status {
            400 => has_input,
            408 | 413 | 415 => has_body,
            _ => !is_open,
        };
        if is_answered {
            let reference = RefOr::Ref(Ref::from_response_name(format!("Problem{status}")));
            operation.responses.responses.entry(status.to_string()).or_insert(reference);
        }
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            let status = StatusCode::from_bytes(status.as_bytes()).unwrap_or_default();
            response.description = status.canonical_reason().unwrap_or_default().to_owned();
        }
    }
}

/// `get_webhooks_id_logs`: handlers are all called the same, so operations are named by their places.
fn operation_id(method: &str, path: &str) -> String {
    let place = path.replace(['{', '}'], "").replace('/', "_");
    format!("{method}{}", if place == "_" { "_root" } else { &place })
}

/// The API's description.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The pages under `/docs/`; everything they need is compiled in.
pub(crate) fn swagger() -> SwaggerUi {
    // Without a word it would ask a server of its maker's whether the description is valid.
    SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", openapi()).config(Config::default().validator_url("none"))
}

pub(crate) async fn redirect() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}
