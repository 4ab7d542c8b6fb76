//! Claims, leases and outcomes.

use std::collections::HashSet;
use std::time::Duration;

use kos_model::Outcome;
use kos_repository::{Next, Room};
use kos_test_support::TestDb;

use crate::builders::{MINUTE, claim, event, finished, free, leased, repository, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn claimers_that_run_at_once_share_the_work_without_a_duplicate() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &[]).await;
    webhook(&repository, &[]).await;
    for _ in 0..100 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    let claims = (0..8).map(|_| repository.delivery_claim(&[], 15, 1000, MINUTE));
    let mut taken: Vec<_> =
        futures_util::future::join_all(claims).await.into_iter().flat_map(|claimed| claimed.unwrap()).collect();
    taken.extend(repository.delivery_claim(&[], 1000, 1000, MINUTE).await.unwrap());
    let distinct: HashSet<_> = taken.iter().map(|claimed| claimed.id).collect();
    assert_eq!((taken.len(), distinct.len()), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_one_webhook_leaves_room_for_the_others() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let slow = webhook(&repository, &["slow"]).await;
    let quick = webhook(&repository, &["quick"]).await;
    for _ in 0..50 {
        repository.event_emit(event("slow"), &free()).await.unwrap();
    }
    repository.event_emit(event("quick"), &free()).await.unwrap();
    let rooms = [Room { webhook_id: slow.id, free: 3 }];
    let claimed = repository.delivery_claim(&rooms, 10, 1000, MINUTE).await.unwrap();
    let of = |id| claimed.iter().filter(|claimed| claimed.recipient.webhook_id == id).count();
    assert_eq!((of(slow.id), of(quick.id)), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_under_an_old_lease_changes_nothing_but_the_log() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    let emitted = repository.event_emit(event("x"), &leased()).await.unwrap();
    let stale = &emitted.claimed[0];
    db.client().await.batch_execute("UPDATE deliveries SET due_at = now()").await.unwrap();
    let fresh = &claim(&repository).await[0];
    assert_eq!(fresh.id, stale.id);

    let held = repository.delivery_finish(&[finished(stale, Outcome::Delivered, Next::Done)]).await.unwrap();
    assert!(held.is_empty());
    assert_eq!(repository.delivery_waiting().await.unwrap(), 1);
    let held = repository.delivery_finish(&[finished(fresh, Outcome::Delivered, Next::Done)]).await.unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(repository.delivery_waiting().await.unwrap(), 0);
    assert_eq!(repository.webhook_log_list(listener.id, None, 10).await.unwrap().len(), 2, "one row an attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_leads_to_its_state() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    for _ in 0..4 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    let claimed = claim(&repository).await;
    let retry = Outcome::Retry { after: None };
    let reports = [
        finished(&claimed[0], Outcome::Delivered, Next::Done),
        finished(&claimed[1], retry, Next::RetryIn(Duration::ZERO)),
        finished(&claimed[2], Outcome::Fault, Next::DeferFor(Duration::ZERO)),
        finished(&claimed[3], Outcome::Rejected, Next::Dead),
    ];
    repository.delivery_finish(&reports).await.unwrap();
    let again = claim(&repository).await;
    let attempts: Vec<_> = again.iter().map(|claimed| (claimed.id, claimed.attempts)).collect();
    assert_eq!(attempts, [(claimed[1].id, 1), (claimed[2].id, 0)], "a fault of ours costs no attempt");
    let stats = repository.stats().await.unwrap();
    assert_eq!((stats.deliveries_waiting, stats.dead_letters, stats.attempts_24h), (2, 1, 4));
    let logs = repository.webhook_log_list(listener.id, None, 10).await.unwrap();
    assert_eq!(logs.iter().filter(|log| log.success).count(), 1);
    assert_eq!(logs[0].payload.as_ref().unwrap()["message"], "x", "the payload is the event's");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_back_is_free_at_once_and_only_by_its_holder() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &[]).await;
    let emitted = repository.event_emit(event("x"), &leased()).await.unwrap();
    let held = &emitted.claimed[0];
    assert_eq!(repository.delivery_release(&[(held.id, held.lease_token + 1)]).await.unwrap(), 0);
    assert_eq!(repository.delivery_release(&[(held.id, held.lease_token)]).await.unwrap(), 1);
    assert_eq!(claim(&repository).await.len(), 1);
}
