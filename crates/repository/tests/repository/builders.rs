//! What the tests begin with.

use std::collections::HashMap;
use std::time::Duration;

use kos_model::{Attempt, DeliveryPolicy, Outcome, RateLimit, WebhookType};
use kos_repository::{
    Address, Claimed, Finished, GovernedLane, KeyRing, LeaseTerms, NewEvent, NewWebhook, Next, Places, Repository,
    Tier, TokenMint, WebhookRecord,
};
use kos_test_support::TestDb;
use serde_json::{Map, json};
use tokio_postgres::Client;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A repository on the test's database.
pub(crate) async fn repository(db: &TestDb) -> Repository {
    Repository::new(db.url(), 8, keys(1)).await.unwrap()
}

pub(crate) fn keys(seed: u8) -> KeyRing {
    KeyRing::new(&[vec![seed; 32]]).unwrap()
}

/// A webhook that listens to these events.
pub(crate) fn listening(events: &[&str]) -> NewWebhook {
    NewWebhook {
        webhook_type: WebhookType::Custom,
        name: String::new(),
        address: address(),
        enabled: true,
        events: events.iter().map(|event| event.parse().unwrap()).collect(),
        metadata: Map::new(),
        policy: DeliveryPolicy::default(),
        locale: kos_model::Locale::En,
    }
}

pub(crate) fn address() -> Address {
    Address {
        target: json!({"url": "https://example.org/s3cr3t-path", "secret": "whsec_s3cr3t"}),
        destination: "https://example.org/…".to_owned(),
        details: Map::new(),
    }
}

/// A webhook that listens to everything and is sent to like this.
pub(crate) async fn webhook_with(repository: &Repository, policy: DeliveryPolicy) -> WebhookRecord {
    repository.webhook_create(NewWebhook { policy, ..listening(&[]) }).await.unwrap()
}

/// One after the other.
pub(crate) fn ordered() -> DeliveryPolicy {
    DeliveryPolicy { ordered: true, ..DeliveryPolicy::default() }
}

pub(crate) async fn webhook(repository: &Repository, events: &[&str]) -> WebhookRecord {
    repository.webhook_create(listening(events)).await.unwrap()
}

pub(crate) fn event(name: &str) -> NewEvent {
    NewEvent::new(name.parse().unwrap(), json!({"message": name}))
}

/// As if every server had heard by now of the orders that were asked for.
pub(crate) async fn heard(db: &TestDb) {
    let shift = "UPDATE webhook_health SET placing_since = placing_since - interval '1 minute'";
    db.client().await.batch_execute(shift).await.unwrap();
}

/// Makes tokens that no other mint of a test makes.
pub(crate) fn mint() -> TokenMint {
    static HOLDERS: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(1_000_000);
    TokenMint::new(HOLDERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

/// Leased to the writer for a minute.
pub(crate) fn leased() -> LeaseTerms {
    LeaseTerms { mint: Some(mint()), lease: MINUTE, room: HashMap::new(), backlog: u32::MAX }
}

/// Left to whoever claims first.
pub(crate) fn free() -> LeaseTerms {
    LeaseTerms::default()
}

pub(crate) fn finished(claimed: &Claimed, outcome: Outcome, next: Next) -> Finished {
    let error = (outcome != Outcome::Delivered).then(|| "it failed".to_owned());
    let duration = Duration::from_millis(7);
    let attempt = Attempt { outcome, pause: None, status: Some(200), response: None, error, duration };
    Finished { claimed: claimed.clone(), attempt, next }
}

/// Takes everything that is due, whatever stands in its way.
pub(crate) async fn claim(repository: &Repository) -> Vec<Claimed> {
    claim_of(repository, 100).await
}

/// Takes what is due, at most `count` of each lane and tier.
pub(crate) async fn claim_of(repository: &Repository, count: u32) -> Vec<Claimed> {
    repository.directory_refresh().await.unwrap();
    let lanes = repository.delivery_lanes().await.unwrap();
    let of = |tier| lanes.iter().map(move |lane| Places { webhook_id: lane.webhook_id, tier, count });
    let places: Vec<_> = of(Tier::First).chain(of(Tier::Again)).collect();
    repository.delivery_claim(&places, MINUTE, &mint()).await.unwrap()
}

/// Asks for the next `count` of a lane that needs the database's leave.
pub(crate) async fn claim_governed(
    repository: &Repository,
    webhook: &WebhookRecord,
    count: u32,
    rate_limit: Option<RateLimit>,
) -> Vec<Claimed> {
    let lane = GovernedLane { webhook_id: webhook.id, count, ordered: webhook.policy.ordered, rate_limit };
    repository.delivery_claim_governed(&[lane], MINUTE, &mint()).await.unwrap()
}

/// Waits until somebody waits for a lock.
pub(crate) async fn until_one_waits(watcher: &Client) {
    let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while watcher.query_opt(waits, &[]).await.unwrap().is_none() {}
}
