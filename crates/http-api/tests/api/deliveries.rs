//! One delivery's story: what was tried, why it stands where it stands, and what a person may do.

use actix_web::http::StatusCode;
use kos_test_support::receiver::Answer;
use serde_json::{Value, json};

use crate::bench::Bench;

/// The only delivery that is under way, or that ended.
async fn only(bench: &Bench, state: &str) -> String {
    let page = bench.get(&format!("/deliveries?state={state}")).await.json();
    assert_eq!(page["data"].as_array().unwrap().len(), 1, "{page}");
    format!("/deliveries/{}", page["data"][0]["id"].as_str().unwrap())
}

fn why(story: &Value) -> String {
    story["why"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_failed_tells_what_was_tried_and_when_it_is_tried_again() {
    let mut bench = Bench::new().await;
    bench.receiver.answer(Answer::new(500, "out of order"));
    bench.custom("/hook?token=s3cret", json!({"policy": {"retry_schedule": [3600]}})).await;
    bench.post("/events", &json!({"event_type": "x", "payload": {"a": 1}})).await;
    bench.receiver.next().await;
    bench.recorded().await;
    let path = only(&bench, "open").await;
    let story = bench.get(&path).await.json();
    assert_eq!((&story["state"], &story["attempts"]), (&json!("waiting"), &json!(1)));
    assert!(
        why(&story)
            .starts_with("attempt 1 failed, and the schedule of retries (±20 %) says when to try again: it is due at ")
    );
    let attempt = &story["attempts_made"][0];
    assert_eq!((&attempt["status"], &attempt["response"]), (&json!(500), &json!("out of order")));
    assert_eq!(story["request"]["body"]["payload"], json!({"a": 1}));
    assert!(!story.to_string().contains("s3cret"), "{story}");

    // A person who knows that it is mended does not wait for an hour.
    bench.receiver.answer(Answer::new(200, "ok"));
    assert_eq!(bench.call("post", &format!("{path}/retry")).await.status, StatusCode::ACCEPTED);
    bench.idle().await;
    let story = bench.get(&path).await.json();
    assert_eq!((&story["state"], &story["attempts"]), (&json!("delivered"), &json!(2)));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_given_up_can_be_begun_anew_and_one_that_waits_be_taken_back() {
    let mut bench = Bench::new().await;
    bench.receiver.answer(Answer::new(500, ""));
    bench.custom("/hook", json!({"policy": {"retry_schedule": []}})).await;
    bench.post("/events", &json!({"event_type": "x"})).await;
    bench.receiver.next().await;
    bench.recorded().await;
    let path = only(&bench, "ended").await;
    let story = bench.get(&path).await.json();
    assert_eq!((&story["state"], why(&story)), (&json!("dead"), why(&story)));
    assert!(why(&story).starts_with("attempt 1 was the last that the schedule has"), "{story}");

    assert_eq!(bench.call("post", &format!("{path}/retry")).await.status, StatusCode::ACCEPTED);
    assert_eq!(bench.get(&path).await.json()["state"], "waiting");
    assert_eq!(bench.call("post", &format!("{path}/cancel")).await.status, StatusCode::OK);
    assert_eq!(bench.get(&path).await.json()["state"], "cancelled");
    bench.idle().await;
    assert!(bench.receiver.drain().is_empty(), "what was taken back is not sent");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_being_sent_can_be_neither_taken_back_nor_hurried() {
    let mut bench = Bench::new().await;
    bench.custom("/hook", json!({})).await;
    bench.receiver.hold();
    bench.post("/events", &json!({"event_type": "x"})).await;
    bench.receiver.next().await;
    let path = only(&bench, "open").await;
    assert_eq!(bench.get(&path).await.json()["state"], "sending");
    for action in ["retry", "cancel"] {
        let reply = bench.call("post", &format!("{path}/{action}")).await;
        assert_eq!((reply.status, &reply.json()["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    }
    bench.receiver.release();
    bench.finish().await;
}
