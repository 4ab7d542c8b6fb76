//! Webhooks: sealed, switched off and on, held back.

use kos_model::WebhookId;
use kos_repository::{
    Address, Answer, DeliveryFilter, DeliveryState, DisabledReason, Emitted, Error, FailingRule, Fared, Idempotency,
    KeyRing, Repository, Retried, WebhookChange,
};
use kos_test_support::TestDb;
use serde_json::json;

use crate::builders::{MINUTE, address, claim, event, free, keys, leased, listening, repository, webhook};

const RULE: FailingRule = FailingRule { time: MINUTE, attempts: 20 };

/// The revision of a webhook as it is now.
async fn revision(repository: &Repository, id: WebhookId) -> i64 {
    repository.directory_refresh().await.unwrap().get(id).unwrap().revision
}

async fn disable(
    repository: &Repository,
    id: WebhookId,
    reason: DisabledReason,
    error: Option<&str>,
) -> Result<Option<Emitted>, Error> {
    let revision = revision(repository, id).await;
    repository.webhook_disable(id, revision, reason, error, &leased()).await
}

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
async fn a_webhook_that_is_switched_off_keeps_what_it_had_and_what_comes_meanwhile() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    let other = webhook(&repository, &["webhook_*"]).await;
    repository.event_emit(event("before"), &free()).await.unwrap();
    let told = disable(&repository, listener.id, DisabledReason::Gone, Some("410")).await.unwrap().unwrap();
    let told_to: Vec<_> = told.claimed.iter().map(|claimed| claimed.recipient.webhook_id).collect();
    assert_eq!(told_to, [other.id], "others hear of it, and not itself");
    assert_eq!(told.event.payload.value()["reason"], "gone");
    assert!(disable(&repository, listener.id, DisabledReason::Gone, None).await.unwrap().is_none());
    let meanwhile = repository.event_emit(event("meanwhile"), &leased()).await.unwrap();
    assert_eq!((meanwhile.deliveries, meanwhile.claimed.len()), (1, 0));
    assert!(claim(&repository).await.is_empty());

    let address = Address { target: json!({"url": "https://example.org/new"}), ..address() };
    let readdressed = WebhookChange { address: Some(address), ..WebhookChange::default() };
    let changed = repository.webhook_update(listener.id, readdressed, Some(2)).await.unwrap().unwrap();
    assert!(changed.enabled && changed.disabled_reason.is_none(), "a new address switches it on again");
    let claimed = claim(&repository).await;
    let names: Vec<_> = claimed.iter().map(|claimed| claimed.event.event_type.as_str()).collect();
    assert_eq!(names, ["before", "meanwhile"]);
    assert_eq!(claimed[0].recipient.target.as_ref().unwrap()["url"], "https://example.org/new");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_switched_off_a_new_address_does_not_switch_on() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    let off = WebhookChange { enabled: Some(false), ..WebhookChange::default() };
    let changed = repository.webhook_update(listener.id, off, None).await.unwrap().unwrap();
    assert_eq!(changed.disabled_reason.as_deref(), Some("switched_off"));
    let readdressed = WebhookChange { address: Some(address()), ..WebhookChange::default() };
    assert!(!repository.webhook_update(listener.id, readdressed, None).await.unwrap().unwrap().enabled);
    assert_eq!(
        repository.webhook_pause(listener.id).await.unwrap().unwrap().disabled_reason.as_deref(),
        Some("switched_off")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_can_be_left_out_and_taken_up_again_one_by_one() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    repository.webhook_pause(listener.id).await.unwrap();
    for _ in 0..3 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    assert_eq!(repository.webhook_skip(listener.id).await.unwrap(), 3);
    let on = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
    repository.webhook_update(listener.id, on, None).await.unwrap();
    assert!(claim(&repository).await.is_empty());
    let ended = DeliveryFilter { ended: true, ..DeliveryFilter::default() };
    let skipped = repository.delivery_list(ended, None, 10).await.unwrap();
    assert!(skipped.iter().all(|delivery| delivery.state == DeliveryState::Skipped) && skipped.len() == 3);
    assert_eq!(repository.delivery_retry(skipped[0].id).await.unwrap(), Retried::Due(skipped[0].id));
    assert_eq!(claim(&repository).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_changes_nothing_is_no_version() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    let same = repository.webhook_update(listener.id, WebhookChange::default(), Some(1)).await.unwrap().unwrap();
    assert_eq!(same, listener);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_learns_of_every_change_of_another_before_it_stores_an_event() {
    let db = TestDb::new().await;
    let (one, other) = (repository(&db).await, repository(&db).await);
    let first = webhook(&one, &[]).await;
    assert_eq!(other.event_emit(event("x"), &free()).await.unwrap().deliveries, 1);
    let second = webhook(&one, &[]).await;
    assert_eq!(other.event_emit(event("x"), &free()).await.unwrap().deliveries, 2);
    let deaf = WebhookChange { events: Some(vec!["y".parse().unwrap()]), ..WebhookChange::default() };
    one.webhook_update(first.id, deaf, None).await.unwrap();
    assert_eq!(other.event_emit(event("x"), &free()).await.unwrap().deliveries, 1);
    one.webhook_delete(second.id).await.unwrap();
    assert_eq!(other.event_emit(event("x"), &free()).await.unwrap().deliveries, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_changes_at_the_same_time_leave_nobody_out() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for _ in 0..5 {
        let terms = free();
        let register = (0..4).map(|_| webhook(&repository, &[]));
        let emit = (0..20).map(|_| repository.event_emit(event("x"), &terms));
        let (_, emitted) = tokio::join!(futures_util::future::join_all(register), futures_util::future::join_all(emit));
        for emitted in emitted {
            emitted.unwrap();
        }
    }
    assert_eq!(repository.event_emit(event("x"), &free()).await.unwrap().deliveries, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_sealed_anew_under_the_first_key_while_they_are_in_use() {
    let db = TestDb::new().await;
    let old = Repository::new(db.url(), 4, keys(1)).await.unwrap();
    for _ in 0..3 {
        webhook(&old, &[]).await;
    }
    let both = KeyRing::new(&[vec![2; 32], vec![1; 32]]).unwrap();
    let new = Repository::new(db.url(), 4, both).await.unwrap();
    assert_eq!(new.webhook_reseal(2).await.unwrap(), 2);
    assert_eq!(new.webhook_keys().await.unwrap().iter().map(|key| key.webhooks).sum::<i64>(), 3);
    assert_eq!(new.webhook_keys().await.unwrap().len(), 2);
    assert_eq!(new.event_emit(event("x"), &leased()).await.unwrap().claimed.len(), 3);
    assert_eq!((new.webhook_reseal(2).await.unwrap(), new.webhook_reseal(2).await.unwrap()), (1, 0));
    let only_new = Repository::new(db.url(), 4, keys(2)).await.unwrap();
    only_new.check_keys().await.unwrap();
    let emitted = only_new.event_emit(event("x"), &leased()).await.unwrap();
    assert!(emitted.claimed.iter().all(|claimed| claimed.recipient.target.is_ok()));
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
async fn deleting_a_webhook_takes_its_deliveries_along() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    repository.event_emit(event("x"), &free()).await.unwrap();
    assert!(repository.webhook_delete(listener.id).await.unwrap());
    assert!(!repository.webhook_delete(listener.id).await.unwrap());
    assert_eq!(repository.delivery_waiting().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_rolled_back_hides_no_later_one() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    webhook(&repository, &["webhook_*"]).await;
    repository.directory_refresh().await.unwrap();
    let client = db.client().await;
    let refuse = "
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW
        WHEN (NEW.event_type = 'webhook_disabled') EXECUTE FUNCTION refuse()";
    client.batch_execute(refuse).await.unwrap();
    disable(&repository, listener.id, DisabledReason::Gone, None).await.unwrap_err();
    client.batch_execute("DROP TRIGGER refuse ON events").await.unwrap();

    webhook(&repository, &[]).await;
    let emitted = repository.event_emit(event("x"), &free()).await.unwrap();
    assert_eq!(emitted.deliveries, 2, "the one that stayed on and the new one hear of it");
    let directory = repository.directory();
    assert!(directory.get(listener.id).unwrap().enabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_address_answers_late_is_nothing_to_the_new_one() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    let asked = revision(&repository, listener.id).await;
    let new = Address { target: json!({"url": "https://example.org/new"}), ..address() };
    let change = WebhookChange { address: Some(new), ..WebhookChange::default() };
    repository.webhook_update(listener.id, change, None).await.unwrap();

    let late = repository.webhook_disable(listener.id, asked, DisabledReason::Gone, Some("410"), &leased()).await;
    assert!(late.unwrap().is_none());
    assert!(!repository.webhook_move(listener.id, asked, &address()).await.unwrap());
    let (_, target) = repository.webhook_target(listener.id).await.unwrap().unwrap();
    assert_eq!(target["url"], "https://example.org/new");
    assert!(repository.webhook_get(listener.id).await.unwrap().unwrap().enabled);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_is_no_cure_for_a_webhook_in_trouble() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    repository.webhook_hold(&[listener.id], std::time::Duration::from_secs(600)).await.unwrap();
    disable(&repository, listener.id, DisabledReason::Gone, Some("410")).await.unwrap().unwrap();
    let rekeyed = Address { target: json!({"secret": "whsec_other"}), ..address() };
    repository.webhook_rekey(listener.id, 2, &rekeyed).await.unwrap();
    let second = repository.webhook_rekey(listener.id, 2, &rekeyed).await;
    assert!(matches!(second, Err(Error::Stale)), "of two who change the keys the second is told");
    let stored = repository.webhook_get(listener.id).await.unwrap().unwrap();
    assert_eq!((stored.enabled, stored.disabled_reason.as_deref(), stored.version), (false, Some("gone"), 3));
    assert!(repository.webhook_health(listener.id).await.unwrap().unwrap().held_until.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_was_gone_is_told_of_when_it_works_at_its_new_address() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    disable(&repository, listener.id, DisabledReason::Gone, Some("410")).await.unwrap().unwrap();
    let change = WebhookChange { address: Some(address()), ..WebhookChange::default() };
    let stored = repository.webhook_update(listener.id, change, None).await.unwrap().unwrap();
    assert!(stored.enabled);
    assert!(repository.webhook_watch(RULE, &leased()).await.unwrap().is_none(), "nobody knows yet whether it works");
    let success = Fared { webhook_id: listener.id, succeeded: true, worked: true, failures: 0, last_error: None };
    repository.webhook_fared(&[success], 3).await.unwrap();
    let told = repository.webhook_watch(RULE, &leased()).await.unwrap().unwrap();
    assert_eq!(told[0].event.event_type.to_string(), "webhook_recovered");
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_answers_are_sealed_anew_like_the_webhooks_they_tell_of() {
    let db = TestDb::new().await;
    let request = Idempotency { key: "k".to_owned(), route: "/webhooks".to_owned(), body_hash: vec![1] };
    let render = |record: kos_repository::WebhookRecord| Answer {
        status: 201,
        headers: Vec::new(),
        body: record.id.to_string(),
    };
    let create = async |repository: &Repository| {
        repository.create(&listening(&[]), &free(), Some(&request), &render).await.unwrap()
    };
    let first = create(&Repository::new(db.url(), 4, keys(1)).await.unwrap()).await;
    let both = Repository::new(db.url(), 4, KeyRing::new(&[vec![2; 32], vec![1; 32]]).unwrap()).await.unwrap();
    assert_eq!(both.webhook_keys().await.unwrap()[0].answers, 1);
    assert_eq!((both.answer_reseal(9).await.unwrap(), both.answer_reseal(9).await.unwrap()), (1, 0));
    let stranger = Repository::new(db.url(), 4, keys(3)).await.unwrap();
    db.client().await.batch_execute("DELETE FROM webhooks").await.unwrap();
    assert!(matches!(stranger.check_keys().await, Err(Error::Sealed(_))), "the answer alone needs its key");
    let again = create(&Repository::new(db.url(), 4, keys(2)).await.unwrap()).await;
    assert_eq!((again.is_replayed, again.answer), (true, first.answer));
}
