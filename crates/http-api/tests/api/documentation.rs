//! The description says what is served, and what is served is described.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use serde_json::Value;

use crate::bench::{Bench, KEY};

fn document() -> Value {
    serde_json::from_str(&kos_http_api::openapi().to_json().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_description_is_served() {
    let bench = Bench::new().await;
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| ["get", "post", "put", "patch", "delete"].contains(&key.as_str()))
        {
            let uri = path.replace("{id}", "01900000-0000-7000-8000-000000000000");
            let request = TestRequest::default().method(method.to_uppercase().parse().unwrap()).uri(&uri);
            let reply = bench.send(request.insert_header(("x-api-key", KEY))).await;
            let unserved = reply.status == StatusCode::METHOD_NOT_ALLOWED || reply.text.contains("no such path");
            assert!(!unserved, "{method} {path}: {}", reply.text);
            operations += 1;
        }
    }
    assert_eq!(operations, 78, "a new operation is added here, to routes.rs and to docs.rs");
    bench.finish().await;
}

#[test]
fn operations_have_names_of_their_own_and_every_reference_leads_somewhere() {
    let document = document();
    let mut names: Vec<&str> = Vec::new();
    for item in document["paths"].as_object().unwrap().values() {
        names.extend(item.as_object().unwrap().values().filter_map(|operation| operation["operationId"].as_str()));
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
    assert_references(&document, &document);
}

#[test]
fn every_answer_is_described_and_every_problem_named() {
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            let described = responses.values().all(|response| {
                response["$ref"].is_string() || response["description"].as_str().is_some_and(|text| !text.is_empty())
            });
            assert!(described, "{method} {path}: {responses:?}");
            let is_guarded = operation.get("security").is_none();
            assert_eq!(responses.contains_key("401"), is_guarded, "{method} {path}");
            let reads = operation.get("requestBody").is_some();
            assert_eq!(responses.contains_key("413") && responses.contains_key("415"), reads, "{method} {path}");
            let parameters = operation["parameters"].as_array();
            let asks = parameters.is_some_and(|all| all.iter().any(|parameter| parameter["in"] == "query"));
            assert!(!asks || responses.contains_key("422"), "{method} {path} does not say what a wrong parameter gets");
        }
    }
}

#[test]
fn each_batch_describes_its_own_answers() {
    let document = document();
    let fields = |path: &str, status: &str| {
        let answer = &document["paths"][path]["post"]["responses"][status]["content"]["application/json"]["schema"];
        let named =
            |schema: &Value| document.pointer(schema["$ref"].as_str().unwrap().trim_start_matches('#')).cloned();
        named(&named(answer).unwrap()["properties"]["results"]["items"]).unwrap()
    };
    assert!(fields("/knowledge/batch", "200")["properties"]["index"].is_object());
    assert!(fields("/events/batch", "202")["oneOf"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_for_people_ask_nobody_else_and_are_readable_without_compression() {
    let bench = Bench::new().await;
    let script = bench.send(TestRequest::get().uri("/docs/swagger-ui.css")).await;
    assert_eq!((script.status, script.header("content-encoding")), (StatusCode::OK, ""));
    let page = bench.send(TestRequest::get().uri("/docs/swagger-initializer.js")).await;
    assert!(page.text.contains("\"validatorUrl\": \"none\""), "{}", page.text);
    bench.finish().await;
}

fn assert_references(value: &Value, document: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            }
            fields.values().for_each(|field| assert_references(field, document));
        }
        Value::Array(items) => items.iter().for_each(|item| assert_references(item, document)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_event_of_the_catalogue_is_described_as_a_webhook() {
    let webhooks = document()["webhooks"].clone();
    let events = kos_model::event::Known::ALL;
    assert_eq!(webhooks.as_object().unwrap().len(), events.len());
    for event in events {
        let message = &webhooks[event.as_str()]["post"]["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(message["properties"]["event_type"]["enum"], serde_json::json!([event.as_str()]));
    }
}
