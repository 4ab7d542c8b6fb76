//! Health: breakers, holds, and what others are told.

use std::time::Duration;

use kos_model::Outcome;
use kos_repository::{Breaker, FailingRule, Fared, Next, OpenFor, Repository, WaitsFor, WebhookChange, WebhookRecord};
use kos_test_support::TestDb;

use crate::builders::{MINUTE, claim_governed, event, finished, free, leased, repository, webhook};

const RULE: FailingRule = FailingRule { time: Duration::from_secs(5 * 24 * 3600), attempts: 20 };
const OPEN: OpenFor = OpenFor { base: Duration::from_secs(30), most: Duration::from_secs(900), spread: 1.0 };

fn fared(webhook: &WebhookRecord, succeeded: bool, failures: u32) -> Fared {
    let last_error = (failures > 0).then(|| "no answer".to_owned());
    Fared { webhook_id: webhook.id, succeeded, worked: succeeded, failures, last_error }
}

async fn note(repository: &Repository, fared: Fared) {
    repository.webhook_fared(&[fared], 3).await.unwrap();
}

/// The names and payloads of what the others are told now.
async fn told(repository: &Repository) -> Vec<(String, serde_json::Value)> {
    let mut told = Vec::new();
    while let Some(emitted) = repository.webhook_watch(RULE, &leased()).await.unwrap() {
        told.extend(emitted.into_iter().map(|it| (it.event.event_type.to_string(), it.event.payload.value())));
    }
    told
}

/// As if everything that happened to webhooks had happened so many hours earlier.
async fn hours_pass(db: &TestDb, hours: u32) {
    let shift = format!(
        "UPDATE webhook_health SET failing_since = failing_since - interval '{hours} hours',
         breaker_until = breaker_until - interval '{hours} hours', probe_until = probe_until - interval '{hours} hours'"
    );
    db.client().await.batch_execute(&shift).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_warned_at_50_75_and_90_per_cent_and_then_it_is_switched_off() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let failing = webhook(&repository, &[]).await;
    note(&repository, fared(&failing, false, 25)).await;
    let mut story = Vec::new();
    for _ in 0..13 {
        hours_pass(&db, 10).await;
        for (name, payload) in told(&repository).await {
            story.push((name, payload["percent"].as_u64()));
        }
    }
    let failing_at = |percent| ("webhook_failing".to_owned(), Some(percent));
    assert_eq!(story, [failing_at(50), failing_at(75), failing_at(90), ("webhook_disabled".to_owned(), None)]);
    let stored = repository.webhook_get(failing.id).await.unwrap().unwrap();
    assert_eq!(stored.disabled_reason.as_deref(), Some("failing"));
    let again = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
    repository.webhook_update(failing.id, again, None).await.unwrap();
    assert_eq!(told(&repository).await, [], "a person has seen to it, and it begins anew");
    assert_eq!(repository.webhook_ailing().await.unwrap(), [failing.id], "its first success is to be noted");
    note(&repository, fared(&failing, false, 1)).await;
    assert_eq!(told(&repository).await, [], "one failure is no news");
    note(&repository, fared(&failing, true, 0)).await;
    let names: Vec<_> = told(&repository).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["webhook_recovered"], "those who were told of the end are told of this, too");
    assert_eq!(told(&repository).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_webhook_that_somebody_else_is_at() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let failing = webhook(&repository, &[]).await;
    note(&repository, fared(&failing, false, 25)).await;
    hours_pass(&db, 60).await;
    let mut person = db.client().await;
    let change = person.transaction().await.unwrap();
    change.execute("SELECT 1 FROM webhooks FOR UPDATE", &[]).await.unwrap();
    let seen =
        tokio::time::timeout(Duration::from_secs(60), told(&repository)).await.expect("the watch waits for a person");
    assert_eq!(seen, []);
    change.commit().await.unwrap();
    assert_eq!(told(&repository).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_failures_are_no_reason_however_old_they_are() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let quiet = webhook(&repository, &[]).await;
    note(&repository, fared(&quiet, false, 19)).await;
    hours_pass(&db, 1000).await;
    assert_eq!(told(&repository).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_that_opens_is_told_once_and_so_is_the_recovery() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let broken = webhook(&repository, &[]).await;
    note(&repository, fared(&broken, false, 10)).await;
    assert!(repository.webhook_trip(broken.id, OPEN).await.unwrap());
    assert!(!repository.webhook_trip(broken.id, OPEN).await.unwrap(), "it is open already");
    let story = told(&repository).await;
    assert_eq!((story.len(), story[0].0.as_str()), (1, "webhook_failing"));
    assert_eq!(story[0].1["status"], "breaker_open");
    assert_eq!(story[0].1["error"], "no answer");
    assert_eq!(repository.webhook_ailing().await.unwrap(), [broken.id]);
    for _ in 0..3 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    hours_pass(&db, 1).await;
    for successes in 1..=3 {
        assert_eq!(claim_governed(&repository, &broken, 9, None).await.len(), 1, "the next probe");
        note(&repository, fared(&broken, true, 0)).await;
        let names: Vec<_> = told(&repository).await.into_iter().map(|(name, _)| name).collect();
        if successes < 3 {
            assert!(names.is_empty(), "it is not well before its breaker is closed: {names:?}");
            assert_eq!(repository.webhook_ailing().await.unwrap(), [broken.id], "further successes are to be noted");
        } else {
            assert_eq!(names, ["webhook_recovered"]);
        }
    }
    assert_eq!(told(&repository).await, []);
    assert!(repository.webhook_ailing().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_webhooks_that_tell_of_each_other_do_not_go_on_for_ever() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (one, other) = (webhook(&repository, &[]).await, webhook(&repository, &[]).await);
    for round in 0..5 {
        for failing in [&one, &other] {
            note(&repository, fared(failing, false, 10)).await;
            repository.webhook_trip(failing.id, OPEN).await.unwrap();
        }
        assert_eq!(told(&repository).await.len(), if round == 0 { 2 } else { 0 });
    }
    assert_eq!(repository.delivery_waiting().await.unwrap(), 2, "each hears of the other, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_lets_one_probe_through_when_its_time_is_over_and_closes_after_three() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let broken = webhook(&repository, &[]).await;
    for _ in 0..9 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    repository.webhook_trip(broken.id, OPEN).await.unwrap();
    assert_eq!(repository.delivery_lanes().await.unwrap()[0].breaker, Breaker::Open);
    assert!(claim_governed(&repository, &broken, 9, None).await.is_empty());
    hours_pass(&db, 1).await;
    assert_eq!(repository.delivery_lanes().await.unwrap()[0].breaker, Breaker::HalfOpen);

    // A probe that fails opens it again, for twice as long.
    let probe = claim_governed(&repository, &broken, 9, None).await;
    assert_eq!(probe.len(), 1);
    assert!(claim_governed(&repository, &broken, 9, None).await.is_empty(), "one probe at a time");
    let again = Next::RetryIn(Duration::ZERO, WaitsFor::Schedule);
    repository.delivery_finish(&[finished(&probe[0], Outcome::Retry { after: None }, again)]).await.unwrap();
    repository.webhook_trip(broken.id, OPEN).await.unwrap();
    let seconds = "SELECT extract(epoch FROM breaker_until - now())::float8 FROM webhook_health";
    let open_for: f64 = db.client().await.query_one(seconds, &[]).await.unwrap().get(0);
    assert!((50.0..=60.0).contains(&open_for), "{open_for}");

    hours_pass(&db, 1).await;
    for successes in 1..=3 {
        let probe = claim_governed(&repository, &broken, 9, None).await;
        assert_eq!(probe.len(), 1, "{successes}");
        repository.delivery_finish(&[finished(&probe[0], Outcome::Delivered, Next::Done)]).await.unwrap();
        note(&repository, fared(&broken, true, 0)).await;
    }
    assert_eq!(repository.delivery_lanes().await.unwrap()[0].breaker, Breaker::Closed);
    assert_eq!(claim_governed(&repository, &broken, 9, None).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_whose_server_dies_is_not_waited_for_longer_than_its_lease() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let broken = webhook(&repository, &[]).await;
    for _ in 0..2 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    repository.webhook_trip(broken.id, OPEN).await.unwrap();
    hours_pass(&db, 1).await;
    assert_eq!(claim_governed(&repository, &broken, 9, None).await.len(), 1);
    hours_pass(&db, 1).await;
    assert_eq!(claim_governed(&repository, &broken, 9, None).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_only_ever_made_longer_but_for_a_person() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let held = webhook(&repository, &[]).await;
    repository.event_emit(event("x"), &free()).await.unwrap();
    repository.webhook_hold(&[held.id], Duration::from_secs(3600)).await.unwrap();
    repository.webhook_hold(&[held.id], Duration::from_secs(1)).await.unwrap();
    let closed_for = repository.delivery_lanes().await.unwrap()[0].closed_for.unwrap();
    assert!(closed_for > Duration::from_secs(3500), "{closed_for:?}");
    assert!(claim_governed(&repository, &held, 1, None).await.is_empty());
    let on = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
    repository.webhook_update(held.id, on, None).await.unwrap();
    assert_eq!(repository.delivery_lanes().await.unwrap()[0].closed_for, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_counts_the_last_hour_and_what_waits() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    for _ in 0..4 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    let claimed = crate::builders::claim(&repository).await;
    let again = Next::RetryIn(MINUTE, WaitsFor::Schedule);
    let reports = [
        finished(&claimed[0], Outcome::Delivered, Next::Done),
        finished(&claimed[1], Outcome::Retry { after: None }, again),
        finished(&claimed[2], Outcome::Rejected, Next::Dead),
    ];
    repository.delivery_finish(&reports).await.unwrap();
    let health = repository.webhook_health(listener.id).await.unwrap().unwrap();
    assert_eq!((health.waiting, health.dead), (2, 1));
    assert_eq!((health.hour.attempts, health.hour.delivered, health.hour.p50_ms), (3, 1, Some(7.0)));
    assert_eq!(health.hour, health.day);
    assert_eq!(health.oldest_waiting, Some(claimed[1].event.created_at));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_says_nothing_of_the_receiver_makes_room_for_the_next() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let webhook = webhook(&repository, &[]).await;
    for _ in 0..5 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    repository.webhook_trip(webhook.id, OPEN).await.unwrap();
    hours_pass(&db, 1).await;
    assert_eq!(claim_governed(&repository, &webhook, 9, None).await.len(), 1);
    assert_eq!(claim_governed(&repository, &webhook, 9, None).await.len(), 0, "one at a time");
    let ours = Fared { worked: false, ..fared(&webhook, false, 0) };
    note(&repository, ours).await;
    assert_eq!(claim_governed(&repository, &webhook, 9, None).await.len(), 1);
    for _ in 0..3 {
        let refused = Fared { worked: true, ..fared(&webhook, false, 0) };
        note(&repository, refused).await;
    }
    let health = repository.webhook_health(webhook.id).await.unwrap().unwrap();
    assert_eq!(health.breaker, Breaker::Closed, "who judges messages works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_was_not_made_makes_room_for_the_next() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let webhook = webhook(&repository, &[]).await;
    repository.event_emit(event("x"), &free()).await.unwrap();
    repository.webhook_trip(webhook.id, OPEN).await.unwrap();
    hours_pass(&db, 1).await;
    let probe = claim_governed(&repository, &webhook, 1, None).await;
    assert_eq!(repository.delivery_release(&[(probe[0].id, probe[0].lease_token)]).await.unwrap(), 1);
    assert_eq!(claim_governed(&repository, &webhook, 1, None).await.len(), 1);
}
