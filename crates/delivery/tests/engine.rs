//! The engine against a real Postgres and real receivers, driven by the test.
#![cfg(test)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use kos_delivery::{BreakerRule, Engine, Settings, Surroundings};
use kos_model::{DeliveryPolicy, Locale, RateLimit, RetrySchedule, WebhookType};
use kos_repository::{
    Address, Fared, KeyRing, LeaseTerms, NewEvent, NewWebhook, Repository, WebhookChange, WebhookRecord,
};
use kos_test_support::receiver::Answer;
use kos_test_support::{Received, Receiver, TestDb};
use kos_webhooks::signature::{self, Headers, VerifyingKey};
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
        let platforms = Platforms {
            slack_api_url: here.clone(),
            discord_api_url: here.clone(),
            telegram_api_url: here,
            ..Platforms::default()
        };
        let egress = EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..EgressPolicy::default() };
        let sender = Sender::new(platforms, egress, Limits::default()).unwrap();
        Self { db, repository, sender, receiver }
    }

    /// An engine whose retries come at once, as many as `waits`.
    async fn engine(&self, waits: usize) -> Engine {
        let schedule = RetrySchedule::new(vec![Duration::ZERO; waits]);
        self.engine_with(Settings { schedule, fault_wait: Duration::ZERO, ..patient() }).await
    }

    async fn engine_with(&self, settings: Settings) -> Engine {
        Engine::new(self.repository.clone(), self.sender.clone(), settings, surroundings()).await.unwrap()
    }

    async fn register(&self, kind: WebhookType, draft: TargetDraft) -> (WebhookRecord, Option<VerifyingKey>) {
        self.register_with(kind, draft, DeliveryPolicy::default(), &[]).await
    }

    async fn register_with(
        &self,
        kind: WebhookType,
        draft: TargetDraft,
        policy: DeliveryPolicy,
        events: &[&str],
    ) -> (WebhookRecord, Option<VerifyingKey>) {
        let target = draft.check(kind, self.sender.platforms()).unwrap();
        let secret = target.secret().map(|secret| secrecy::ExposeSecret::expose_secret(&secret).parse().unwrap());
        let new = NewWebhook {
            webhook_type: kind,
            name: String::new(),
            address: Address { target: target.to_json(), destination: target.redacted(), details: target.details() },
            enabled: true,
            events: events.iter().map(|event| event.parse().unwrap()).collect(),
            metadata: Map::new(),
            policy,
            locale: Locale::En,
        };
        (self.repository.webhook_create(new).await.unwrap(), secret)
    }

    async fn custom(&self) -> (WebhookRecord, VerifyingKey) {
        let (record, secret) = self.register(WebhookType::Custom, at(self.receiver.url("/hook"))).await;
        (record, secret.unwrap())
    }

    async fn custom_with(&self, policy: DeliveryPolicy) -> WebhookRecord {
        self.register_with(WebhookType::Custom, at(self.receiver.url("/hook")), policy, &[]).await.0
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

    /// An event with a number, that nobody holds yet.
    async fn emit_number(&self, number: u64) {
        let event = NewEvent::new("numbered".parse().unwrap(), json!({ "number": number }));
        self.repository.event_emit(event, &LeaseTerms::default()).await.unwrap();
    }

    /// The numbers of what has arrived, in the order of its arrival.
    fn numbers(&mut self) -> Vec<u64> {
        self.receiver.drain().iter().map(|message| message.json()["payload"]["number"].as_u64().unwrap()).collect()
    }

    /// A path of the receiver, as an address.
    fn address(&self, path: &str) -> Address {
        let target = at(self.receiver.url(path)).check(WebhookType::Custom, self.sender.platforms()).unwrap();
        Address { target: target.to_json(), destination: target.redacted(), details: target.details() }
    }

    /// As if the waits of every webhook were over.
    async fn time_passes(&self) {
        let shift = "UPDATE webhook_health SET held_until = NULL, breaker_until = now(), rate_tat = now();
                     UPDATE deliveries SET due_at = now() WHERE lease_token IS NULL";
        self.db.client().await.batch_execute(shift).await.unwrap();
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
    NewEvent::new("task_completed".parse().unwrap(), json!({"message": "done"}))
}

fn at(url: String) -> TargetDraft {
    TargetDraft { url: Some(url), ..TargetDraft::default() }
}

/// Settings under which no number of failures opens a breaker.
fn patient() -> Settings {
    Settings { breaker: BreakerRule { attempts: u32::MAX, ..BreakerRule::default() }, ..Settings::default() }
}

fn surroundings() -> Surroundings {
    fn now() -> DateTime<Utc> {
        chrono::Local::now().to_utc()
    }
    Surroundings { now, jitter: || 0.5 }
}

fn is_signed(message: &Received, secret: &VerifyingKey) -> bool {
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
    let engine = bench.engine(1).await;
    let intake = engine.handle().intake();
    let emitted = bench.repository.event_emit(event(), intake.terms()).await.unwrap();
    intake.take(emitted);
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
    bench.engine(5).await.run_until_idle().await.unwrap();
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
    bench.engine(2).await.run_until_idle().await.unwrap();
    assert_eq!(bench.outcomes(&webhook).await, outcomes(&[(1, "retry"), (2, "retry"), (3, "retry")]));
    assert_eq!((bench.waiting().await, bench.repository.stats().await.unwrap().totals.dead_letters), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_switched_off_and_its_delivery_parked() {
    let bench = Bench::new().await;
    let (webhook, _) = bench.custom().await;
    bench.receiver.answer(Answer::new(410, "moved away"));
    bench.emit().await;
    bench.engine(5).await.run_until_idle().await.unwrap();
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
    bench.engine(5).await.run_until_idle().await.unwrap();
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
    bench.engine(5).await.run_until_idle().await.unwrap();
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
    bench.engine(5).await.run_until_idle().await.unwrap();
    assert_eq!(bench.receiver.drain().len(), 1);
    bench.emit().await;
    bench.engine(5).await.run_until_idle().await.unwrap();
    assert_eq!(bench.receiver.drain().len(), 0, "the second one waits too");
    let health = bench.repository.webhook_health(webhook.id).await.unwrap().unwrap();
    assert!(health.held_until.is_some());
    assert_eq!(health.breaker, kos_repository::Breaker::Closed, "who asks for time does not fail");
    assert_eq!(bench.waiting().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_can_never_pass_leaves_its_webhook_on() {
    let bench = Bench::new().await;
    let slack = at("https://hooks.slack.com/services/T0/B0/secret".to_owned());
    let (webhook, _) = bench.register(WebhookType::Slack, slack).await;
    bench.receiver.answer(Answer::new(400, "invalid_payload"));
    bench.emit().await;
    bench.engine(5).await.run_until_idle().await.unwrap();
    assert!(bench.webhook(&webhook).await.enabled);
    assert_eq!(bench.outcomes(&webhook).await, outcomes(&[(1, "rejected")]));
    assert_eq!(bench.repository.stats().await.unwrap().totals.dead_letters, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_opened_is_our_fault_and_costs_no_attempt() {
    let bench = Bench::new().await;
    let (webhook, _) = bench.custom().await;
    bench.emit().await;
    // Sealed under a key that this server was not given.
    let stranger = Repository::new(bench.db.url(), 4, KeyRing::new(&[vec![2; 32]]).unwrap()).await.unwrap();
    let settings = Settings { fault_wait: Duration::from_secs(3600), ..Settings::default() };
    let engine = Engine::new(stranger, bench.sender.clone(), settings, surroundings()).await.unwrap();
    engine.run_until_idle().await.unwrap();
    let logs = bench.repository.webhook_log_list(webhook.id, None, 10).await.unwrap();
    assert_eq!((logs[0].outcome.as_str(), bench.waiting().await), ("fault", 1));
    assert!(logs[0].error.as_ref().unwrap().contains("ENCRYPTION_KEYS"), "{:?}", logs[0].error);
    let row = bench.db.client().await.query_one("SELECT attempt FROM deliveries", &[]).await.unwrap();
    assert_eq!(row.get::<_, i16>(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_leaves_the_others_their_messages() {
    let mut bench = Bench::new().await;
    let hanging = Receiver::start().await;
    hanging.hold();
    bench.register(WebhookType::Custom, at(hanging.url("/hang"))).await;
    for _ in 0..200 {
        bench.emit().await;
    }
    bench.custom().await;
    let mut engine = bench.engine(5).await;
    engine.start();
    for _ in 0..20 {
        let intake = engine.handle().intake();
        let emitted = bench.repository.event_emit(event(), intake.terms()).await.unwrap();
        intake.take(emitted);
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
    let mut engine = bench.engine(5).await;
    engine.start();
    for _ in 0..10 {
        bench.receiver.next().await;
    }
    let ending = tokio::spawn(engine.shutdown());
    bench.receiver.release();
    ending.await.unwrap();
    let stats = bench.repository.stats().await.unwrap().totals;
    // A few more may have begun before the shutdown did.
    assert_eq!(stats.delivered_24h + stats.deliveries_waiting, 40);
    assert!(stats.deliveries_waiting > 0, "the rest is handed back");
    bench.engine(5).await.run_until_idle().await.unwrap();
    assert_eq!(bench.receiver.drain().len(), 30, "what was handed back is free at once, and nothing came twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_at_once_share_transactions_and_all_arrive() {
    let mut bench = Bench::new().await;
    bench.custom().await;
    let mut engine = bench.engine(1).await;
    engine.start();
    let handle = engine.handle();
    let accepted = futures_util::future::join_all((0..300).map(|number| {
        let event = NewEvent::new("numbered".parse().unwrap(), json!({ "number": number }));
        handle.accept(event)
    }))
    .await;
    assert!(accepted.iter().all(|accepted| accepted.as_ref().unwrap().deliveries == 1));
    let mut numbers = Vec::new();
    for _ in 0..300 {
        numbers.push(bench.receiver.next().await.json()["payload"]["number"].as_u64().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
    engine.shutdown().await;
    assert_eq!(bench.waiting().await, 0);
    let row = bench.db.client().await.query_one("SELECT count(DISTINCT created_at) FROM events", &[]).await.unwrap();
    assert!(row.get::<_, i64>(0) < 100, "a transaction has one time");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_order_nothing_overtakes_what_fails() {
    let mut bench = Bench::new().await;
    bench.custom_with(DeliveryPolicy { ordered: true, ..DeliveryPolicy::default() }).await;
    for number in 0..6 {
        bench.emit_number(number).await;
    }
    for status in [200, 500, 503, 200, 500] {
        bench.receiver.answer_once(Answer::new(status, ""));
    }
    bench.engine(5).await.run_until_idle().await.unwrap();
    assert_eq!(bench.numbers(), [0, 1, 1, 1, 2, 2, 3, 4, 5]);
    assert_eq!(bench.waiting().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_order_what_is_given_up_lets_the_next_one_go() {
    let mut bench = Bench::new().await;
    bench.custom_with(DeliveryPolicy { ordered: true, ..DeliveryPolicy::default() }).await;
    for number in 0..3 {
        bench.emit_number(number).await;
    }
    for _ in 0..3 {
        bench.receiver.answer_once(Answer::new(500, ""));
    }
    bench.engine(2).await.run_until_idle().await.unwrap();
    assert_eq!(bench.numbers(), [0, 0, 0, 1, 2]);
    assert_eq!(bench.repository.stats().await.unwrap().totals.dead_letters, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_defers_without_costing_an_attempt() {
    let mut bench = Bench::new().await;
    let rate_limit = Some(RateLimit { limit: 4, per_seconds: 3600 });
    let webhook = bench.custom_with(DeliveryPolicy { rate_limit, ..DeliveryPolicy::default() }).await;
    for number in 0..10 {
        bench.emit_number(number).await;
    }
    let engine = bench.engine(5).await;
    engine.run_until_idle().await.unwrap();
    assert_eq!(bench.numbers().len(), 4);
    for _ in 0..2 {
        bench.time_passes().await;
        engine.run_until_idle().await.unwrap();
    }
    assert_eq!(bench.numbers().len(), 6);
    assert!(bench.outcomes(&webhook).await.iter().all(|(attempt, outcome)| *attempt == 1 && outcome == "delivered"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_has_the_schedule_and_the_places_of_its_own_policy() {
    let mut bench = Bench::new().await;
    let policy = DeliveryPolicy { retry_schedule: Some(vec![0, 0]), max_in_flight: 2, ..DeliveryPolicy::default() };
    let webhook = bench.custom_with(policy).await;
    bench.receiver.answer(Answer::new(500, ""));
    bench.emit().await;
    let mut engine = bench.engine_with(patient()).await;
    engine.run_until_idle().await.unwrap();
    assert_eq!(bench.outcomes(&webhook).await.len(), 3, "the engine's own schedule would wait 5 s");

    bench.receiver.drain();
    bench.receiver.answer(Answer::new(200, ""));
    bench.receiver.hold();
    for _ in 0..10 {
        bench.emit().await;
    }
    engine.start();
    for _ in 0..2 {
        bench.receiver.next().await;
    }
    assert_eq!(engine.handle().in_flight(), 2);
    bench.receiver.release();
    for _ in 0..8 {
        bench.receiver.next().await;
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_leaves_a_failing_webhook_alone_and_finds_out_when_it_works_again() {
    let bench = Bench::new().await;
    let (webhook, _) = bench.custom().await;
    bench.receiver.answer(Answer::new(500, ""));
    for number in 0..30 {
        bench.emit_number(number).await;
    }
    let schedule = RetrySchedule::new(vec![Duration::ZERO; 20]);
    let engine = bench.engine_with(Settings { schedule, ..Settings::default() }).await;
    engine.run_until_idle().await.unwrap();
    let health = async || bench.repository.webhook_health(webhook.id).await.unwrap().unwrap();
    assert_eq!(health().await.breaker, kos_repository::Breaker::Open);
    let tried = bench.outcomes(&webhook).await.len();
    assert!((10..=20).contains(&tried), "{tried}: ten failures, and what was on its way with them");
    engine.run_until_idle().await.unwrap();
    assert_eq!(bench.outcomes(&webhook).await.len(), tried, "nothing more goes");

    bench.time_passes().await;
    engine.run_until_idle().await.unwrap();
    assert_eq!(bench.outcomes(&webhook).await.len(), tried + 1, "one probe, which fails");
    assert_eq!(health().await.breaker, kos_repository::Breaker::Open);

    bench.receiver.answer(Answer::new(200, ""));
    bench.time_passes().await;
    engine.run_until_idle().await.unwrap();
    assert_eq!(health().await.breaker, kos_repository::Breaker::Closed);
    assert_eq!(bench.waiting().await, 0);
    assert_eq!(health().await.failing_since, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_wait_of_a_bot_s_holds_all_its_chats_and_no_other_bot_s() {
    let mut bench = Bench::new().await;
    let bot = |number: u32| format!("{number}:{}", "A".repeat(35));
    for (bot, chat) in [(bot(111), "-1"), (bot(111), "-2"), (bot(222), "-3")] {
        let chat_id = Some(chat.to_owned());
        let draft = TargetDraft { chat_id, bot_token: Some(bot), ..TargetDraft::default() };
        let only = if chat == "-1" { &["first"][..] } else { &["second"][..] };
        bench.register_with(WebhookType::Telegram, draft, DeliveryPolicy::default(), only).await;
    }
    let slower = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 30","parameters":{"retry_after":30}}"#;
    bench.receiver.answer_once(Answer::new(429, slower));
    bench.receiver.answer(Answer::new(200, r#"{"ok":true,"result":{}}"#));
    let engine = bench.engine(5).await;
    for name in ["first", "second"] {
        let event = NewEvent::new(name.parse().unwrap(), json!({"message": "x"}));
        bench.repository.event_emit(event, &LeaseTerms::default()).await.unwrap();
        engine.run_until_idle().await.unwrap();
    }
    let chats: Vec<_> = bench.receiver.drain().iter().map(|message| message.json()["chat_id"].clone()).collect();
    assert_eq!(chats, [json!(-1), json!(-3)], "the second chat of the first bot waits with the first");
    assert_eq!(bench.waiting().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_bears_no_more_for_now_is_not_asked_to() {
    let mut bench = Bench::new().await;
    let url = format!("https://discord.com/api/webhooks/123456789012345678/{}", "d".repeat(68));
    let one_by_one = DeliveryPolicy { max_in_flight: 1, ..DeliveryPolicy::default() };
    bench.register_with(WebhookType::Discord, at(url), one_by_one, &[]).await;
    let spent = Answer::new(200, "{}").with("x-ratelimit-remaining", "0").with("x-ratelimit-reset-after", "20.5");
    bench.receiver.answer(spent);
    for _ in 0..5 {
        bench.emit().await;
    }
    let engine = bench.engine(5).await;
    engine.run_until_idle().await.unwrap();
    assert_eq!(bench.receiver.drain().len(), 1);
    bench.time_passes().await;
    engine.run_until_idle().await.unwrap();
    assert_eq!((bench.receiver.drain().len(), bench.waiting().await), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_webhook_is_off_is_kept_and_goes_when_it_is_on_again() {
    let mut bench = Bench::new().await;
    let (webhook, _) = bench.custom().await;
    let mut engine = bench.engine(5).await;
    engine.start();
    let handle = engine.handle();
    bench.repository.webhook_pause(webhook.id).await.unwrap();
    for _ in 0..5 {
        assert_eq!(handle.accept(event()).await.unwrap().deliveries, 1);
    }
    assert_eq!(bench.waiting().await, 5);
    let on = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
    bench.repository.webhook_update(webhook.id, on, None).await.unwrap();
    handle.wake();
    for _ in 0..5 {
        bench.receiver.next().await;
    }
    engine.shutdown().await;
    assert_eq!(bench.waiting().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_what_waits_in_memory_too() {
    let mut bench = Bench::new().await;
    let (webhook, _) = bench.custom().await;
    bench.receiver.hold();
    let mut engine = bench.engine(5).await;
    engine.start();
    let handle = engine.handle();
    for _ in 0..40 {
        handle.accept(event()).await.unwrap();
    }
    for _ in 0..10 {
        bench.receiver.next().await;
    }
    bench.repository.webhook_pause(webhook.id).await.unwrap();
    bench.repository.directory_refresh().await.unwrap();
    bench.receiver.release();
    while handle.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    engine.shutdown().await;
    assert_eq!((bench.receiver.drain().len(), bench.waiting().await), (0, 30));
}

#[tokio::test(flavor = "multi_thread")]
async fn others_hear_of_a_webhook_that_was_switched_off() {
    let mut bench = Bench::new().await;
    let gone = Receiver::start().await;
    gone.answer(Answer::new(410, ""));
    let (webhook, _) = bench.register(WebhookType::Custom, at(gone.url("/gone"))).await;
    bench
        .register_with(WebhookType::Custom, at(bench.receiver.url("/ops")), DeliveryPolicy::default(), &["webhook_*"])
        .await;
    bench.emit().await;
    bench.engine(5).await.run_until_idle().await.unwrap();
    let told = bench.receiver.drain();
    assert_eq!(told.len(), 1);
    let told = told[0].json();
    assert_eq!((&told["event_type"], &told["payload"]["reason"]), (&json!("webhook_disabled"), &json!("gone")));
    assert_eq!(told["payload"]["webhook_id"], webhook.id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_first_is_not_kept_waiting_by_what_comes_again() {
    let mut bench = Bench::new().await;
    bench.custom().await;
    // A hundred that failed before, and a receiver that takes its time.
    for _ in 0..100 {
        bench.emit().await;
    }
    bench.db.client().await.batch_execute("UPDATE deliveries SET tier = 1, attempt = 1").await.unwrap();
    bench.receiver.hold();
    let mut engine = bench.engine(5).await;
    engine.start();
    for _ in 0..5 {
        bench.receiver.next().await;
    }
    assert_eq!(engine.handle().in_flight(), 5, "half of the places are not for them");
    engine.handle().accept(NewEvent::new("fresh".parse().unwrap(), json!({}))).await.unwrap();
    assert_eq!(bench.receiver.next().await.json()["event_type"], "fresh");
    bench.receiver.release();
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_receivers_that_hang_leave_a_place_for_the_others() {
    let mut bench = Bench::new().await;
    let hanging = Receiver::start().await;
    hanging.hold();
    let mut hangs = Vec::new();
    for _ in 0..6 {
        let draft = at(hanging.url("/hang"));
        hangs.push(bench.register_with(WebhookType::Custom, draft, DeliveryPolicy::default(), &["task_*"]).await.0);
    }
    bench
        .register_with(WebhookType::Custom, at(bench.receiver.url("/well")), DeliveryPolicy::default(), &["numbered"])
        .await;
    for _ in 0..20 {
        bench.emit().await;
    }
    let mut engine = bench.engine_with(Settings { in_flight: 40, ..patient() }).await;
    engine.start();
    while engine.handle().in_flight() < 20 {
        tokio::task::yield_now().await;
    }
    for number in 0..20 {
        let intake = engine.handle().intake();
        let event = NewEvent::new("numbered".parse().unwrap(), json!({ "number": number }));
        let emitted = bench.repository.event_emit(event, intake.terms()).await.unwrap();
        intake.take(emitted);
        bench.receiver.next().await;
    }
    for webhook in &hangs {
        assert_eq!(bench.outcomes(webhook).await, [], "all of this while they hang");
    }
    hanging.release();
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_receivers_that_fill_the_memory_leave_the_others_their_places() {
    let mut bench = Bench::new().await;
    let slow = Receiver::start().await;
    slow.hold();
    let one = || DeliveryPolicy { max_in_flight: 1, ..DeliveryPolicy::default() };
    let mut webhooks = Vec::new();
    for _ in 0..3 {
        webhooks.push(bench.register_with(WebhookType::Custom, at(slow.url("/slow")), one(), &["task_*"]).await.0);
    }
    bench.register_with(WebhookType::Custom, at(bench.receiver.url("/well")), one(), &["numbered"]).await;
    let mut engine = bench.engine_with(Settings { queued: (20, 1 << 20), ..patient() }).await;
    engine.start();
    for _ in 0..40 {
        let intake = engine.handle().intake();
        let emitted = bench.repository.event_emit(event(), intake.terms()).await.unwrap();
        intake.take(emitted);
    }
    for number in 0..10 {
        bench.emit_number(number).await;
        engine.handle().wake();
        bench.receiver.next().await;
    }
    for webhook in &webhooks {
        assert_eq!(bench.outcomes(webhook).await, [], "all of this while they are slow");
    }
    slow.release();
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lane_has_its_part_of_a_claim() {
    let mut bench = Bench::new().await;
    for number in 0..6 {
        bench.register(WebhookType::Custom, at(bench.receiver.url(&format!("/{number}")))).await;
    }
    for _ in 0..10 {
        bench.emit().await;
    }
    bench.engine_with(Settings { claim: 6, ..patient() }).await.run_until_idle().await.unwrap();
    let arrived: Vec<String> = bench.receiver.drain().into_iter().map(|message| message.path).collect();
    let first: std::collections::BTreeSet<&String> = arrived.iter().take(6).collect();
    assert_eq!((arrived.len(), first.len()), (60, 6), "{arrived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_address_answers_late_holds_nothing_of_the_new_one() {
    let mut bench = Bench::new().await;
    let mut old = Receiver::start().await;
    old.hold();
    old.answer(Answer::new(429, "slower").with("retry-after", "3600"));
    let (webhook, _) = bench.register(WebhookType::Custom, at(old.url("/old"))).await;
    bench.emit().await;
    let mut engine = bench.engine(5).await;
    engine.start();
    old.next().await;
    let address = bench.address("/new");
    let change = WebhookChange { address: Some(address), ..WebhookChange::default() };
    bench.repository.webhook_update(webhook.id, change, None).await.unwrap();
    old.release();
    assert_eq!(bench.receiver.next().await.path, "/new");
    engine.shutdown().await;
    let health = bench.repository.webhook_health(webhook.id).await.unwrap().unwrap();
    assert_eq!((health.held_until, health.failures), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_address_takes_late_is_no_news_of_the_new_one() {
    let bench = Bench::new().await;
    let mut old = Receiver::start().await;
    old.hold();
    let (webhook, _) = bench.register(WebhookType::Custom, at(old.url("/old"))).await;
    // It has failed before, so that a success of it would be news.
    let failed = Fared { webhook_id: webhook.id, succeeded: false, worked: false, failures: 7, last_error: None };
    bench.repository.webhook_fared(&[failed], 3).await.unwrap();
    bench.emit().await;
    let mut engine = bench.engine(5).await;
    engine.start();
    old.next().await;
    let address = bench.address("/new");
    // By hand, so that its troubles are not forgotten.
    bench.repository.webhook_rekey(webhook.id, webhook.version, &address).await.unwrap();
    old.release();
    engine.shutdown().await;
    assert_eq!((bench.waiting().await, bench.outcomes(&webhook).await), (0, outcomes(&[(1, "delivered")])));
    assert_eq!(bench.repository.webhook_health(webhook.id).await.unwrap().unwrap().failures, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_memory_when_an_order_is_asked_for_waits_for_its_place() {
    let mut bench = Bench::new().await;
    bench.receiver.hold();
    let (webhook, _) = bench.custom().await;
    let mut engine = bench.engine(5).await;
    engine.start();
    for number in 0..30 {
        bench.emit_number(number).await;
    }
    // As many as there are places are on their way; the others are in memory.
    for _ in 0..10 {
        bench.receiver.next().await;
    }
    let policy = DeliveryPolicy { ordered: true, ..DeliveryPolicy::default() };
    let change = WebhookChange { policy: Some(policy), ..WebhookChange::default() };
    bench.repository.webhook_update(webhook.id, change, None).await.unwrap();
    for number in 30..40 {
        bench.emit_number(number).await;
    }
    bench.receiver.release();
    let mut rest = Vec::new();
    while rest.len() < 30 {
        rest.push(bench.receiver.next().await);
    }
    engine.shutdown().await;
    let numbers: Vec<u64> = rest.iter().map(|it| it.json()["payload"]["number"].as_u64().unwrap()).collect();
    assert!(numbers.iter().copied().eq(10..40), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_ends_after_its_webhook_was_changed_makes_room_for_the_next() {
    let mut bench = Bench::new().await;
    bench.receiver.hold();
    let (webhook, _) = bench.custom().await;
    let broken = "UPDATE webhook_health SET breaker = 'open', breaker_until = now(), trips = 1, failing_since = now()";
    bench.db.client().await.batch_execute(broken).await.unwrap();
    bench.emit().await;
    let mut engine = bench.engine(5).await;
    engine.start();
    bench.receiver.next().await;
    let change = WebhookChange { name: Some("renamed".to_owned()), ..WebhookChange::default() };
    bench.repository.webhook_update(webhook.id, change, None).await.unwrap();
    bench.receiver.release();
    engine.shutdown().await;
    let row = bench.db.client().await.query_one("SELECT breaker, probe_until IS NULL FROM webhook_health", &[]).await;
    let row = row.unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, bool>(1)), ("half_open", true));
}
