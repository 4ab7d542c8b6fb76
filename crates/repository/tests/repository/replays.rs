//! Replays: what was missed comes again, a few at a time and once.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use kos_model::Outcome;
use kos_repository::{Answer, Cancelled, DeliveryFilter, NewReplay, Next, ReplayRecord, Repository, WebhookRecord};
use kos_test_support::TestDb;

use crate::builders::{claim, event, finished, free, repository, webhook};

fn now() -> DateTime<Utc> {
    chrono::Local::now().to_utc()
}

fn replay(webhook: &WebhookRecord) -> NewReplay {
    NewReplay {
        webhook_id: webhook.id,
        since: now() - TimeDelta::hours(1),
        until: now() + TimeDelta::hours(1),
        events: Vec::new(),
        everything: false,
        per_second: 2,
    }
}

async fn begin(repository: &Repository, new: NewReplay) -> ReplayRecord {
    let begun = Mutex::new(None);
    let render = |record: ReplayRecord| {
        *begun.lock().unwrap() = Some(record);
        Answer { status: 202, headers: Vec::new(), body: String::new() }
    };
    repository.create(&new, &free(), None, &render).await.unwrap();
    begun.into_inner().unwrap().unwrap()
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
    let ended = DeliveryFilter { ended: true, ..DeliveryFilter::default() };
    let dead = repository.delivery_list(ended, None, 9).await.unwrap()[0].id;
    let begun = begin(&repository, replay(&listener)).await;
    assert_eq!(begun.state, "running");
    assert_eq!(step(&db, &repository).await, Some(2), "two a second");
    assert_eq!(step(&db, &repository).await, Some(1));
    assert_eq!(step(&db, &repository).await, None, "it is over");
    let ended = repository.replay_get(begun.id).await.unwrap().unwrap();
    assert_eq!((ended.state.as_str(), ended.looked_at, ended.enqueued), ("done", 5, 3));
    let again = claim(&repository).await;
    let names: Vec<_> = again.iter().map(|claimed| claimed.event.event_type.to_string()).collect();
    assert_eq!(names, ["dead", "early_a", "early_b"], "in the order of their ids");
    assert_eq!(again[0].id, dead, "its story goes on");
    assert_eq!(repository.stats().await.unwrap().totals.dead_letters, 0, "what comes again is no dead letter any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_again_when_that_is_wanted_but_what_is_under_way() {
    let db = TestDb::new().await;
    let (repository, listener) = scene(&db).await;
    let everything = NewReplay { everything: true, per_second: 100, ..replay(&listener) };
    begin(&repository, everything).await;
    assert_eq!(step(&db, &repository).await, Some(4));
    assert_eq!(names(&repository).await, ["dead", "early_a", "early_b", "delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_events_of_the_wanted_names_and_time_come_again() {
    let db = TestDb::new().await;
    let (repository, listener) = scene(&db).await;
    let some = NewReplay { events: vec!["early_*".parse().unwrap()], per_second: 100, ..replay(&listener) };
    begin(&repository, some).await;
    assert_eq!(step(&db, &repository).await, Some(2));
    let long_ago = NewReplay { until: now() - TimeDelta::minutes(30), everything: true, ..replay(&listener) };
    begin(&repository, long_ago).await;
    assert_eq!(step(&db, &repository).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_took_back_stays_back_unless_everything_is_wanted() {
    let db = TestDb::new().await;
    let (repository, listener) = scene(&db).await;
    let filter = DeliveryFilter::default();
    db.client().await.batch_execute("UPDATE deliveries SET due_at = now(), lease_token = NULL").await.unwrap();
    let waiting = repository.delivery_list(filter, None, 9).await.unwrap();
    assert_eq!(repository.delivery_cancel(waiting[0].id).await.unwrap(), Cancelled::Done);
    begin(&repository, NewReplay { per_second: 100, ..replay(&listener) }).await;
    step(&db, &repository).await;
    assert_eq!(names(&repository).await, ["dead", "early_a", "early_b"]);
    begin(&repository, NewReplay { per_second: 100, everything: true, ..replay(&listener) }).await;
    step(&db, &repository).await;
    assert_eq!(names(&repository).await, ["waiting", "delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_step_at_once_enqueue_each_event_once() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for _ in 0..60 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    let listener = webhook(&repository, &[]).await;
    begin(&repository, NewReplay { per_second: 10, ..replay(&listener) }).await;
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
    let begun = begin(&repository, replay(&listener)).await;
    step(&db, &repository).await;
    assert_eq!(repository.replay_cancel(begun.id).await.unwrap().unwrap().state, "cancelled");
    assert_eq!(step(&db, &repository).await, None);
    assert_eq!(names(&repository).await.len(), 2);
}
