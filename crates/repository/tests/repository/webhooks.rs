//! Webhooks: sealed, switched off and on, held back.

use kos_repository::{Error, Repository, WebhookChange};
use kos_test_support::TestDb;
use serde_json::json;

use crate::builders::{claim, event, free, keys, leased, repository, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_secrets_are_not_in_the_database_in_clear() {
    let db = TestDb::new().await;
    webhook(&repository(&db).await, &[]).await;
    let rows = db.client().await.query("SELECT w::text, encode(url, 'escape') FROM webhooks w", &[]).await.unwrap();
    let stored = format!("{} {}", rows[0].get::<_, String>(0), rows[0].get::<_, String>(1));
    assert!(!stored.contains("s3cr3t"), "{stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_key_that_sealed_is_refused_by_name() {
    let db = TestDb::new().await;
    webhook(&repository(&db).await, &[]).await;
    let stranger = Repository::new(db.url(), 2, keys(2)).await.unwrap();
    let error = stranger.check_keys().await.unwrap_err();
    assert!(matches!(error, Error::Sealed(_)), "{error:?}");
    repository(&db).await.check_keys().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_switched_off_keeps_what_waits_and_hears_nothing_new() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    repository.event_emit(event("before"), &free()).await.unwrap();
    assert!(repository.webhook_disable(listener.id, "gone").await.unwrap());
    assert_eq!(repository.event_emit(event("meanwhile"), &leased()).await.unwrap().deliveries, 0);
    assert!(claim(&repository).await.is_empty());

    let readdressed = WebhookChange {
        target: Some((json!({"url": "https://example.org/new", "secret": "whsec_new"}), "new".to_owned())),
        ..WebhookChange::default()
    };
    let changed = repository.webhook_update(listener.id, readdressed, Some(2)).await.unwrap().unwrap();
    assert!(changed.enabled && changed.disabled_reason.is_none(), "a new address switches it on again");
    let claimed = claim(&repository).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].event.event_type.as_str(), "before");
    assert_eq!(claimed[0].recipient.target.as_ref().unwrap()["url"], "https://example.org/new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asked_for_time_is_left_alone() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    repository.webhook_hold(listener.id, 3600.0).await.unwrap();
    repository.webhook_hold(listener.id, 1.0).await.unwrap();
    let emitted = repository.event_emit(event("x"), &leased()).await.unwrap();
    assert_eq!((emitted.deliveries, emitted.claimed.len()), (1, 0));
    assert!(claim(&repository).await.is_empty(), "the longer wait stands");
    let on = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
    repository.webhook_update(listener.id, on, None).await.unwrap();
    assert_eq!(claim(&repository).await.len(), 1, "a person's word goes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_of_one_version_the_second_is_refused() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    let named = |name: &str| WebhookChange { name: Some(name.to_owned()), ..WebhookChange::default() };
    repository.webhook_update(listener.id, named("first"), Some(1)).await.unwrap();
    let second = repository.webhook_update(listener.id, named("second"), Some(1)).await;
    assert!(matches!(second, Err(Error::Stale)));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_webhook_takes_its_deliveries_and_its_log_along() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    repository.event_emit(event("x"), &free()).await.unwrap();
    assert!(repository.webhook_delete(listener.id).await.unwrap());
    assert!(!repository.webhook_delete(listener.id).await.unwrap());
    assert_eq!(repository.delivery_waiting().await.unwrap(), 0);
}
