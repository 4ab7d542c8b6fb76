//! Holders: who dies loses his leases at once, who merely stumbles keeps them.

use kos_repository::{Holder, LeaseTerms, Repository};
use kos_test_support::TestDb;

use crate::builders::{MINUTE, claim, event, repository, webhook};

fn terms(holder: &Holder) -> LeaseTerms {
    LeaseTerms { mint: Some(holder.mint()), lease: MINUTE, ..LeaseTerms::default() }
}

/// As if the lock had been found free some time ago.
async fn time_passes(db: &TestDb) {
    db.client().await.batch_execute("UPDATE holders SET lost_at = lost_at - interval '1 minute'").await.unwrap();
}

/// Ends the connections that hold advisory locks, as a death or a cut would.
async fn cut(db: &TestDb) {
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_locks
               WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    db.client().await.batch_execute(cut).await.unwrap();
    let left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let client = db.client().await;
    while client.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
}

async fn scene(db: &TestDb) -> (Repository, Holder) {
    let repository = repository(db).await;
    webhook(&repository, &[]).await;
    let holder = repository.holder_enlist().await.unwrap();
    repository.event_emit(event("x"), &terms(&holder)).await.unwrap();
    (repository, holder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_holder_s_leases_are_free_within_seconds() {
    let db = TestDb::new().await;
    let (repository, mut holder) = scene(&db).await;
    assert!(holder.is_standing().await);
    assert_eq!(repository.holder_reap().await.unwrap(), 0, "it lives");
    drop(holder);
    cut(&db).await;
    assert_eq!(repository.holder_reap().await.unwrap(), 0, "it may only have stumbled");
    assert!(claim(&repository).await.is_empty());
    time_passes(&db).await;
    assert_eq!(repository.holder_reap().await.unwrap(), 1);
    assert_eq!(claim(&repository).await.len(), 1);
    assert_eq!(repository.holder_reap().await.unwrap(), 0, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_connection_broke_returns_in_time_and_keeps_its_leases() {
    let db = TestDb::new().await;
    let (repository, mut holder) = scene(&db).await;
    cut(&db).await;
    assert!(!holder.is_standing().await);
    assert_eq!(repository.holder_reap().await.unwrap(), 0);
    assert!(repository.holder_return(&mut holder).await.unwrap());
    assert!(holder.is_standing().await);
    time_passes(&db).await;
    assert_eq!(repository.holder_reap().await.unwrap(), 0);
    assert!(claim(&repository).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_returns_too_late_is_told_so() {
    let db = TestDb::new().await;
    let (repository, mut holder) = scene(&db).await;
    cut(&db).await;
    repository.holder_reap().await.unwrap();
    time_passes(&db).await;
    assert_eq!(repository.holder_reap().await.unwrap(), 1);
    assert!(!repository.holder_return(&mut holder).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_resigns_leaves_nothing_to_reap() {
    let db = TestDb::new().await;
    let (repository, holder) = scene(&db).await;
    holder.resign().await.unwrap();
    time_passes(&db).await;
    assert_eq!(repository.holder_reap().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn holders_never_make_the_same_token() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (one, other) = (repository.holder_enlist().await.unwrap(), repository.holder_enlist().await.unwrap());
    let tokens: std::collections::HashSet<i64> =
        (0..1000).flat_map(|_| [one.mint().token(), other.mint().token()]).collect();
    assert_eq!(tokens.len(), 2000);
}
