//! What custom endpoints receive, described as the `webhooks` of OpenAPI 3.1.

use kos_model::event::Known;
use serde_json::json;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{ContentBuilder, PathItem, Required, ResponseBuilder};

use super::examples::Examples;

/// The headers of Standard Webhooks.
const HEADERS: [(&str, &str); 3] = [
    ("webhook-id", "Names the message; the same on every retry, so that a repeat is known"),
    ("webhook-timestamp", "When this attempt was made, in seconds since 1970"),
    ("webhook-signature", "`v1` and `v1a` signatures over id, timestamp and body, parted by spaces"),
];

/// Every event of the catalogue, by its name. Events of other names look the same.
pub(super) fn webhooks(examples: &Examples) -> Paths {
    let events = Known::ALL.iter().map(|event| {
        let mut operation = operation(*event).build();
        examples.add_to(&mut operation);
        (event.as_str(), PathItem::new(HttpMethod::Post, operation))
    });
    events.fold(PathsBuilder::new(), |paths, (name, item)| paths.path(name, item)).build()
}

fn operation(event: Known) -> OperationBuilder {
    let body = RequestBodyBuilder::new()
        .content("application/json", ContentBuilder::new().schema(Some(message(event))).build())
        .required(Some(Required::True));
    OperationBuilder::new()
        .operation_id(Some(format!("on_{}", event.as_str())))
        .tag("outbound events")
        .summary(Some(event.title_en()))
        .parameters(Some(HEADERS.map(header)))
        .request_body(Some(body.build()))
        .response("2XX", ResponseBuilder::new().description("Delivered. Anything else is tried again by the schedule."))
        .response("410", ResponseBuilder::new().description("The endpoint is gone: the webhook is switched off."))
}

fn header((name, description): (&str, &str)) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
        .build()
}

fn message(event: Known) -> ObjectBuilder {
    let name = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([event.as_str()]));
    let time = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples([json!("2025-12-14T12:00:00.000Z")]);
    let payload = ObjectBuilder::new().schema_type(Type::Object).description(Some("What happened, in its details"));
    ObjectBuilder::new()
        .property("event_type", name)
        .required("event_type")
        .property("timestamp", time)
        .required("timestamp")
        .property("payload", payload)
        .required("payload")
}
