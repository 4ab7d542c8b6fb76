//! A text is there once; texts that are nearly the same are pointed at.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::bench::Bench;

/// Numbers in words.
fn long_text(words: usize) -> Vec<String> {
    (0..words).map(|number| format!("word{number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_text_in_other_letters_and_spaces_is_answered_with_what_is_there() {
    let bench = Bench::new().await;
    let first = bench.post("/knowledge", &json!({"content": "Caf\u{e9}  и чай", "domain": "a"})).await;
    let before = bench.stored().await;
    let again = json!({"content": " CAFE\u{301} И\n\tЧАЙ", "domain": "b", "confidence_score": 0.1});
    let second = bench.post("/knowledge", &again).await;
    assert_eq!((second.status, second.header("location")), (StatusCode::OK, first.header("location")));
    let mut expected = first.json();
    expected["duplicate"] = json!(true);
    assert_eq!(second.json(), expected, "nothing is changed");
    assert_eq!(bench.stored().await, before, "no domain, no event, no history");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_equal_texts_at_once_one_is_stored_and_told() {
    let bench = Bench::new().await;
    for round in 0..5 {
        let bodies: Vec<Value> = (0..10)
            .map(|writer| json!({"content": format!("raced {round}"), "domain": format!("d{writer}")}))
            .collect();
        let replies = futures_util::future::join_all(bodies.iter().map(|body| bench.post("/knowledge", body))).await;
        let created: Vec<_> = replies.iter().filter(|reply| reply.status == StatusCode::CREATED).collect();
        assert_eq!(created.len(), 1, "{replies:?}");
        let others = replies.iter().filter(|reply| reply.status == StatusCode::OK && reply.json()["duplicate"] == true);
        assert_eq!(others.count(), 9);
        assert!(replies.iter().all(|reply| reply.header("location") == created[0].header("location")));
    }
    let counts =
        "SELECT (SELECT count(*) FROM knowledge), (SELECT count(*) FROM events), (SELECT count(*) FROM domains),
                         (SELECT count(*) FROM knowledge_history)";
    let row = bench.db.client().await.query_one(counts, &[]).await.unwrap();
    let counts: Vec<i64> = (0..4).map(|column| row.get(column)).collect();
    assert_eq!((counts[0], counts[1], counts[3]), (5, 5 + counts[2], 5), "a domain that is new is told of too");
    assert!(counts[2] <= 5, "who came late left no domain behind");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_bin_is_in_nobodys_way_until_it_comes_back() {
    let bench = Bench::new().await;
    let old = bench.post("/knowledge", &json!({"content": "twice"})).await.header("location").to_owned();
    bench.delete(&old).await;
    let new = bench.post("/knowledge", &json!({"content": "Twice"})).await;
    assert_eq!(new.status, StatusCode::CREATED);
    let refused = bench.call("post", &format!("{old}/restore")).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    assert!(refused.text.contains(new.header("location")), "{}", refused.text);
    bench.delete(new.header("location")).await;
    assert_eq!(bench.call("post", &format!("{old}/restore")).await.status, StatusCode::OK);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_cannot_make_two_of_the_same() {
    let bench = Bench::new().await;
    let one = bench.post("/knowledge", &json!({"content": "one"})).await.header("location").to_owned();
    let two = bench.post("/knowledge", &json!({"content": "two"})).await.header("location").to_owned();
    let refused = bench.patch(&two, &json!({"content": "ONE"})).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains(&one));
    assert_eq!(bench.patch(&one, &json!({"content": "One"})).await.status, StatusCode::OK, "its own text is no other");
    bench.patch(&one, &json!({"content": "three"})).await;
    assert_eq!(bench.patch(&two, &json!({"content": "one"})).await.status, StatusCode::OK);
    let refused = bench.post(&format!("{one}/revert"), &json!({"version": 1})).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains(&two));
    // Two that want the same text at the same time.
    let (same, three) = (json!({"content": "wanted by both"}), json!({"content": "wanted by both"}));
    let replies = futures_util::future::join_all([bench.patch(&one, &same), bench.patch(&two, &three)]).await;
    let mut statuses: Vec<u16> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_with_a_small_change_is_stored_and_points_at_its_like() {
    let bench = Bench::new().await;
    let words = long_text(1_000);
    let mut edited = words.clone();
    "another".clone_into(&mut edited[500]);
    let first = bench.post("/knowledge", &json!({"content": words.join(" ")})).await;
    assert_eq!(first.json()["near_duplicates"], json!([]));
    let second = bench.post("/knowledge", &json!({"content": edited.join(" ")})).await;
    assert_eq!(second.status, StatusCode::CREATED, "it is pointed at, not refused");
    let near = second.json()["near_duplicates"].clone();
    assert_eq!(near[0]["id"], first.json()["id"]);
    assert!(near[0]["distance"].as_i64().unwrap() <= 3);
    let listed = bench.get(&format!("{}/duplicates", second.header("location"))).await.json();
    assert_eq!(listed, json!({"near_duplicates": near}));
    bench.post("/knowledge", &json!({"content": "something else altogether"})).await;
    bench.delete(second.header("location")).await;
    let listed = bench.get(&format!("{}/duplicates", first.header("location"))).await.json();
    assert_eq!(listed, json!({"near_duplicates": []}), "what is in the bin is like nothing");
    bench.finish().await;
}
