//! The engine against a real Postgres and real receivers, driven by the test.
#![cfg(test)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use kos_delivery::{Engine, Settings, Surroundings};
use kos_model::{Locale, RetrySchedule, WebhookType};
use kos_repository::{KeyRing, LeaseTerms, NewEvent, NewWebhook, Repository, WebhookRecord};
use kos_test_support::receiver::Answer;
use kos_test_support::{Received, Receiver, TestDb};
use kos_webhooks::signature::{self, Headers, Secret};
use kos_webhooks::{EgressPolicy, Limits, Platforms, Sender, TargetDraft};
use serde_json::{Map, json};

/// A service without its API: what is stored, the engine, and a receiver for everything it sends.
struct Bench {
    db: TestDb,
    repository: Repository,
    sender: Sender,
    receiver: Receiver,
}

impl Bench {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let repository = Repository::new(db.url(), 8, KeyRing::new(&[vec![1; 32]]).unwrap()).await.unwrap();
        let receiver = Receiver::start().await;
        let here = Some(receiver.url("").parse().unwrap());
        let platforms = Platforms { slack_api_url: here.clone(), telegram_api_url: here, ..Platforms::default() };
        let egress = EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..EgressPolicy::default() };
        let sender = Sender::new(platforms, egress, Limits::default()).unwrap();
        Self { db, repository, sender, receiver }
    }

    /// An engine whose retries come at once, as many as `waits`.
    fn engine(&self, waits: usize) -> Engine {
        let settings = Settings {
            schedule: RetrySchedule::new(vec![Duration::ZERO; waits]),
            fault_wait: Duration::ZERO,
            ..Settings::default()
        };
        Engine::new(self.repository.clone(), self.sender.clone(), settings, surroundings())
    }

    async fn register(&self, kind: WebhookType, draft: TargetDraft) -> (WebhookRecord, Option<Secret>) {
        let target = draft.check(kind, self.sender.platforms()).unwrap();
        let secret = target.secret().map(|secret| secrecy::ExposeSecret::expose_secret(&secret).parse().unwrap());
        let new = NewWebhook {
            webhook_type: kind,
            name: String::new(),
            target: target.to_json(),
            destination: target.redacted(),
            enabled: true,
            events: Vec::new(),
            metadata: Map::new(),
            locale: Locale::En,
        };
        (self.repository.webhook_create(new).await.unwrap(), secret)
    }

    async fn custom(&self) -> (WebhookRecord, Secret) {
        let url = Some(self.receiver.url("/hook"));
        let (record, secret) = self.register(WebhookType::Custom, TargetDraft { url, ..TargetDraft::default() }).await;
        (record, secret.unwrap())
    }

    async fn telegram(&self, chat: &str) -> WebhookRecord {
        let draft = TargetDraft {
            chat_id: Some(chat.to_owned()),
            bot_token: Some(format!("123456789:{}", "A".repeat(35))),
            ..TargetDraft::default()
        };
        self.register(WebhookType::Telegram, draft).await.0
    }

    /// An event that nobody holds yet.
    async fn emit(&self) {
        self.repository.event_emit(event(), &LeaseTerms::default()).await.unwrap();
    }

    async fn outcomes(&self, webhook: &WebhookRecord) -> Vec<(i32, String)> {
        let mut logs = self.repository.webhook_log_list(webhook.id, None, 100).await.unwrap();
        logs.reverse();
        logs.into_iter().map(|log| (log.attempt, log.outcome)).collect()
    }

    async fn webhook(&self, webhook: &WebhookRecord) -> WebhookRecord {
        self.repository.webhook_get(webhook.id).await.unwrap().unwrap()
    }

    async fn waiting(&self) -> i64 {
        self.repository.delivery_waiting().await.unwrap()
    }
}

fn event() -> NewEvent {
    NewEvent { event_type: "task_completed".parse().unwrap(), payload: json!({"message": "done"}) }
}

fn surroundings() -> Surroundings {
    fn now() -> DateTime<Utc> {
        chrono::Local::now().to_utc()
    }
    Surroundings { now, jitter: || 0.5 }
}

fn is_signed(message: &Received, secret: &Secret) -> bool {
    let headers = Headers::find(|name| message.headers.get(name)?.to_str().ok()).unwrap();
    signature::verify(std::slice::from_ref(secret), &headers, &message.body, (surroundings().now)()).is_ok()
}

fn outcomes(list: &[(i32, &str)]) -> Vec<(i32, String)> {
    list.iter().map(|(attempt, outcome)| (*attempt, (*outcome).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_with_an_intake_is_sent_at_once_without_a_look_at_the_database() {
    let mut bench = Bench::new().await;
    let (_, secret) = bench.custom().await;
    let engine = bench.engine(1);
    let intake = engine.handle().intake();
    let emitted = bench.repository.event_emit(event(), intake.terms()).await.unwrap();
    intake.take(emitted.claimed);
    let message = bench.receiver.next().await;
    assert!(is_signed(&message, &secret));
    assert_eq!(message.json()["payload"]["message"], "done");
    engine.shutdown().await;
    assert_eq!(bench.waiting().await, 0, "the outcome is written before the engine ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_is_repeated_under_the_same_id_with_a_fresh_signature() {
    let mut bench = Bench::new().await;
    let (webhook, secret) = bench.custom().await;
    bench.receiver.answer_once(Answer::new(500, "no"));
    bench.receiver.answer_once(Answer::new(404, "not yet"));
    bench.emit().await;
    bench.engine(5).run_until_idle().await.unwrap();
    let messages = bench.receiver.drain();
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| message.header("webhook-id") == messages[0].header("webhook-id")));
    assert!(messages.iter().all(|message| is_signed(message, &secret)));
    assert_eq!(bench.outcomes(&webhook).await, outcomes(&[(1, "retry"), (2, "retry"), (3, "delivered")]));
    assert_eq!(bench.waiting().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_schedule_ends_in_the_dead_letters() {
    let bench = Bench::new().await;
    let (webhook, _) = bench.custom().await;
    bench.receiver.answer(Answer::new(500, "never"));
    bench.emit().await;
    bench.engine(2).run_until_idle().await.unwrap();
    assert_eq!(bench.outcomes(&webhook).await, outcomes(&[(1, "retry"), (2, "retry"), (3, "retry")]));
    assert_eq!((bench.waiting().await, bench.repository.stats().await.unwrap().dead_letters), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_switched_off_and_its_delivery_parked() {
    let bench = Bench::new().await;
    let (webhook, _) = bench.custom().await;
    bench.receiver.answer(Answer::new(410, "moved away"));
    bench.emit().await;
    bench.engine(5).run_until_idle().await.unwrap();
    let stored = bench.webhook(&webhook).await;
    assert_eq!((stored.enabled, stored.disabled_reason.as_deref()), (false, Some("gone")));
    assert_eq!(bench.outcomes(&webhook).await, outcomes(&[(1, "gone")]));
    assert_eq!(bench.waiting().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_switches_the_webhook_off() {
    let bench = Bench::new().await;
    let webhook = bench.telegram("-100123").await;
    bench.receiver.answer(Answer::new(401, r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#));
    bench.emit().await;
    bench.engine(5).run_until_idle().await.unwrap();
    assert_eq!(bench.webhook(&webhook).await.disabled_reason.as_deref(), Some("unauthorized"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_moved_is_followed_and_remembered() {
    let mut bench = Bench::new().await;
    let webhook = bench.telegram("-100").await;
    let moved = r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1009876543210}}"#;
    bench.receiver.answer_once(Answer::new(400, moved));
    bench.receiver.answer(Answer::new(200, r#"{"ok":true,"result":{"message_id":1}}"#));
    bench.emit().await;
    bench.engine(5).run_until_idle().await.unwrap();
    let chats: Vec<_> = bench.receiver.drain().iter().map(|message| message.json()["chat_id"].clone()).collect();
    assert_eq!(chats, [json!(-100), json!(-1_009_876_543_210_i64)]);
    assert!(bench.webhook(&webhook).await.destination.contains("-1009876543210"));
    assert_eq!(bench.waiting().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_time_holds_back_all_of_its_deliveries() {
    let mut bench = Bench::new().await;
    let (webhook, _) = bench.custom().await;
    bench.receiver.answer(Answer::new(429, "slower").with("retry-after", "3600"));
    bench.emit().await;
    bench.engine(5).run_until_idle().await.unwrap();
    assert_eq!(bench.receiver.drain().len(), 1);
    bench.emit().await;
    bench.engine(5).run_until_idle().await.unwrap();
    assert_eq!(bench.receiver.drain().len(), 0, "the second one waits too");
    assert!(bench.webhook(&webhook).await.held_until.is_some());
    assert_eq!(bench.waiting().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_can_never_pass_leaves_its_webhook_on() {
    let bench = Bench::new().await;
    let url = Some("https://hooks.slack.com/services/T0/B0/secret".to_owned());
    let (webhook, _) = bench.register(WebhookType::Slack, TargetDraft { url, ..TargetDraft::default() }).await;
    bench.receiver.answer(Answer::new(400, "invalid_payload"));
    bench.emit().await;
    bench.engine(5).run_until_idle().await.unwrap();
    assert!(bench.webhook(&webhook).await.enabled);
    assert_eq!(bench.outcomes(&webhook).await, outcomes(&[(1, "rejected")]));
    assert_eq!(bench.repository.stats().await.unwrap().dead_letters, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_opened_is_our_fault_and_costs_no_attempt() {
    let bench = Bench::new().await;
    let (webhook, _) = bench.custom().await;
    bench.emit().await;
    // Sealed under a key that this server was not given.
    let stranger = Repository::new(bench.db.url(), 4, KeyRing::new(&[vec![2; 32]]).unwrap()).await.unwrap();
    let settings = Settings { fault_wait: Duration::from_secs(3600), ..Settings::default() };
    Engine::new(stranger, bench.sender.clone(), settings, surroundings()).run_until_idle().await.unwrap();
    let logs = bench.repository.webhook_log_list(webhook.id, None, 10).await.unwrap();
    assert_eq!((logs[0].outcome.as_str(), bench.waiting().await), ("fault", 1));
    assert!(logs[0].error.as_ref().unwrap().contains("ENCRYPTION_KEYS"), "{:?}", logs[0].error);
    let row = bench.db.client().await.query_one("SELECT attempt FROM deliveries", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_leaves_the_others_their_messages() {
    let mut bench = Bench::new().await;
    let hanging = Receiver::start().await;
    hanging.hold();
    let url = Some(hanging.url("/hang"));
    bench.register(WebhookType::Custom, TargetDraft { url, ..TargetDraft::default() }).await;
    for _ in 0..200 {
        bench.emit().await;
    }
    bench.custom().await;
    let mut engine = bench.engine(5);
    engine.start();
    for _ in 0..20 {
        let intake = engine.handle().intake();
        let emitted = bench.repository.event_emit(event(), intake.terms()).await.unwrap();
        intake.take(emitted.claimed);
        bench.receiver.next().await;
    }
    assert!(engine.handle().in_flight() >= 10, "the other one still hangs");
    hanging.release();
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_finishes_what_is_on_its_way_and_hands_the_rest_back() {
    let mut bench = Bench::new().await;
    bench.custom().await;
    bench.receiver.hold();
    for _ in 0..40 {
        bench.emit().await;
    }
    let mut engine = bench.engine(5);
    engine.start();
    for _ in 0..10 {
        bench.receiver.next().await;
    }
    let ending = tokio::spawn(engine.shutdown());
    bench.receiver.release();
    ending.await.unwrap();
    let stats = bench.repository.stats().await.unwrap();
    assert_eq!((stats.delivered_24h, stats.deliveries_waiting), (10, 30));
    bench.engine(5).run_until_idle().await.unwrap();
    assert_eq!(bench.receiver.drain().len(), 30, "what was handed back is free at once, and nothing came twice");
}
