//! Many at once: batches, exports and imports.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::bench::{Bench, KEY};

async fn count(bench: &Bench, table: &str) -> i64 {
    bench.db.client().await.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_stores_what_is_good_and_names_what_is_not() {
    let mut bench = Bench::new().await;
    bench.custom("/hook", json!({"events": ["knowledge_created"]})).await;
    let there = bench.post("/knowledge", &json!({"content": "there"})).await.json();
    bench.receiver.next().await;
    let items = json!({"items": [
        {"content": "one", "domain": "new", "tags": ["A", "b"]},
        {"content": "", "confidence_score": 7},
        {"content": "There"},
        {"content": "two", "domain": "new"},
        {"content": "ONE"},
        {"contents": "x"},
        5,
    ]});
    let reply = bench.post("/knowledge/batch", &items).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let reply = reply.json();
    let results = reply["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["created", "failed", "duplicate", "created", "duplicate", "failed", "failed"]);
    let ids = reply["ids"].as_array().unwrap();
    assert_eq!((&ids[1], &ids[2], &ids[4], &ids[5]), (&Value::Null, &there["id"], &ids[0], &Value::Null));
    assert!(results.iter().zip(ids).all(|(result, id)| result["id"] == *id));
    let pointers = |result: &Value| -> Vec<String> {
        let errors = result["error"]["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(pointers(&results[1]), ["/items/1/content", "/items/1/confidence_score"]);
    assert_eq!(pointers(&results[5]), ["/items/5/contents"]);
    assert_eq!(pointers(&results[6]), ["/items/6"]);
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(bench.receiver.next().await.json()["payload"]["knowledge_id"].clone());
    }
    told.sort_by_key(ToString::to_string);
    assert_eq!(told, [ids[0].clone(), ids[3].clone()]);
    let one = bench.get(&format!("/knowledge/{}", ids[0].as_str().unwrap())).await.json();
    assert_eq!((&one["domain"], &one["tags"]), (&json!("new"), &json!(["a", "b"])));
    assert_eq!((count(&bench, "knowledge").await, count(&bench, "events").await), (3, 3 + 1), "and the domain");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_items_are_stored_at_once_and_batches_that_race_share_them() {
    let bench = Bench::new().await;
    let items: Vec<Value> =
        (0..1_000).map(|number| json!({"content": format!("item {number}"), "domain": "d"})).collect();
    let mut backwards = items.clone();
    backwards.reverse();
    let (there, back) = (json!({"items": items}), json!({"items": backwards}));
    let replies =
        futures_util::future::join_all([bench.post("/knowledge/batch", &there), bench.post("/knowledge/batch", &back)])
            .await;
    let ids: Vec<Vec<Value>> = replies.iter().map(|reply| reply.json()["ids"].as_array().unwrap().clone()).collect();
    assert!(ids[0].iter().eq(ids[1].iter().rev()), "the same text has the same id");
    let created: usize = replies.iter().map(|reply| reply.text.matches("\"created\"").count()).sum();
    assert_eq!((created, count(&bench, "knowledge").await, count(&bench, "events").await), (1_000, 1_000, 1_001));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_may_be_larger_than_other_bodies_and_has_a_limit_too() {
    let bench = Bench::new().await;
    let long = |number: usize| format!("{number} {}", "word ".repeat(30_000));
    let items: Vec<Value> = (0..30).map(|number| json!({"content": long(number)})).collect();
    let reply = bench.post("/knowledge/batch", &json!({"items": items})).await;
    assert_eq!((reply.status, reply.text.matches("\"created\"").count()), (StatusCode::OK, 30));
    let huge = format!("{{\"items\": [{}]}}", " ".repeat(32 << 20));
    assert_eq!(bench.post_text("/knowledge/batch", &huge).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    bench.finish().await;
}

/// Knowledge of every kind that an export must carry.
async fn furnish(bench: &Bench) {
    let full = json!({
        "title": "Заголовок", "content": "с \"кавычками\"\nи строками \u{1}", "domain": "d", "confidence_score": 0.30000000000000004,
        "source_ref": "s", "tags": ["a", "b"], "lang": "uk", "metadata": {"z": 1.10, "a": [1e20, {"deep": null}]}
    });
    let path = bench.post("/knowledge", &full).await.header("location").to_owned();
    bench.call("post", &format!("{path}/verify")).await;
    let plain = bench.post("/knowledge", &json!({"content": "plain"})).await;
    let link = json!({"target_id": plain.json()["id"], "kind": "required_by", "weight": 0.1, "note": "почему", "metadata": {"n": 1.10}});
    assert_eq!(bench.post(&format!("{path}/links"), &link).await.status, StatusCode::CREATED);
    let binned = bench.post("/knowledge", &json!({"content": "thrown away"})).await;
    bench.delete(binned.header("location")).await;
    bench.db.client().await.batch_execute("UPDATE knowledge SET feedback_sum = 0.1, feedback_count = 3").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_read_elsewhere_gives_the_same_export() {
    let (here, there) = (Bench::new().await, Bench::new().await);
    furnish(&here).await;
    let export = here.get("/knowledge/export").await;
    assert_eq!((export.status, export.header("content-type")), (StatusCode::OK, "application/x-ndjson"));
    assert_eq!(export.header("content-disposition"), "attachment; filename=\"knowledge.ndjson\"");
    assert_eq!(export.text.lines().count(), 3, "what is in the bin stays there: {}", export.text);
    let events = count(&there, "events").await;
    let report = there.post_lines("/knowledge/import", export.text.clone()).await;
    let expected = json!({"imported": 3, "updated": 0, "duplicates": 0, "failed": 0, "errors": []});
    assert_eq!((report.status, report.json()), (StatusCode::OK, expected));
    assert_eq!(there.get("/knowledge/export").await.text, export.text);
    assert_eq!(count(&there, "events").await, events, "nobody is told unless he asks");

    let again = there.post_lines("/knowledge/import", export.text.clone()).await.json();
    assert_eq!((&again["imported"], &again["updated"], &again["duplicates"]), (&json!(0), &json!(0), &json!(3)));
    assert_eq!(there.get("/knowledge/export").await.text, export.text, "the same file changes nothing");
    let mut versions = export.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["version"].clone());
    assert_eq!((versions.next(), versions.next()), (Some(json!(2)), Some(json!(1))));
    here.finish().await;
    there.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_narrowed_by_domain_and_time_and_told_what_is_wrong() {
    let bench = Bench::new().await;
    furnish(&bench).await;
    for (query, lines) in
        [("domain=d", 1), ("domain=nowhere", 0), ("since=2020-01-01T00:00:00Z", 3), ("since=2100-01-01T00:00:00Z", 0)]
    {
        let export = bench.get(&format!("/knowledge/export?{query}")).await;
        assert_eq!((export.status, export.text.lines().count()), (StatusCode::OK, lines), "{query}");
    }
    for (query, status) in [("since=today", 422), ("domain=", 422), ("colour=red", 400)] {
        assert_eq!(bench.get(&format!("/knowledge/export?{query}")).await.status.as_u16(), status, "{query}");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_changes_what_differs_leaves_out_what_is_there_and_goes_on_over_broken_lines() {
    let bench = Bench::new().await;
    let known = bench.post("/knowledge", &json!({"content": "known", "domain": "d"})).await.json();
    let binned = bench.post("/knowledge", &json!({"content": "binned"})).await.json();
    bench.delete(&format!("/knowledge/{}", binned["id"].as_str().unwrap())).await;
    let lines = [
        json!({"id": known["id"], "content": "known better", "domain": "e", "tags": ["T"]}).to_string(),
        json!({"id": binned["id"], "content": "binned"}).to_string(),
        "{\"content\": ".to_owned(),
        json!({"content": "KNOWN better"}).to_string(),
        json!({"content": "x", "confidence_score": 2}).to_string(),
        String::new(),
        format!("{{\"content\": \"{}\"}}", "x".repeat(2 << 20)),
        json!({"content": "new"}).to_string(),
        json!({"content": "new"}).to_string(),
        "\u{0}\u{ff}".to_owned(),
    ];
    let before = count(&bench, "events").await;
    let report = bench.post_lines("/knowledge/import?events=true", lines.join("\r\n")).await.json();
    let errors: Vec<_> =
        report["errors"].as_array().unwrap().iter().map(|error| (&error["line"], &error["code"])).collect();
    assert_eq!(
        errors,
        [
            (&json!(3), &json!("invalid_json")),
            (&json!(5), &json!("out_of_range")),
            (&json!(7), &json!("too_large")),
            (&json!(10), &json!("invalid_json")),
        ]
    );
    let counts = ["imported", "updated", "duplicates", "failed"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts, [1, 2, 2, 4], "{report}");
    let changed = bench.get(&format!("/knowledge/{}", known["id"].as_str().unwrap())).await.json();
    assert_eq!(
        (&changed["content"], &changed["domain"], &changed["version"]),
        (&json!("known better"), &json!("e"), &json!(2))
    );
    assert_eq!(bench.get(&format!("/knowledge/{}", binned["id"].as_str().unwrap())).await.status, StatusCode::OK);
    assert_eq!(count(&bench, "events").await - before, 4, "two changed, one new, and a domain");
    let history = bench.get(&format!("/knowledge/{}/history", known["id"].as_str().unwrap())).await.json();
    assert_eq!((&history["data"][0]["actor"], &history["data"][0]["change"]), (&json!("import"), &json!("imported")));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_change_places_are_stored_as_far_as_they_can_be() {
    let bench = Bench::new().await;
    let one = bench.post("/knowledge", &json!({"content": "one"})).await.json();
    let two = bench.post("/knowledge", &json!({"content": "two"})).await.json();
    let lines = [json!({"id": one["id"], "content": "two"}), json!({"id": two["id"], "content": "one"})];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let report = bench.post_lines("/knowledge/import", lines).await.json();
    let errors: Vec<_> =
        report["errors"].as_array().unwrap().iter().map(|error| (&error["line"], &error["code"])).collect();
    assert_eq!(errors, [(&json!(1), &json!("taken")), (&json!(2), &json!("taken"))], "{report}");
    assert!(report["errors"][0]["detail"].as_str().unwrap().contains(two["id"].as_str().unwrap()), "{report}");

    let taken = [
        json!({"id": "01900000-0000-7000-8000-000000000001", "content": "two"}),
        json!({"id": two["id"], "content": "four"}),
    ];
    let taken: String = taken.iter().map(|line| format!("{line}\n")).collect();
    let report = bench.post_lines("/knowledge/import", taken.clone()).await.json();
    assert_eq!((&report["updated"], &report["errors"][0]["code"]), (&json!(1), &json!("taken")), "{report}");
    assert_eq!(bench.post_lines("/knowledge/import", taken).await.json()["imported"], 1, "and stored the next time");

    let after = [json!({"id": one["id"], "content": "three"}), json!({"id": two["id"], "content": "one"})];
    let after: String = after.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(bench.post_lines("/knowledge/import", after).await.json()["updated"], 2, "what is given up is free");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_breaks_off_keeps_what_was_stored_and_is_resumed_by_coming_again() {
    let bench = Bench::new().await;
    let lines: String =
        (0..1_500).map(|number| json!({"content": format!("line {number}")}).to_string() + "\n").collect();
    // A thousand are stored when the thousand and first is read; what comes after that is cut off.
    let pieces = [Ok(lines.clone().into()), Err(actix_web::error::PayloadError::Incomplete(None))];
    let payload = actix_web::dev::Payload::Stream { payload: futures_util::stream::iter(pieces).boxed_local() };
    let reply = bench.send_stream("/knowledge/import", payload).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text);
    assert_eq!(count(&bench, "knowledge").await, 1_000);
    let again = bench.post_lines("/knowledge/import", lines).await.json();
    assert_eq!((&again["imported"], &again["duplicates"]), (&json!(500), &json!(1_000)));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_stream_of_lines_is_refused() {
    let bench = Bench::new().await;
    let request = TestRequest::post().uri("/knowledge/import").insert_header(("x-api-key", KEY));
    let reply = bench.send(request.set_json(json!({"content": "x"}))).await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(reply.text.contains("application/x-ndjson"), "{}", reply.text);
    assert_eq!(bench.post_lines("/knowledge/import?events=maybe", "").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let empty = bench.post_lines("/knowledge/import", "\n\n").await;
    assert_eq!((empty.status, &empty.json()["imported"]), (StatusCode::OK, &json!(0)));
    assert_eq!(bench.stored().await, 0);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_come_in_like_items_and_keep_their_rules() {
    const ID: &str = "01900000-0000-7000-8000-00000000000";
    let mut bench = Bench::new().await;
    bench.custom("/hook", json!({"events": ["link_*"]})).await;
    let item = |number: u8| json!({"id": format!("{ID}{number}"), "content": format!("item {number}")});
    let link = |from: u8, kind: &str, to: u8, weight: f64| json!({"type": "link", "source_id": format!("{ID}{from}"), "target_id": format!("{ID}{to}"), "kind": kind, "weight": weight});
    let lines = [
        link(1, "depends_on", 2, 1.0),
        item(1),
        item(2),
        item(3),
        link(2, "depends_on", 3, 1.0),
        link(3, "depends_on", 1, 1.0),
        link(1, "related_to", 3, 0.5),
        link(3, "related_to", 1, 0.25),
        link(1, "supports", 9, 1.0),
        link(1, "likes", 2, 1.0),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let report = bench.post_lines("/knowledge/import?events=true", text.clone()).await.json();
    let counts =
        |report: &Value| ["imported", "updated", "duplicates", "failed"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts(&report), [6, 1, 0, 3], "{report}");
    let errors: Vec<_> =
        report["errors"].as_array().unwrap().iter().map(|error| (&error["line"], &error["code"])).collect();
    assert_eq!(
        errors,
        [(&json!(6), &json!("cycle")), (&json!(9), &json!("not_found")), (&json!(10), &json!("unknown_kind"))]
    );
    assert!(report["errors"][0]["detail"].as_str().unwrap().contains(&format!("{ID}2")), "{report}");
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(bench.receiver.next().await.json()["event_type"].as_str().unwrap().to_owned());
    }
    told.sort_unstable();
    assert_eq!(told, ["link_created", "link_created", "link_created", "link_updated"]);
    // Of the two about one link the file now says both in turn.
    let again = bench.post_lines("/knowledge/import", text).await.json();
    assert_eq!(counts(&again), [0, 2, 5, 3], "{again}");
    bench.finish().await;
}
