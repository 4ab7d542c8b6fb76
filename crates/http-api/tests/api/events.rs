//! Events: told one by one or many at once, listed and read.

use actix_web::http::StatusCode;
use serde_json::json;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn of_many_events_at_once_each_is_judged_by_itself() {
    let mut bench = Bench::new().await;
    bench.custom("/hook", json!({})).await;
    let events = json!({"events": [
        {"event_type": "first", "payload": {"a": 1}},
        {"event_type": "not a name"},
        {"event_type": "third"},
    ]});
    let reply = bench.post("/events/batch", &events).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text);
    let results = reply.json()["results"].as_array().unwrap().clone();
    assert_eq!((&results[0]["deliveries"], &results[2]["deliveries"]), (&json!(1), &json!(1)));
    assert_eq!(results[1]["errors"][0]["pointer"], "/event_type");
    let mut heard = [bench.receiver.next().await.json(), bench.receiver.next().await.json()]
        .map(|message| message["event_type"].as_str().unwrap().to_owned());
    heard.sort();
    assert_eq!(heard, ["first", "third"]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_or_no_events_at_once_are_refused_whole() {
    let bench = Bench::new().await;
    let many = vec![json!({"event_type": "x"}); 101];
    for events in [json!([]), json!(many)] {
        let reply = bench.post("/events/batch", &json!({ "events": events })).await;
        assert_eq!((reply.status, reply.pointers()), (StatusCode::UNPROCESSABLE_ENTITY, vec!["/events".to_owned()]));
    }
    assert_eq!(bench.stored().await, 0);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_kept_and_sent_as_it_was_written() {
    let mut bench = Bench::new().await;
    bench.custom("/hook", json!({})).await;
    // Numbers, escapes and the order of fields stay; only the space between them goes.
    let payload = r#"{"z":1.0,"a":12345678901234567890,"z2":"\u0041"}"#;
    let body = format!(r#"{{"event_type": "exact", "payload": {payload}}}"#);
    let accepted = bench.post_text("/events", &body).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    let sent = bench.receiver.next().await;
    assert!(String::from_utf8_lossy(&sent.body).contains(payload), "{:?}", sent.body);
    let read = bench.get(&format!("/events/{}", accepted.json()["id"].as_str().unwrap())).await;
    assert!(read.text.contains(payload), "{}", read.text);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_newest_first_by_name_and_page() {
    let bench = Bench::new().await;
    for name in ["a", "b", "a", "b", "a"] {
        bench.post("/events", &json!({"event_type": name})).await;
    }
    let first = bench.get("/events?event_type=a&limit=2").await.json();
    assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (2, &json!(true)));
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = bench.get(&format!("/events?event_type=a&limit=2&cursor={cursor}")).await.json();
    assert_eq!((second["data"].as_array().unwrap().len(), &second["has_more"]), (1, &json!(false)));
    assert!(first["data"][1]["created_at"].as_str() >= second["data"][0]["created_at"].as_str());
    assert_eq!(bench.get("/events?event_type=a%20b").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    bench.finish().await;
}
