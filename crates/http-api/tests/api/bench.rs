//! The whole application on a database of the test's own.

use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::Bytes;
use chrono::{DateTime, Utc};
use kos_delivery::{Engine, Settings, Surroundings};
use kos_embeddings::Provider;
use kos_http_api::{ApiKey, State, app};
use kos_model::Locale;
use kos_repository::{KeyRing, Pulse, Repository};
use kos_test_support::{Receiver, TestDb};
use kos_webhooks::{EgressPolicy, Limits, Platforms, Sender};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;

pub(crate) const KEY: &str = "your-secret-api-key";

pub(crate) struct Bench {
    pub(crate) db: TestDb,
    pub(crate) repository: Repository,
    pub(crate) receiver: Receiver,
    engine: Engine,
    state: State,
}

/// An answer, as the caller sees it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The fields that a problem names.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::on_platforms(Platforms::default()).await
    }

    /// With a server-wide bot.
    pub(crate) async fn with_telegram_bot(token: &str) -> Self {
        Self::on_platforms(Platforms { telegram_bot_token: Some(token.into()), ..Platforms::default() }).await
    }

    async fn on_platforms(platforms: Platforms) -> Self {
        let db = TestDb::new().await;
        let repository = Repository::new(db.url(), 8, KeyRing::new(&[vec![1; 32]]).unwrap()).await.unwrap();
        let receiver = Receiver::start().await;
        let here = Some(receiver.url("").parse().unwrap());
        let platforms = Platforms {
            slack_api_url: here.clone(),
            discord_api_url: here.clone(),
            telegram_api_url: here,
            ..platforms
        };
        let egress = EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..EgressPolicy::default() };
        let sender = Sender::new(platforms, egress, Limits::default()).unwrap();
        let surroundings = Surroundings { now, jitter: || 0.5 };
        let engine = Engine::new(repository.clone(), sender, Settings::default(), surroundings).await.unwrap();
        let state = State {
            repository: repository.clone(),
            embeddings: None,
            pulse: Arc::new(Pulse::feel(db.url())),
            engine: engine.handle(),
            api_key: ApiKey::new(&KEY.into()),
            locale: Locale::Ru,
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            runtime: tokio::runtime::Handle::current(),
            started: Instant::now(),
            now,
        };
        Self { db, repository, receiver, engine, state }
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: TestRequest) -> Reply {
        self.answer(request, None).await
    }

    async fn answer(&self, request: TestRequest, payload: Option<Payload>) -> Reply {
        let service = init_service(app(self.state.clone())).await;
        let mut request = request.to_request();
        if let Some(payload) = payload {
            request = request.replace_payload(payload).0;
        }
        let response = call_service(&service, request).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = String::from_utf8_lossy(&read_body(response).await).into_owned();
        Reply { status, headers, text }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(TestRequest::get().uri(path).insert_header(("x-api-key", KEY))).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(TestRequest::delete().uri(path).insert_header(("x-api-key", KEY))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(TestRequest::post().uri(path).insert_header(("x-api-key", KEY)).set_json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.send(TestRequest::patch().uri(path).insert_header(("x-api-key", KEY)).set_json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(TestRequest::put().uri(path).insert_header(("x-api-key", KEY)).set_json(body)).await
    }

    /// Changes what was read under this ETag.
    pub(crate) async fn patch_if(&self, path: &str, body: &Value, etag: &str) -> Reply {
        let request = TestRequest::patch().uri(path).insert_header(("x-api-key", KEY));
        self.send(request.insert_header(("if-match", etag)).set_json(body)).await
    }

    /// Creates something; returns its path.
    pub(crate) async fn create(&self, path: &str, body: &Value) -> String {
        let created = self.post(path, body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{path} {body}: {}", created.text);
        created.header("location").to_owned()
    }

    /// The values of a field in a whole list, read page by page.
    pub(crate) async fn listed(&self, path: &str, limit: usize, field: &str) -> Vec<Value> {
        let (mut values, mut cursor) = (Vec::new(), String::new());
        loop {
            let glue = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{glue}limit={limit}{cursor}")).await;
            assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text);
            let page = page.json();
            values.extend(page["data"].as_array().unwrap().iter().map(|item| item[field].clone()));
            assert_eq!(page["has_more"].as_bool().unwrap(), page["next_cursor"].is_string());
            let Some(next) = page["next_cursor"].as_str() else { return values };
            cursor = format!("&cursor={next}");
        }
    }

    /// What was told so far: names and payloads, oldest first.
    pub(crate) async fn told(&self) -> Vec<(String, Value)> {
        let events = self.get("/events?limit=200").await.json();
        let tell = |event: &Value| (event["event_type"].as_str().unwrap().to_owned(), event["payload"].clone());
        events["data"].as_array().unwrap().iter().rev().map(tell).collect()
    }

    /// Lines of JSON.
    pub(crate) async fn post_lines(&self, path: &str, lines: impl Into<Bytes>) -> Reply {
        let request = TestRequest::post().uri(path).insert_header(("x-api-key", KEY));
        self.send(request.insert_header(("content-type", "application/x-ndjson")).set_payload(lines)).await
    }

    /// A body of lines that comes in pieces.
    pub(crate) async fn send_stream(&self, path: &str, payload: Payload) -> Reply {
        let request = TestRequest::post().uri(path).insert_header(("x-api-key", KEY));
        self.answer(request.insert_header(("content-type", "application/x-ndjson")), Some(payload)).await
    }

    pub(crate) async fn post_with(&self, path: &str, body: &Value, header: (&'static str, &'static str)) -> Reply {
        self.send(TestRequest::post().uri(path).insert_header(("x-api-key", KEY)).insert_header(header).set_json(body))
            .await
    }

    /// A call without a body.
    pub(crate) async fn call(&self, method: &str, path: &str) -> Reply {
        let method = method.to_uppercase().parse().unwrap();
        self.send(TestRequest::default().method(method).uri(path).insert_header(("x-api-key", KEY))).await
    }

    /// Registers an endpoint at this path of the receiver; returns the webhook's own path.
    pub(crate) async fn custom(&self, path: &str, mut body: Value) -> String {
        body["webhook_type"] = "custom".into();
        body["url"] = self.receiver.url(path).into();
        let created = self.post("/webhooks", &body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
        format!("/webhooks/{}", created.json()["id"].as_str().unwrap())
    }

    /// Has the search go by meaning as well from now on.
    pub(crate) fn embed_with(&mut self, provider: Provider) {
        self.state.embeddings = Some(provider);
    }

    /// Has the engine look after everything by itself from now on.
    pub(crate) fn start(&mut self) {
        self.engine.start();
    }

    /// Delivers what is due.
    pub(crate) async fn idle(&self) {
        self.engine.run_until_idle().await.unwrap();
    }

    /// Waits until what has arrived is written down.
    pub(crate) async fn recorded(&self) {
        while self.get("/deliveries?limit=200").await.text.contains("\"state\":\"sending\"") {}
    }

    /// A body that need not be JSON.
    pub(crate) async fn post_text(&self, path: &str, body: &str) -> Reply {
        let request = TestRequest::post().uri(path).insert_header(("x-api-key", KEY));
        self.send(request.insert_header(("content-type", "application/json")).set_payload(body.to_owned())).await
    }

    /// How many rows there are of everything that a request could have stored.
    pub(crate) async fn stored(&self) -> i64 {
        let count =
            "SELECT (SELECT count(*) FROM knowledge) + (SELECT count(*) FROM domains) + (SELECT count(*) FROM events)
                          + (SELECT count(*) FROM experts) + (SELECT count(*) FROM tasks) + (SELECT count(*) FROM interactions)
                          + (SELECT count(*) FROM webhooks) + (SELECT count(*) FROM deliveries)
                          + (SELECT count(*) FROM knowledge_history)";
        self.db.client().await.query_one(count, &[]).await.unwrap().get(0)
    }

    /// Ends the engine, and fails on deliveries that are left.
    pub(crate) async fn finish(self) {
        self.engine.shutdown().await;
        assert_eq!(self.repository.delivery_waiting().await.unwrap(), 0, "everything was delivered");
    }
}

fn now() -> DateTime<Utc> {
    chrono::Local::now().to_utc()
}
