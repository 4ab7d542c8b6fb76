//! What the tests begin with.

use std::time::Duration;

use kos_model::{Attempt, Outcome, WebhookType};
use kos_repository::{Claimed, Finished, KeyRing, LeaseTerms, NewEvent, NewWebhook, Next, Repository, WebhookRecord};
use kos_test_support::TestDb;
use serde_json::{Map, json};

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
        target: json!({"url": "https://example.org/s3cr3t-path", "secret": "whsec_s3cr3t"}),
        destination: "https://example.org/…".to_owned(),
        enabled: true,
        events: events.iter().map(|event| event.parse().unwrap()).collect(),
        metadata: Map::new(),
        locale: kos_model::Locale::En,
    }
}

pub(crate) async fn webhook(repository: &Repository, events: &[&str]) -> WebhookRecord {
    repository.webhook_create(listening(events)).await.unwrap()
}

pub(crate) fn event(name: &str) -> NewEvent {
    NewEvent { event_type: name.parse().unwrap(), payload: json!({"message": name}) }
}

/// Leased to the writer for a minute.
pub(crate) fn leased() -> LeaseTerms {
    LeaseTerms { lease: MINUTE, full: Vec::new() }
}

/// Left to whoever claims first.
pub(crate) fn free() -> LeaseTerms {
    LeaseTerms::default()
}

pub(crate) fn finished(claimed: &Claimed, outcome: Outcome, next: Next) -> Finished {
    let error = (outcome != Outcome::Delivered).then(|| "it failed".to_owned());
    let attempt = Attempt { outcome, status: Some(200), response: None, error, duration: Duration::from_millis(7) };
    Finished { claimed: claimed.clone(), attempt, next }
}

/// Takes everything that is due.
pub(crate) async fn claim(repository: &Repository) -> Vec<Claimed> {
    repository.delivery_claim(&[], 100, 1000, MINUTE).await.unwrap()
}
