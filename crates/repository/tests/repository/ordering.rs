//! An order that is asked for while something waits already.

use kos_model::DeliveryPolicy;
use kos_repository::{Claimed, Next, Repository, WebhookChange, WebhookRecord};
use kos_test_support::TestDb;

use crate::builders::{claim_governed, claim_of, event, finished, free, heard, ordered, repository, webhook};

async fn change(repository: &Repository, webhook: &WebhookRecord, policy: DeliveryPolicy) -> WebhookRecord {
    let change = WebhookChange { policy: Some(policy), ..WebhookChange::default() };
    repository.webhook_update(webhook.id, change, None).await.unwrap().unwrap()
}

async fn tell(repository: &Repository, names: &[&str]) {
    for name in names {
        repository.event_emit(event(name), &free()).await.unwrap();
    }
}

fn names(claimed: &[Claimed]) -> Vec<String> {
    claimed.iter().map(|it| it.event.event_type.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_in_its_order_and_before_all_that_comes_later() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    tell(&repository, &["a", "b", "c"]).await;
    let listener = change(&repository, &listener, ordered()).await;
    tell(&repository, &["d", "e"]).await;
    assert!(!repository.delivery_place(true).await.unwrap(), "another server may not have heard of it");
    assert!(
        claim_governed(&repository, &listener, 9, None).await.is_empty(),
        "nothing goes before the old has its places"
    );
    heard(&db).await;
    assert!(repository.delivery_place(false).await.unwrap());
    assert_eq!(names(&claim_governed(&repository, &listener, 9, None).await), ["a", "b", "c", "d", "e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_writer_brings_who_did_not_know_of_the_order_goes_before_what_is_younger() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    let mut client = db.client().await;
    let tx = client.transaction().await.unwrap();
    tx.execute("SELECT kos_emit('early')", &[]).await.unwrap();
    let listener = change(&repository, &listener, ordered()).await;
    heard(&db).await;
    assert!(repository.delivery_place(false).await.unwrap(), "there is nothing to be placed: it goes on");
    tell(&repository, &["late"]).await;
    tx.commit().await.unwrap();
    assert!(repository.delivery_place(true).await.unwrap());
    assert_eq!(names(&claim_governed(&repository, &listener, 9, None).await), ["early", "late"]);
    assert!(!repository.delivery_place(true).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_waited_for_and_what_is_being_written_too() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    tell(&repository, &["a", "b", "c", "d"]).await;
    let under_way = claim_of(&repository, 1).await;
    let mut client = db.client().await;
    let writer = client.transaction().await.unwrap();
    let one = "SELECT 1 FROM deliveries WHERE event_id = (SELECT id FROM events WHERE event_type = 'c') FOR UPDATE";
    writer.execute(one, &[]).await.unwrap();
    let listener = change(&repository, &listener, ordered()).await;
    heard(&db).await;
    repository.delivery_place(false).await.unwrap();
    assert!(claim_governed(&repository, &listener, 9, None).await.is_empty(), "one has no place yet");
    writer.commit().await.unwrap();
    assert!(repository.delivery_place(false).await.unwrap());
    assert!(claim_governed(&repository, &listener, 9, None).await.is_empty(), "the first one is under way");
    let done: Vec<_> = under_way.iter().map(|it| finished(it, kos_model::Outcome::Delivered, Next::Done)).collect();
    repository.delivery_finish(&done).await.unwrap();
    assert_eq!(names(&claim_governed(&repository, &listener, 9, None).await), ["b", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_comes_and_goes_leaves_nothing_behind() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let mut listener = webhook(&repository, &[]).await;
    for (free, in_order) in [("a", "b"), ("c", "d"), ("e", "f")] {
        tell(&repository, &[free]).await;
        listener = change(&repository, &listener, ordered()).await;
        tell(&repository, &[in_order]).await;
        listener = change(&repository, &listener, DeliveryPolicy::default()).await;
    }
    assert!(!repository.delivery_place(true).await.unwrap(), "nobody wants an order now");
    listener = change(&repository, &listener, ordered()).await;
    heard(&db).await;
    assert!(repository.delivery_place(false).await.unwrap());
    assert_eq!(names(&claim_governed(&repository, &listener, 9, None).await), ["a", "b", "c", "d", "e", "f"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_backlog_gets_its_places_piece_by_piece_and_the_change_does_not_wait_for_it() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    let fill = format!(
        "INSERT INTO deliveries (id, event_id, webhook_id, due_at)
         SELECT uuid_v7(), uuid_v7(), '{}', now() FROM generate_series(1, 125000)",
        listener.id
    );
    let client = db.client().await;
    client.batch_execute(&fill).await.unwrap();
    change(&repository, &listener, ordered()).await;
    heard(&db).await;
    let unplaced = async || -> i64 {
        let count = "SELECT count(*) FROM deliveries WHERE place IS NULL";
        client.query_one(count, &[]).await.unwrap().get(0)
    };
    assert!(!repository.delivery_place(false).await.unwrap(), "there is more to be done");
    assert_eq!(unplaced().await, 25_000);
    assert!(repository.delivery_place(false).await.unwrap());
    assert_eq!(unplaced().await, 0);
    let inversions =
        "SELECT count(*) FROM (SELECT id, lag(id) OVER (ORDER BY place) AS before FROM deliveries) d WHERE before > id";
    assert_eq!(client.query_one(inversions, &[]).await.unwrap().get::<_, i64>(0), 0);
    let beyond = "SELECT nextval('delivery_order') > (SELECT max(place) FROM deliveries)";
    assert!(client.query_one(beyond, &[]).await.unwrap().get::<_, bool>(0));
}
