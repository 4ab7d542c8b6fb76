//! A delivery's story: where it stands, and what may be done about it.

use kos_model::{DeliveryId, Outcome};
use kos_repository::{Cancelled, DeliveryFilter, DeliveryState, Next, Retried, WaitsFor};
use kos_test_support::TestDb;

use crate::builders::{MINUTE, claim, event, finished, free, repository, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_found_wherever_it_stands() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    repository.event_emit(event("x"), &free()).await.unwrap();
    let open = repository.delivery_list(DeliveryFilter::default(), None, 10).await.unwrap();
    let id = open[0].id;
    let state = async || repository.delivery_get(id).await.unwrap().unwrap().state;
    assert_eq!(state().await, DeliveryState::Waiting);
    repository.webhook_pause(listener.id).await.unwrap();
    assert_eq!(state().await, DeliveryState::Parked);
    let on = kos_repository::WebhookChange { enabled: Some(true), ..Default::default() };
    repository.webhook_update(listener.id, on, None).await.unwrap();
    let claimed = claim(&repository).await;
    assert_eq!(state().await, DeliveryState::Sending);
    assert_eq!(repository.delivery_cancel(id).await.unwrap(), Cancelled::BeingSent);
    assert_eq!(repository.delivery_retry(id).await.unwrap(), Retried::BeingSent);
    repository.delivery_finish(&[finished(&claimed[0], Outcome::Delivered, Next::Done)]).await.unwrap();
    assert_eq!(state().await, DeliveryState::Delivered);
    let found = repository.delivery_get(id).await.unwrap().unwrap();
    assert_eq!((found.attempts, found.event_type.as_deref()), (1, Some("x")));
    assert_eq!(repository.delivery_get(DeliveryId::generate()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_can_be_hastened_or_taken_back() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &[]).await;
    repository.event_emit(event("x"), &free()).await.unwrap();
    let claimed = claim(&repository).await;
    let later = Next::RetryIn(MINUTE, WaitsFor::Schedule);
    repository.delivery_finish(&[finished(&claimed[0], Outcome::Retry { after: None }, later)]).await.unwrap();
    let id = claimed[0].id;
    let waiting = repository.delivery_get(id).await.unwrap().unwrap();
    assert_eq!((waiting.waits_for.as_deref(), waiting.attempts), (Some("schedule"), 1));
    assert!(claim(&repository).await.is_empty());
    assert_eq!(repository.delivery_retry(id).await.unwrap(), Retried::Due(id));
    let again = claim(&repository).await;
    assert_eq!(again[0].attempts, 1, "its series goes on");
    repository.delivery_release(&[(id, again[0].lease_token)]).await.unwrap();
    assert_eq!(repository.delivery_cancel(id).await.unwrap(), Cancelled::Done);
    assert_eq!(repository.delivery_cancel(id).await.unwrap(), Cancelled::NotThere);
    assert_eq!(repository.delivery_get(id).await.unwrap().unwrap().state, DeliveryState::Cancelled);
    assert!(claim(&repository).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dead_begin_anew_and_the_delivered_go_once_more() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let listener = webhook(&repository, &[]).await;
    for _ in 0..2 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    let claimed = claim(&repository).await;
    let (dead, delivered) = (&claimed[0], &claimed[1]);
    let reports = [finished(dead, Outcome::Rejected, Next::Dead), finished(delivered, Outcome::Delivered, Next::Done)];
    repository.delivery_finish(&reports).await.unwrap();

    assert_eq!(repository.delivery_retry(dead.id).await.unwrap(), Retried::Due(dead.id));
    let Retried::Due(new) = repository.delivery_retry(delivered.id).await.unwrap() else { panic!("it is repeated") };
    assert_ne!(new, delivered.id);
    let again = claim(&repository).await;
    assert_eq!(again.iter().map(|it| (it.id, it.attempts)).collect::<Vec<_>>(), [(dead.id, 0), (new, 0)]);
    let of_event = DeliveryFilter { event_id: Some(delivered.event.id), ..DeliveryFilter::default() };
    let found = repository.delivery_list(of_event, None, 10).await.unwrap();
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), [new]);

    repository.delivery_finish(&[finished(&again[0], Outcome::Rejected, Next::Dead)]).await.unwrap();
    repository.webhook_delete(listener.id).await.unwrap();
    assert_eq!(repository.delivery_retry(dead.id).await.unwrap(), Retried::WebhookGone);
    assert_eq!(repository.delivery_get(dead.id).await.unwrap().unwrap().state, DeliveryState::Dead, "and is not lost");
    db.client().await.batch_execute("DELETE FROM events").await.unwrap();
    assert_eq!(repository.delivery_retry(dead.id).await.unwrap(), Retried::EventGone);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_page_by_page() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    webhook(&repository, &[]).await;
    for _ in 0..5 {
        repository.event_emit(event("x"), &free()).await.unwrap();
    }
    let filter = DeliveryFilter::default();
    let first = repository.delivery_list(filter, None, 3).await.unwrap();
    let second = repository.delivery_list(filter, Some(first[2].id), 3).await.unwrap();
    assert_eq!((first.len(), second.len()), (3, 2));
    assert!(first[2].id > second[0].id);
}
