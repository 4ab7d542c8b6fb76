//! Replays: what was missed comes again, a few at a time and once.

use chrono::{DateTime, TimeDelta, Utc};
use kos_model::Outcome;
use kos_repository::{NewReplay, Next, Repository, WebhookRecord};
use kos_test_support::TestDb;

use crate::builders::{claim, event, finished, free, repository, webhook};

fn now() -> DateTime<Utc> {
    chrono::Local::now().to_utc()
}

fn replay(webhook: &WebhookRecord) -> NewReplay {
    NewReplay {
        webhook_id: webhook.id,
        idempotency_key: None,
        since: now() - TimeDelta::hours(1),
        until: now() + TimeDelta::hours(1),
        events: Vec::new(),
        everything: false,
        per_second: 2,
    }
}

/// Takes one step, as if the second between two had passed.
async fn step(db: &TestDb, repository: &Repository) -> Option<usize> {
    db.client().await.batch_execute("UPDATE replays SET next_at = now()").await.unwrap();
    repository.replay_step().await.unwrap()
}

/// Five events: one delivered, one given up, one waiting, and two that came before anybody listened.
async fn scene(db: &TestDb) -> (Repository, WebhookRecord) {
    let repository = repository(db).await;
    for name in ["early_a", "early_b"] {
        repository.event_emit(event(name), &free()).await.unwrap();
    }
    let listener = webhook(&repository, &[]).await;
    for name in ["delivered", "dead", "waiting"] {
        repository.event_emit(event(name), &free()).await.unwrap();
    }
    let claimed = claim(&repository).await;
    let done =
        [finished(&claimed[0], Outcome::Delivered, Next::Done), finished(&claimed[1], Outcome::Rejected, Next::Dead)];
    repository.delivery_finish(&done).await.unwrap();
    (repository, listener)
}

async fn names(repository: &Repository) -> Vec<String> {
    let claimed = claim(repository).await;
    claimed.iter().map(|claimed| claimed.event.event_type.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_comes_again_at_its_pace_and_nothing_else() {
    let db = TestDb::new().await;
    let (repository, listener) = scene(&db).await;
    let (begun, is_new) = repository.replay_start(replay(&listener)).await.unwrap().unwrap();
    assert!(is_new && begun.state == "running");
    assert_eq!(step(&db, &repository).await, Some(2), "two a second");
    assert_eq!(step(&db, &repository).await, Some(1));
    assert_eq!(step(&db, &repository).await, None, "it is over");
    let ended = repository.replay_get(begun.id).await.unwrap().unwrap();
    assert_eq!((ended.state.as_str(), ended.looked_at, ended.enqueued), ("done", 5, 3));
    assert_eq!(names(&repository).await, ["early_a", "early_b", "dead"]);
    assert_eq!(repository.stats().await.unwrap().totals.dead_letters, 0, "what comes again is no dead letter any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_again_when_that_is_wanted_but_what_is_under_way() {
    let db = TestDb::new().await;
    let (repository, listener) = scene(&db).await;
    let everything = NewReplay { everything: true, per_second: 100, ..replay(&listener) };
    repository.replay_start(everything).await.unwrap().unwrap();
    assert_eq!(step(&db, &repository).await, Some(4));
    assert_eq!(names(&repository).await, ["early_a", "early_b", "delivered", "dead"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_events_of_the_wanted_names_and_time_come_again() {
    let db = TestDb::new().await;
    let (repository, listener) = scene(&db).await;
    let some = NewReplay { events: vec!["early_*".parse().unwrap()], per_second: 100, ..replay(&listener) };
    repository.replay_start(some).await.unwrap().unwrap();
    assert_eq!(step(&db, &repository).await, Some(2));
    let long_ago = NewReplay { until: now() - TimeDelta::minutes(30), everything: true, ..replay(&listener) };
    repository.replay_start(long_ago).await.unwrap().unwrap();
    assert_eq!(step(&db, &repository).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_twice_under_one_name_it_runs_once() {
    let db = TestDb::new().await;
    let (repository, listener) = scene(&db).await;
    let named = || NewReplay { idempotency_key: Some("monday".to_owned()), ..replay(&listener) };
    let asked = (0..8).map(|_| repository.replay_start(named()));
    let begun: Vec<_> =
        futures_util::future::join_all(asked).await.into_iter().map(|it| it.unwrap().unwrap()).collect();
    assert_eq!(begun.iter().filter(|(_, is_new)| *is_new).count(), 1);
    assert!(begun.iter().all(|(replay, _)| replay.id == begun[0].0.id));
    while step(&db, &repository).await.is_some() {}
    assert_eq!(names(&repository).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_step_at_once_enqueue_each_event_once() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for _ in 0..60 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    let listener = webhook(&repository, &[]).await;
    repository.replay_start(NewReplay { per_second: 10, ..replay(&listener) }).await.unwrap();
    for _ in 0..8 {
        db.client().await.batch_execute("UPDATE replays SET next_at = now()").await.unwrap();
        futures_util::future::join_all((0..4).map(|_| repository.replay_step())).await;
    }
    assert_eq!(repository.delivery_waiting().await.unwrap(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_replay_goes_no_further() {
    let db = TestDb::new().await;
    let (repository, listener) = scene(&db).await;
    let (begun, _) = repository.replay_start(replay(&listener)).await.unwrap().unwrap();
    step(&db, &repository).await;
    assert_eq!(repository.replay_cancel(begun.id).await.unwrap().unwrap().state, "cancelled");
    assert_eq!(step(&db, &repository).await, None);
    assert_eq!(names(&repository).await.len(), 2);
}
