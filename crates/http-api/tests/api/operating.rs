//! A webhook in operation: paused, resumed, its keys changed, its past replayed, its health asked for.

use std::time::Duration;

use actix_web::http::StatusCode;
use kos_test_support::receiver::{Answer, Received};
use kos_webhooks::signature::{Headers, VerifyingKey, verify};
use serde_json::json;

use crate::bench::Bench;

fn is_signed_with(message: &Received, key: &str) -> bool {
    let headers = Headers::find(|name| message.headers.get(name)?.to_str().ok()).unwrap();
    verify(&[key.parse::<VerifyingKey>().unwrap()], &headers, &message.body, chrono::Local::now().to_utc()).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_webhook_is_paused_waits_and_goes_out_when_it_is_resumed() {
    let mut bench = Bench::new().await;
    let hook = bench.custom("/hook", json!({})).await;
    let paused = bench.call("post", &format!("{hook}/pause")).await.json();
    assert_eq!((&paused["enabled"], &paused["disabled_reason"]), (&json!(false), &json!("paused")));
    bench.post("/events", &json!({"event_type": "kept"})).await;
    bench.idle().await;
    assert!(bench.receiver.drain().is_empty());
    let parked = bench.get("/deliveries").await.json();
    assert_eq!(parked["data"][0]["state"], "parked");
    let resumed = bench.call("post", &format!("{hook}/resume")).await.json();
    assert_eq!((&resumed["enabled"], &resumed["skipped"]), (&json!(true), &json!(0)));
    bench.idle().await;
    assert_eq!(bench.receiver.next().await.json()["event_type"], "kept");

    bench.call("post", &format!("{hook}/pause")).await;
    bench.post("/events", &json!({"event_type": "left_out"})).await;
    let resumed = bench.post(&format!("{hook}/resume"), &json!({"backlog": "skip"})).await.json();
    assert_eq!(resumed["skipped"], 1);
    bench.idle().await;
    assert!(bench.receiver.drain().is_empty());
    assert_eq!(bench.get("/deliveries?state=ended").await.json()["data"][0]["state"], "skipped");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_and_the_old_one_both_sign_until_the_overlap_is_over() {
    let mut bench = Bench::new().await;
    let url = bench.receiver.url("/hook");
    let created = bench.post("/webhooks", &json!({"webhook_type": "custom", "url": url})).await.json();
    let hook = format!("/webhooks/{}", created["id"].as_str().unwrap());
    let (old, pair) = (created["secret"].as_str().unwrap(), created["public_key"].as_str().unwrap());
    let rotated = bench.call("post", &format!("{hook}/secret/rotate")).await;
    assert_eq!((rotated.status, rotated.header("cache-control")), (StatusCode::OK, "no-store"));
    let new = rotated.json()["secret"].as_str().unwrap().to_owned();
    assert!(!bench.get(&hook).await.text.contains(&new), "it is shown this once");
    bench.post("/events", &json!({"event_type": "x"})).await;
    let message = bench.receiver.next().await;
    assert!(is_signed_with(&message, old) && is_signed_with(&message, &new) && is_signed_with(&message, pair));

    let body = json!({"version": "v1a", "overlap_seconds": 0});
    let new_pair = bench.post(&format!("{hook}/secret/rotate"), &body).await.json();
    let new_pair = new_pair["public_key"].as_str().unwrap();
    bench.post("/events", &json!({"event_type": "x"})).await;
    let message = bench.receiver.next().await;
    assert!(is_signed_with(&message, new_pair) && !is_signed_with(&message, pair));

    let slack = json!({"webhook_type": "slack", "url": "https://hooks.slack.com/services/T0/B0/abc"});
    let slack = bench.post("/webhooks", &slack).await.json();
    let refused = bench.call("post", &format!("/webhooks/{}/secret/rotate", slack["id"].as_str().unwrap())).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.text);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_beside_a_rotation_does_not_bring_back_the_old_key() {
    let mut bench = Bench::new().await;
    let hook = bench.custom("/hook", json!({})).await;
    let mut client = bench.db.client().await;
    client.batch_execute("CREATE TABLE before_it AS SELECT url FROM webhooks").await.unwrap();
    let rotated = bench.post(&format!("{hook}/secret/rotate"), &json!({"overlap_seconds": 0})).await.json();
    let swap =
        "CREATE TABLE after_it AS SELECT url FROM webhooks; UPDATE webhooks SET url = (SELECT url FROM before_it)";
    client.batch_execute(swap).await.unwrap();

    // The rotation commits after the change has read the webhook, and before it writes.
    let tx = client.transaction().await.unwrap();
    let rotation = "UPDATE webhooks SET url = (SELECT url FROM after_it), version = version + 1";
    tx.batch_execute(rotation).await.unwrap();
    let change = json!({"headers": {"X-Team": "a"}});
    let waiter = bench.db.client().await;
    let commit = async {
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()
                     AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        while waiter.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
        tx.commit().await.unwrap();
    };
    let (changed, ()) = tokio::join!(bench.patch(&hook, &change), commit);
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    bench.post("/events", &json!({"event_type": "x"})).await;
    let message = bench.receiver.next().await;
    assert!(is_signed_with(&message, rotated["secret"].as_str().unwrap()));
    assert_eq!(message.header("x-team"), "a");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_its_own_are_sent_and_never_shown() {
    let mut bench = Bench::new().await;
    let hook = bench.custom("/hook", json!({"headers": {"Authorization": "Bearer s3cret", "X-Team": "a"}})).await;
    bench.post("/events", &json!({"event_type": "x"})).await;
    let message = bench.receiver.next().await;
    assert_eq!((message.header("authorization"), message.header("x-team")), ("Bearer s3cret", "a"));
    let shown = bench.get(&hook).await;
    assert_eq!(shown.json()["headers"], json!(["authorization", "x-team"]));
    assert!(!shown.text.contains("s3cret"));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_replayed_once_however_often_it_is_asked_for() {
    let mut bench = Bench::new().await;
    bench.post("/events", &json!({"event_type": "before"})).await;
    let hook = bench.custom("/hook", json!({})).await;
    bench.start();
    let since = chrono::Local::now().to_utc() - chrono::TimeDelta::hours(1);
    let body = json!({"since": since, "per_second": 1000});
    let first = bench.post_with(&format!("{hook}/replay"), &body, ("idempotency-key", "after-the-outage")).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    let again = bench.post_with(&format!("{hook}/replay"), &body, ("idempotency-key", "after-the-outage")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::ACCEPTED, "true"));
    assert_eq!(again.text, first.text);
    let other = json!({"since": since, "per_second": 1});
    let other = bench.post_with(&format!("{hook}/replay"), &other, ("idempotency-key", "after-the-outage")).await;
    assert_eq!(
        (other.status, &other.json()["errors"][0]["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("key_reused"))
    );
    assert_eq!(bench.receiver.next().await.json()["event_type"], "before");
    let place = first.header("location");
    let mut replay = bench.get(place).await.json();
    while replay["state"] != "done" {
        replay = bench.get(place).await.json();
    }
    assert_eq!((&replay["enqueued"], bench.receiver.drain().len()), (&json!(1), 0));
    let over = bench.call("post", &format!("{place}/cancel")).await;
    assert_eq!(over.json()["state"], "done", "what is over cannot be stopped: {}", over.text);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_how_a_webhook_is_doing() {
    let mut bench = Bench::new().await;
    let hook = bench.custom("/hook", json!({})).await;
    bench.post("/events", &json!({"event_type": "x"})).await;
    bench.receiver.next().await;
    bench.recorded().await;
    let health = bench.get(&format!("{hook}/health")).await.json();
    assert_eq!((&health["state"], &health["last_hour"]["success_rate"]), (&json!("healthy"), &json!(1.0)), "{health}");
    bench.receiver.answer(Answer::new(429, "").with("retry-after", "60"));
    bench.post("/events", &json!({"event_type": "x"})).await;
    bench.receiver.next().await;
    bench.recorded().await;
    let health = bench.get(&format!("{hook}/health")).await.json();
    assert_eq!((&health["state"], &health["waiting"]), (&json!("held"), &json!(1)), "{health}");
    assert!(health["held_until"].is_string());

    // Who knows better may lift it.
    bench.receiver.answer(Answer::new(200, "ok"));
    bench.patch(&hook, &json!({"enabled": true})).await;
    let health = bench.get(&format!("{hook}/health")).await.json();
    assert_eq!(health["held_until"], json!(null), "{health}");
    let open = bench.get("/deliveries").await.json();
    bench.call("post", &format!("/deliveries/{}/retry", open["data"][0]["id"].as_str().unwrap())).await;
    bench.idle().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_kept_field_by_field_and_a_preview_sends_nothing() {
    let mut bench = Bench::new().await;
    let hook = bench.custom("/hook", json!({"policy": {"ordered": true, "timeout_seconds": 7}})).await;
    let changed = bench.patch(&hook, &json!({"policy": {"rate_limit": {"limit": 3, "per_seconds": 2}}})).await.json();
    let expected = json!({"max_in_flight": 10, "ordered": true, "rate_limit": {"limit": 3, "per_seconds": 2},
                          "timeout_seconds": 7, "retry_schedule": null});
    assert_eq!(changed["policy"], expected);
    let event = json!({"event_type": "x", "payload": {"message": "m"}});
    let preview = bench.post(&format!("{hook}/preview"), &event).await.json();
    assert_eq!((&preview["hears"], &preview["body"]["payload"]), (&json!(true), &json!({"message": "m"})));
    assert!(tokio::time::timeout(Duration::ZERO, bench.receiver.next()).await.is_err());
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_memory_behind_a_slow_receiver_can_be_taken_back_and_left_out() {
    let mut bench = Bench::new().await;
    let hook = bench.custom("/hook", json!({"policy": {"max_in_flight": 1}})).await;
    bench.start();
    bench.receiver.hold();
    for number in 0..6 {
        bench.post("/events", &json!({"event_type": "x", "payload": {"number": number}})).await;
    }
    bench.receiver.next().await;
    let waiting = bench.get("/deliveries").await.json();
    let newest = waiting["data"][0]["id"].as_str().unwrap().to_owned();
    let cancelled = bench.call("post", &format!("/deliveries/{newest}/cancel")).await;
    assert_eq!((cancelled.status, &cancelled.json()["state"]), (StatusCode::OK, &json!("cancelled")));
    bench.call("post", &format!("{hook}/pause")).await;
    let resumed = bench.post(&format!("{hook}/resume"), &json!({"backlog": "skip"})).await;
    assert_eq!(resumed.json()["skipped"], 4, "{}", resumed.text);
    bench.receiver.release();
    bench.finish().await;
}
