//! The examples in the description are what the service is sent and what it answers.
//!
//! `make examples` records them anew, in `src/docs/examples.json`.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use kos_test_support::receiver::Answer;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::bench::{Bench, KEY, Reply};

/// Answers that are no JSON and too long, or another every time.
const WITHOUT: [&str; 4] = ["get_metrics", "get_livez", "get_readyz", "get_graph_export"];

/// Messages that the tour does not bring about.
const UNTOLD: [&str; 3] = ["on_daily_report", "on_weekly_report", "on_webhook_"];

/// A tour through the whole API; the first request of each operation and its first answer of each status are kept.
struct Tour {
    bench: Bench,
    kept: Map<String, Value>,
}

impl Tour {
    async fn ask(&mut self, method: &str, path: &str, body: Option<Value>) -> Value {
        let request = TestRequest::default().method(method.to_uppercase().parse().unwrap()).uri(path);
        let request = request.insert_header(("x-api-key", KEY));
        let request = match &body {
            Some(Value::String(lines)) => {
                request.insert_header(("content-type", "application/x-ndjson")).set_payload(lines.clone())
            }
            Some(body) => request.set_json(body),
            None => request,
        };
        let reply = self.bench.send(request).await;
        assert!(reply.status.is_success(), "{method} {path}: {} {}", reply.status, reply.text);
        self.keep(&operation(method, path), body, &reply)
    }

    fn keep(&mut self, operation: &str, request: Option<Value>, reply: &Reply) -> Value {
        let answer = serde_json::from_str(&reply.text).unwrap_or_else(|_| Value::String(reply.text.clone()));
        let kept = self.kept.entry(operation).or_insert_with(|| json!({"responses": {}}));
        if let (Some(request), Value::Null) = (request, &kept["request"]) {
            kept["request"] = request;
        }
        if reply.status != StatusCode::NO_CONTENT && kept["responses"][reply.status.as_str()].is_null() {
            kept["responses"][reply.status.as_str()] = answer.clone();
        }
        answer
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        self.ask("post", path, Some(body)).await
    }

    async fn call(&mut self, path: &str) -> Value {
        self.ask("post", path, None).await
    }

    async fn patch(&mut self, path: &str, body: Value) -> Value {
        self.ask("patch", path, Some(body)).await
    }

    async fn get(&mut self, path: &str) -> Value {
        self.ask("get", path, None).await
    }

    /// Creates one of a collection, lists and reads it, and changes it.
    async fn live(&mut self, path: &str, body: Value, change: Value) -> String {
        let id = id(&self.post(path, body).await);
        let one = format!("{path}/{id}");
        self.get(&one).await;
        self.patch(&one, change).await;
        self.get(&format!("{path}?limit=1")).await;
        id
    }
}

/// As the description names it.
fn operation(method: &str, path: &str) -> String {
    let place = path.split('?').next().unwrap();
    let parts = place.split('/').skip(1).map(|part| if part.parse::<Uuid>().is_ok() { "id" } else { part });
    let parts: Vec<&str> = parts.map(|part| if part.is_empty() { "root" } else { part }).collect();
    format!("{method}_{}", parts.join("_"))
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap_or_else(|| panic!("no id: {answer}")).to_owned()
}

/// Knowledge, and the people who work with it.
async fn base(tour: &mut Tour) -> (String, String) {
    let about = json!({"name": "python", "description": "The language and its tools", "half_life_days": 365});
    let domain = tour.live("/domains", about, json!({"description": "The language, its tools, its habits"})).await;
    let expert = json!({
        "name": "Виктория", "role": "Team Lead", "email": "victoria@example.org",
        "bio": "Keeps the release process", "domain_ids": [domain],
    });
    let expert = tour.live("/experts", expert, json!({"role": "Head of Development"})).await;
    let first = json!({
        "title": "async/await", "content": "Use asyncio.gather to run coroutines at once", "domain": "python",
        "confidence_score": 0.9, "source_ref": "https://docs.example.org/asyncio", "tags": ["async", "howto"],
        "lang": "en", "metadata": {"reviewed_by": "Виктория"},
    });
    let item = tour.live("/knowledge", first, json!({"tags": ["async"], "confidence_score": 0.95})).await;
    let said = "Use asyncio.gather to run coroutines at once";
    tour.post("/knowledge", json!({"content": said})).await;
    let items = json!({"items": [
        {"title": "Coroutines", "content": "A coroutine is run by the event loop", "domain": "python"},
        {"content": said},
        {"content": "Sure beyond measure", "confidence_score": 7},
    ]});
    tour.post("/knowledge/batch", items).await;
    tour.call(&format!("/knowledge/{item}/verify")).await;
    tour.get(&format!("/knowledge/{item}/history?limit=2")).await;
    tour.post(&format!("/knowledge/{item}/revert"), json!({"version": 1})).await;
    tour.ask("delete", &format!("/knowledge/{item}"), None).await;
    tour.call(&format!("/knowledge/{item}/restore")).await;
    let long = "Each release is built from a tag, tested on two machines, signed by whoever made it, and announced";
    for end in ["to the team in the morning", "to the team in the morning."] {
        tour.post("/knowledge", json!({"content": format!("{long} {end}")})).await;
    }
    let lines = tour.get("/knowledge/export?domain=python").await;
    tour.post("/knowledge/import", lines).await;
    (item, expert)
}

/// The tour's items, the newest first.
async fn items(tour: &mut Tour) -> Vec<String> {
    tour.get("/knowledge").await["data"].as_array().unwrap().iter().map(id).collect()
}

async fn graph(tour: &mut Tour, item: &str) {
    let others: Vec<String> = items(tour).await.into_iter().filter(|other| other != item).collect();
    tour.get(&format!("/knowledge/{}/duplicates", others[0])).await;
    let link = json!({"target_id": others[2], "kind": "depends_on", "weight": 0.8, "note": "explains the words"});
    let links = format!("/knowledge/{item}/links");
    let made = id(&tour.post(&links, link.clone()).await);
    tour.post(&links, link).await;
    let batch = json!({"links": [
        {"source_id": others[2], "target_id": others[0], "kind": "related_to", "weight": 0.4},
        {"source_id": item, "target_id": item, "kind": "related_to"},
    ]});
    tour.post("/links/batch", batch).await;
    tour.get(&format!("/links/{made}")).await;
    tour.patch(&format!("/links/{made}"), json!({"weight": 0.9})).await;
    tour.get(&links).await;
    tour.get(&format!("/graph/neighborhood?id={item}&depth=2&degrees=true")).await;
    tour.get(&format!("/graph/path?from={item}&to={}&weighted=true", others[0])).await;
    tour.get("/graph/subgraph?domain=python").await;
    tour.get("/graph/stats").await;
    tour.get(&format!("/graph/suggestions?id={}", others[0])).await;
    let accepted = json!({"source_id": others[0], "target_id": others[1], "kind": "duplicate_of", "weight": 1});
    tour.post("/graph/suggestions/accept", accepted.clone()).await;
    tour.post("/graph/suggestions/accept", accepted).await;
    tour.post("/graph/suggestions/dismiss", json!({"source_id": item, "target_id": others[1]})).await;
}

async fn work(tour: &mut Tour, item: &str, expert: &str) {
    let task = json!({
        "title": "Describe the release process", "description": "So that anybody can do it", "priority": "high",
        "assignee_id": expert, "due_at": "2030-01-01T00:00:00Z",
    });
    tour.live("/tasks", task, json!({"status": "completed"})).await;
    let talk = json!({
        "query": "How do I run two coroutines at once?", "response": "With asyncio.gather", "expert_id": expert,
        "knowledge_id": item,
    });
    let talk = id(&tour.post("/interactions", talk).await);
    tour.get(&format!("/interactions/{talk}")).await;
    tour.ask("put", &format!("/interactions/{talk}/feedback"), Some(json!({"score": 5, "comment": "Just right"})))
        .await;
    tour.get("/interactions?limit=1").await;
    tour.post("/search", json!({"query": "coroutnes at once", "facets": true, "explain": true, "limit": 1})).await;
}

async fn messages(tour: &mut Tour) {
    tour.get("/event-types").await;
    let hook = json!({
        "webhook_type": "custom", "name": "Billing", "url": tour.bench.receiver.url("/hook"), "events": ["invoice_paid"],
        "policy": {"retry_schedule": []},
    });
    let hook = tour.live("/webhooks", hook, json!({"name": "Billing, new"})).await;
    let hook = format!("/webhooks/{hook}");
    let event = json!({"event_type": "invoice_paid", "payload": {"invoice": 7, "message": "Invoice 7 is paid"}});
    tour.post(&format!("{hook}/preview"), event.clone()).await;
    tour.call(&format!("{hook}/test")).await;
    tour.bench.receiver.answer_once(Answer::new(500, "out of order"));
    let told = id(&tour.post("/events", event.clone()).await);
    tour.bench.receiver.next().await;
    tour.bench.receiver.next().await;
    tour.bench.recorded().await;
    tour.post("/events/batch", json!({"events": [event, {"event_type": "no name"}]})).await;
    tour.bench.receiver.next().await;
    tour.bench.recorded().await;
    let event = tour.get(&format!("/events/{told}")).await;
    tour.get("/events?limit=1").await;
    let dead = id(&tour.get("/deliveries?state=ended").await["data"][0]);
    tour.get(&format!("/deliveries/{dead}")).await;
    tour.call(&format!("/deliveries/{dead}/retry")).await;
    tour.call(&format!("/deliveries/{dead}/cancel")).await;
    tour.get(&format!("{hook}/logs?limit=1")).await;
    tour.get(&format!("{hook}/health")).await;
    tour.post(&format!("{hook}/secret/rotate"), json!({"overlap_seconds": 172800})).await;
    tour.call(&format!("{hook}/pause")).await;
    let since = json!({"since": event["created_at"], "events": ["invoice_*"]});
    let replay = id(&tour.post(&format!("{hook}/replay"), since).await);
    tour.get(&format!("/replays/{replay}")).await;
    tour.call(&format!("/replays/{replay}/cancel")).await;
    tour.post(&format!("{hook}/resume"), json!({"backlog": "skip"})).await;
}

/// What goes is told of as well.
async fn farewell(tour: &mut Tour, item: &str) {
    for status in ["in_progress", "failed"] {
        let task = id(&tour.post("/tasks", json!({"title": "Draw the deployment"})).await);
        tour.patch(&format!("/tasks/{task}"), json!({"status": status})).await;
        tour.ask("delete", &format!("/tasks/{task}"), None).await;
    }
    for (path, heir) in [("/domains", json!({"name": "languages"})), ("/experts", json!({"name": "Пётр"}))] {
        let one = id(&tour.get(path).await["data"][0]);
        let heir = id(&tour.post(path, heir).await);
        tour.ask("delete", &format!("{path}/{one}?move_to={heir}"), None).await;
    }
    let talk = id(&tour.get("/interactions").await["data"][0]);
    tour.ask("delete", &format!("/interactions/{talk}"), None).await;
    let links = tour.get(&format!("/knowledge/{item}/links")).await;
    tour.ask("delete", &format!("/links/{}", id(&links["data"][0])), None).await;
    for how in ["", "?purge=true"] {
        tour.ask("delete", &format!("/knowledge/{item}{how}"), None).await;
    }
}

/// What listeners were told on the way, the first of each kind.
async fn told(tour: &mut Tour) {
    let events = tour.get("/events?limit=200").await;
    for event in events["data"].as_array().unwrap().iter().rev() {
        let name = event["event_type"].as_str().unwrap();
        let message = json!({"event_type": name, "timestamp": event["created_at"], "payload": event["payload"]});
        tour.kept.entry(format!("on_{name}")).or_insert_with(|| json!({"request": message, "responses": {}}));
    }
    tour.kept.remove("on_invoice_paid");
}

/// Whether two values have the same fields, all the way down; where, if not.
fn differs(one: &Value, other: &Value, at: &str) -> Option<String> {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let missing =
                one.keys().chain(other.keys()).find(|key| !(one.contains_key(*key) && other.contains_key(*key)));
            missing
                .map(|key| format!("{at}/{key}"))
                .or_else(|| one.iter().find_map(|(key, value)| differs(value, &other[key], &format!("{at}/{key}"))))
        }
        (Value::Array(one), Value::Array(other)) => {
            let pairs = one.iter().zip(other).enumerate();
            pairs.into_iter().find_map(|(place, (one, other))| differs(one, other, &format!("{at}/{place}")))
        }
        (Value::Null, _) | (_, Value::Null) => None,
        (one, other) => (std::mem::discriminant(one) != std::mem::discriminant(other)).then(|| at.to_owned()),
    }
}

/// What the description has to say of each operation: its JSON or NDJSON, there and back.
fn described() -> Map<String, Value> {
    let document: Value = serde_json::from_str(&kos_http_api::openapi().to_json().unwrap()).unwrap();
    let mut all = Map::new();
    let parts = ["paths", "webhooks"].iter().flat_map(|part| document[part].as_object().unwrap().values());
    for operation in parts.flat_map(|item| item.as_object().unwrap().values()) {
        let example = |body: &Value| {
            let content = body["content"].as_object()?.values().next()?;
            Some(content.get("example").cloned().unwrap_or_default())
        };
        let statuses = operation["responses"].as_object().unwrap().iter().filter(|(status, _)| status.starts_with('2'));
        let responses: Map<String, Value> =
            statuses.filter_map(|(status, response)| Some((status.clone(), example(response)?))).collect();
        let mut entry = json!({"responses": responses});
        if let Some(request) = example(&operation["requestBody"]) {
            entry["request"] = request;
        }
        all.insert(operation["operationId"].as_str().unwrap().to_owned(), entry);
    }
    all
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the test says so")]
fn is_recording() -> bool {
    std::env::var_os("RECORD_EXAMPLES").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_what_the_service_is_sent_and_answers() {
    let mut tour = Tour { bench: Bench::new().await, kept: Map::new() };
    let (item, expert) = base(&mut tour).await;
    graph(&mut tour, &item).await;
    work(&mut tour, &item, &expert).await;
    messages(&mut tour).await;
    for path in ["/", "/health", "/stats"] {
        tour.get(path).await;
    }
    farewell(&mut tour, &item).await;
    told(&mut tour).await;
    let here = tour.bench.receiver.url("");
    let kept = serde_json::to_string_pretty(&tour.kept).unwrap().replace(&here, "https://billing.example.org");
    if is_recording() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/examples.json");
        std::fs::write(file, format!("{kept}\n")).unwrap();
        return;
    }
    let kept: Map<String, Value> = serde_json::from_str(&kept).unwrap();
    for (operation, described) in described() {
        let answers = described["responses"].as_object().unwrap();
        if WITHOUT.contains(&operation.as_str()) || answers.is_empty() && described.get("request").is_none() {
            continue;
        }
        // Reports, and what is told of webhooks, come in their time.
        if UNTOLD.iter().any(|name| operation.starts_with(name)) {
            continue;
        }
        let Some(kept) = kept.get(&operation) else { panic!("the tour leaves out {operation}") };
        let found = differs(kept, &described, &operation);
        assert!(found.is_none(), "{found:?}: make examples records them anew");
        let empty = answers.values().chain(described.get("request")).any(Value::is_null);
        assert!(!empty, "{operation} lacks an example: make examples records it");
    }
    tour.bench.finish().await;
}
