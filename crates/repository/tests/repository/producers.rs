//! Programs that share the database tell events within their own transactions.

use kos_model::EventId;
use kos_model::event::Known;
use kos_repository::DeliveryFilter;
use kos_test_support::TestDb;

use crate::builders::{claim, repository, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_lives_and_dies_with_its_producer_s_transaction() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &["order_*"]).await;
    webhook(&repository, &["other"]).await;
    let mut client = db.client().await;
    client.batch_execute("CREATE TABLE orders (id integer)").await.unwrap();

    let tx = client.transaction().await.unwrap();
    tx.execute("INSERT INTO orders VALUES (1)", &[]).await.unwrap();
    tx.execute("SELECT kos_emit('order_placed', '{\"order\": 1}')", &[]).await.unwrap();
    assert!(claim(&repository).await.is_empty(), "nobody sees it before the commit");
    tx.rollback().await.unwrap();
    assert_eq!(repository.delivery_waiting().await.unwrap(), 0);

    let tx = client.transaction().await.unwrap();
    tx.execute("INSERT INTO orders VALUES (2)", &[]).await.unwrap();
    tx.execute("SELECT kos_emit('order_placed', '{\"order\": 2}')", &[]).await.unwrap();
    tx.commit().await.unwrap();
    let claimed = claim(&repository).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].recipient.webhook_id, listener.id);
    assert_eq!(claimed[0].event.event_type.as_str(), "order_placed");
    assert_eq!(claimed[0].event.payload.value()["order"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_refused_in_words_and_spoils_the_transaction() {
    let db = TestDb::new().await;
    let client = db.client().await;
    for (call, words) in [
        ("kos_emit('Order placed', '{}')", "'Order placed' is no event name"),
        ("kos_emit(NULL, '{}')", "NULL is no event name"),
        ("kos_emit('webhook_disabled', '{}')", "webhook_disabled is told by the service itself"),
        ("kos_emit('x', '[]')", "payload must be a JSON object"),
        ("kos_emit('x', NULL)", "payload must be a JSON object"),
        ("kos_emit('x', jsonb_build_object('a', repeat('x', 300000)))", "at most 262144"),
    ] {
        let error = client.query(&format!("SELECT {call}"), &[]).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert!(error.message().contains(words) && error.hint().is_some(), "{call}: {error:?}");
    }
    for known in Known::ALL {
        let told = client.query_one("SELECT kos_emit($1)::text", &[&known.as_str()]).await;
        assert_eq!(told.is_err(), known.is_ours_alone(), "{known:?}");
    }
    let ours = Known::ALL.iter().filter(|known| known.is_ours_alone()).count();
    let told = client.query_one("SELECT count(*) FROM events", &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(usize::try_from(told).unwrap(), Known::ALL.len() - ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_needs_no_rights_of_its_own_on_our_tables() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &[]).await;
    let client = db.client().await;
    let role = format!("producer_{}", std::process::id());
    client.batch_execute(&format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role}; SET ROLE {role}")).await.unwrap();
    let denied =
        client.execute("INSERT INTO events (id, event_type, payload) VALUES (uuid_v7(), 'x', '{}')", &[]).await;
    let told = client.execute("SELECT kos_emit('x')", &[]).await;
    client.batch_execute(&format!("RESET ROLE; DROP ROLE {role}")).await.unwrap();
    assert!(denied.is_err());
    told.unwrap();
    assert_eq!(claim(&repository).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_found_by_their_event_however_their_ids_compare() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &[]).await;
    let client = db.client().await;
    for _ in 0..40 {
        let told: String = client.query_one("SELECT kos_emit('x')::text", &[]).await.unwrap().get(0);
        let filter = DeliveryFilter { event_id: Some(EventId(told.parse().unwrap())), ..DeliveryFilter::default() };
        assert_eq!(repository.delivery_list(filter, None, 9).await.unwrap().len(), 1);
    }
}
