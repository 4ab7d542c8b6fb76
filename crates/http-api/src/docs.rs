//! The API's description, for programs (`/openapi.json`, OpenAPI 3.1) and for people (`/docs/`).

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::SwaggerUi;

use crate::routes::{deliveries, events, knowledge, replays, search, stats, system, webhooks};

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
        knowledge::create::handler, knowledge::get::handler, search::handler,
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
    modifiers(&Schemes),
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        components.add_security_scheme("api_key", key);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        for (path, item) in &mut document.paths.paths {
            let operations = [
                ("get", &mut item.get),
                ("post", &mut item.post),
                ("patch", &mut item.patch),
                ("delete", &mut item.delete),
            ];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    operation.operation_id = Some(operation_id(method, path));
                }
            }
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
    SwaggerUi::new("/docs/{_:.*}").url("/openapi.json", openapi())
}

pub(crate) async fn redirect() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}
