//! An event and its deliveries: together or not at all, to those who listen and nobody else.

use kos_model::event::{EventFilter, subscribed};
use kos_model::knowledge::KnowledgeDraft;
use kos_test_support::TestDb;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::builders::{claim, event, free, leased, repository, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn knowledge_its_event_and_its_deliveries_are_stored_together() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &["knowledge_*"]).await;
    webhook(&repository, &["task_completed"]).await;
    let draft = KnowledgeDraft {
        content: "Python async/await".to_owned(),
        domain: Some("python".to_owned()),
        ..KnowledgeDraft::default()
    };
    let created = repository.knowledge_create(&draft.check().unwrap(), "api", &leased()).await.unwrap();
    let record = created.record;
    let [of_domain, emitted] = created.emitted.as_slice() else { panic!("its domain is new too") };
    assert_eq!(of_domain.event.event_type.as_str(), "domain_created");
    assert_eq!(of_domain.event.payload.value()["name"], "python");
    assert_eq!(repository.knowledge_get(record.id).await.unwrap().unwrap(), record);
    assert_eq!(emitted.event.event_type.as_str(), "knowledge_created");
    assert_eq!(emitted.event.payload.value()["knowledge_id"], record.id.to_string());
    let [claimed] = emitted.claimed.as_slice() else { panic!("one webhook listens: {emitted:?}") };
    assert_eq!(claimed.recipient.webhook_id, listener.id);
    assert_eq!(claimed.recipient.target.as_ref().unwrap()["secret"], "whsec_s3cr3t");
    assert!(claim(&repository).await.is_empty(), "what is leased to the writer is nobody else's");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_who_name_the_same_new_domain_share_it() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let new: Vec<_> = (0..8)
        .map(|number| KnowledgeDraft {
            content: format!("text {number}"),
            domain: Some("new".to_owned()),
            ..KnowledgeDraft::default()
        })
        .map(|draft| draft.check().unwrap())
        .collect();
    let terms = free();
    let written = new.iter().map(|new| repository.knowledge_create(new, "api", &terms));
    let mut told = 0;
    for written in futures_util::future::join_all(written).await {
        told += written.unwrap().emitted.len();
    }
    assert_eq!(told, 8 + 1, "the domain is told of once");
    assert_eq!(repository.stats().await.unwrap().totals.domains, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_without_room_at_the_writer_are_left_to_the_claims() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let full = webhook(&repository, &[]).await;
    let roomy = webhook(&repository, &[]).await;
    let mut terms = leased();
    terms.room.insert(full.id, 1);
    let emitted = repository.event_emit_all(vec![event("x"), event("y")], &terms).await.unwrap();
    let taken: Vec<_> = emitted.iter().flat_map(|it| &it.claimed).map(|it| it.recipient.webhook_id).collect();
    assert_eq!(taken, [full.id, roomy.id, roomy.id], "the first finds the only place");
    assert_eq!(emitted.iter().map(|it| it.deliveries).sum::<usize>(), 4);
    let claimed = claim(&repository).await;
    assert_eq!(claimed.iter().map(|c| c.recipient.webhook_id).collect::<Vec<_>>(), [full.id]);
    assert_eq!(claimed[0].event.event_type.to_string(), "y");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_deleted_meanwhile_spoils_no_event() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for _ in 0..20 {
        let doomed = webhook(&repository, &[]).await;
        let terms = leased();
        let (emitted, deleted) =
            tokio::join!(repository.event_emit(event("x"), &terms), repository.webhook_delete(doomed.id));
        emitted.unwrap();
        assert!(deleted.unwrap());
    }
    // What was born in the very moment of a deletion goes with the next round of upkeep.
    let retention = kos_repository::Retention { events: 30, logs: 14 };
    repository.partitions_keep(chrono::Local::now().to_utc(), retention).await.unwrap();
    db.client().await.batch_execute("DELETE FROM deliveries WHERE due_at > now()").await.unwrap();
    assert_eq!(repository.delivery_waiting().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_hears_what_the_model_hears() {
    let db = TestDb::new().await;
    let client = db.client().await;
    let name = "[a-c]{1,2}(_[a-c]{0,2})?";
    let filters =
        prop::collection::vec(prop_oneof![name.prop_map(String::from), "[a-c]{1,2}_\\*".prop_map(String::from)], 0..4);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..300 {
        let (name, filters) = (name, &filters).new_tree(&mut runner).unwrap().current();
        let parsed: Vec<EventFilter> = filters.iter().map(|filter| filter.parse().unwrap()).collect();
        let events = serde_json::Value::from(filters.clone());
        let row =
            client.query_one("SELECT webhook_hears($1::text::jsonb, $2)", &[&events.to_string(), &name]).await.unwrap();
        assert_eq!(row.get::<_, bool>(0), subscribed(&parsed, &name.parse().unwrap()), "{name} {filters:?}");
    }
}
