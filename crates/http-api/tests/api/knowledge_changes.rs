//! Knowledge is changed, verified, thrown away, brought back, and every change is told and remembered.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::bench::Bench;

/// Stores knowledge; returns its path.
async fn know(bench: &Bench, body: Value) -> String {
    let created = bench.post("/knowledge", &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    created.header("location").to_owned()
}

/// What was told of it, oldest first: names and payloads.
async fn told(bench: &Bench) -> Vec<(String, Value)> {
    let mut events = bench.get("/events?limit=200").await.json()["data"].as_array().unwrap().clone();
    events.reverse();
    events
        .into_iter()
        .map(|event| (event["event_type"].as_str().unwrap().to_owned(), event["payload"].clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_piece_shows_all_that_was_said_of_it_and_what_follows() {
    let bench = Bench::new().await;
    let body = json!({
        "title": " Async ", "content": "Лучшие практики asyncio", "tags": [" Python ", "ASYNC", "python"],
        "confidence_score": 0.5, "source_ref": "https://example.org", "metadata": {"a": 1}
    });
    let created = bench.post("/knowledge", &body).await.json();
    assert_eq!((&created["title"], &created["lang"]), (&json!("Async"), &json!("ru")));
    assert_eq!(created["tags"], json!(["python", "async"]));
    assert_eq!(created["effective_confidence"], 0.5);
    assert_eq!(created["feedback"], json!({"mean": 0.0, "count": 0}));
    assert_eq!((&created["deleted_at"], &created["duplicate"]), (&json!(null), &json!(false)));
    let english = bench.post("/knowledge", &json!({"content": "Лучшие", "lang": "EN"})).await.json();
    assert_eq!(english["lang"], "en", "what is given counts");
    assert_eq!(bench.post("/knowledge", &json!({"content": "42"})).await.json()["lang"], "und");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn confidence_ages_with_its_domain_and_readers_are_averaged() {
    let bench = Bench::new().await;
    let path = know(&bench, json!({"content": "aging", "domain": "news", "confidence_score": 0.8})).await;
    let client = bench.db.client().await;
    client
        .batch_execute(
            "UPDATE domains SET half_life_days = 10;
             UPDATE knowledge SET confirmed_at = now() - interval '10 days', feedback_sum = -1, feedback_count = 1",
        )
        .await
        .unwrap();
    let read = bench.get(&path).await.json();
    assert_eq!(read["confidence_score"], 0.8);
    assert!((read["effective_confidence"].as_f64().unwrap() - 0.4).abs() < 1e-3, "{read}");
    assert!((read["feedback"]["mean"].as_f64().unwrap() + 1.0 / 6.0).abs() < 1e-9);
    client.batch_execute("UPDATE knowledge SET confirmed_at = now() - interval '1000 days'").await.unwrap();
    let floor = bench.get(&path).await.json()["effective_confidence"].as_f64().unwrap();
    assert!((floor - 0.08).abs() < 1e-9);
    let verified = bench.call("post", &format!("{path}/verify")).await.json();
    assert!((verified["effective_confidence"].as_f64().unwrap() - 0.8).abs() < 1e-3, "it is young again");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_once_with_the_fields_it_touched() {
    let bench = Bench::new().await;
    let path = know(&bench, json!({"content": "before", "title": "T", "domain": "d", "tags": ["a"]})).await;
    let body = json!({"content": "after", "title": null, "confidence_score": 0.25, "tags": ["a"]});
    let changed = bench.patch(&path, &body).await;
    assert_eq!((changed.status, changed.header("etag")), (StatusCode::OK, "\"v2\""), "{}", changed.text);
    let view = changed.json();
    assert_eq!((&view["content"], &view["title"], &view["version"]), (&json!("after"), &json!(null), &json!(2)));
    assert_eq!(bench.get(&path).await.json(), view);
    let same = bench.patch(&path, &body).await;
    assert_eq!((same.status, same.json()), (StatusCode::OK, view), "what changes nothing makes no version");
    let told = told(&bench).await;
    let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["domain_created", "knowledge_created", "knowledge_updated"]);
    assert_eq!(told[2].1["changed"], json!(["title", "content", "confidence_score"]));
    assert_eq!((&told[2].1["content"], &told[2].1["domain"]), (&json!("after"), &json!("d")));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_who_read_the_same_version_one_is_told_so() {
    let bench = Bench::new().await;
    let path = know(&bench, json!({"content": "contended"})).await;
    let (one, two) = (json!({"title": "one"}), json!({"title": "two"}));
    let writes = [bench.patch_if(&path, &one, "\"v1\""), bench.patch_if(&path, &two, "\"v1\"")];
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(writes).await.iter().map(|reply| reply.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    assert_eq!(bench.get(&path).await.json()["version"], 2);
    let stale = bench.patch_if(&path, &json!({}), "\"v1\"").await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED, "also when nothing is to change");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_changes_are_refused_by_field_and_nothing_is_changed() {
    let bench = Bench::new().await;
    let path = know(&bench, json!({"content": "kept"})).await;
    let before = bench.stored().await;
    for (body, pointers) in [
        (json!({"content": null}), vec!["/content"]),
        (
            json!({"content": " ", "confidence_score": null, "lang": "x"}),
            vec!["/content", "/confidence_score", "/lang"],
        ),
        (json!({"title": ""}), vec!["/title"]),
        (json!({"tags": ["ok", ""]}), vec!["/tags/1"]),
        (json!({"is_verified": true}), vec!["/is_verified"]),
        (json!({"metadata": {"a": "\u{0}"}}), vec!["/metadata/a"]),
    ] {
        let reply = bench.patch(&path, &body).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", reply.text);
        assert_eq!(reply.pointers(), pointers, "{body}");
    }
    for (body, status) in [(json!({"version": 0}), 422), (json!({"version": 2}), 422), (json!({"version": "1"}), 422)] {
        let reply = bench.post(&format!("{path}/revert"), &body).await;
        assert_eq!((reply.status.as_u16(), reply.pointers()), (status, vec!["/version".to_owned()]), "{}", reply.text);
    }
    assert_eq!(bench.delete(&format!("{path}?purge=maybe")).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(bench.get(&path).await.json()["version"], 1);
    assert_eq!(bench.stored().await, before);
    let nobody = "/knowledge/01900000-0000-7000-8000-000000000000";
    for (method, end) in
        [("patch", ""), ("delete", ""), ("delete", "?purge=true"), ("post", "/verify"), ("post", "/restore")]
    {
        let reply = match method {
            "patch" => bench.patch(nobody, &json!({"title": "x"})).await,
            _ => bench.call(method, &format!("{nobody}{end}")).await,
        };
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{method} {end}: {}", reply.text);
    }
    for end in ["/history", "/duplicates"] {
        assert_eq!(bench.get(&format!("{nobody}{end}")).await.status, StatusCode::NOT_FOUND, "{end}");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_thrown_away_is_gone_until_it_is_taken_out_of_the_bin() {
    let bench = Bench::new().await;
    let path = know(&bench, json!({"content": "findable words", "domain": "d"})).await;
    assert_eq!(bench.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.delete(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.patch(&path, &json!({"title": "x"})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.call("post", &format!("{path}/verify")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get(&format!("{path}/duplicates")).await.status, StatusCode::NOT_FOUND);
    let found = bench.post("/search", &json!({"query": "findable"})).await.json();
    assert_eq!(found["results"], json!([]), "nobody finds it");
    assert_eq!(bench.get("/knowledge").await.json()["data"], json!([]));
    assert_eq!(bench.get("/stats").await.json()["total_knowledge"], 0);
    let bin = bench.get("/knowledge?deleted=true").await.json();
    assert!(bin["data"][0]["deleted_at"].is_string(), "{bin}");

    let restored = bench.call("post", &format!("{path}/restore")).await;
    assert_eq!((restored.status, &restored.json()["deleted_at"]), (StatusCode::OK, &json!(null)));
    assert_eq!(bench.get(&path).await.json(), restored.json());
    let again = bench.call("post", &format!("{path}/restore")).await;
    assert_eq!(again.json()["version"], restored.json()["version"], "it is where it should be");
    let names: Vec<_> = told(&bench).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["domain_created", "knowledge_created", "knowledge_deleted", "knowledge_updated"]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_is_gone_with_its_history_and_told_once() {
    let bench = Bench::new().await;
    let live = know(&bench, json!({"content": "purged where it is"})).await;
    let binned = know(&bench, json!({"content": "purged from the bin"})).await;
    bench.patch(&live, &json!({"title": "x"})).await;
    bench.delete(&binned).await;
    for path in [&live, &binned] {
        assert_eq!(bench.delete(&format!("{path}?purge=true")).await.status, StatusCode::NO_CONTENT);
        assert_eq!(bench.get(&format!("{path}/history")).await.status, StatusCode::NOT_FOUND);
        assert_eq!(bench.delete(&format!("{path}?purge=true")).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(bench.get("/knowledge?deleted=true").await.json()["data"], json!([]));
    let mut names: Vec<String> = told(&bench).await.into_iter().map(|(name, _)| name).collect();
    let told_of_the_end = names.split_off(3);
    assert_eq!(told_of_the_end, ["knowledge_deleted", "knowledge_deleted", "knowledge_purged"]);
    let rows = bench.db.client().await.query_one("SELECT count(*) FROM knowledge_history", &[]).await.unwrap();
    assert_eq!(rows.get::<_, i64>(0), 0);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_says_who_changed_what_and_an_old_version_comes_back_as_a_new_one() {
    let bench = Bench::new().await;
    let path = know(&bench, json!({"content": "first", "domain": "d", "tags": ["a"], "metadata": {"n": 1.5}})).await;
    bench.patch(&path, &json!({"content": "second", "domain": null})).await;
    bench.call("post", &format!("{path}/verify")).await;
    let history = format!("{path}/history");
    let page = bench.get(&history).await.json();
    let changes = page["data"].as_array().unwrap();
    let kinds: Vec<_> = changes.iter().map(|change| (change["version"].as_i64().unwrap(), &change["change"])).collect();
    assert_eq!(kinds, [(3, &json!("verified")), (2, &json!("updated")), (1, &json!("created"))]);
    assert!(changes.iter().all(|change| change["actor"] == "api" && change["changed_at"].is_string()));
    let edit = json!([
        {"field": "content", "old": "first", "new": "second"}, {"field": "domain", "old": "d", "new": null}
    ]);
    assert_eq!(changes[1]["changes"], edit);
    assert_eq!(changes[0]["changes"][0], json!({"field": "is_verified", "old": false, "new": true}));
    assert_eq!(changes[2]["changes"], json!([]));

    let reverted = bench.post(&format!("{path}/revert"), &json!({"version": 1})).await;
    assert_eq!((reverted.status, reverted.header("etag")), (StatusCode::OK, "\"v4\""), "{}", reverted.text);
    let view = reverted.json();
    assert_eq!((&view["content"], &view["domain"]), (&json!("first"), &json!("d")));
    assert_eq!(view["is_verified"], false, "what was stood by was another text");
    let same = bench.post(&format!("{path}/revert"), &json!({"version": 4})).await.json();
    assert_eq!(same["version"], 4, "it is at that version");

    let mut versions = Vec::new();
    let mut next = Some(format!("{history}?limit=1"));
    while let Some(uri) = next {
        let page = bench.get(&uri).await.json();
        versions.push(page["data"][0]["version"].as_i64().unwrap());
        next = page["next_cursor"].as_str().map(|cursor| format!("{history}?limit=1&cursor={cursor}"));
    }
    assert_eq!(versions, [4, 3, 2, 1]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_content_is_cut_in_the_history_and_comes_back_whole() {
    let bench = Bench::new().await;
    let long = "ж".repeat(150_000);
    let path = know(&bench, json!({"content": long})).await;
    bench.patch(&path, &json!({"content": "short"})).await;
    let page = bench.get(&format!("{path}/history")).await.json();
    let old = page["data"][0]["changes"][0]["old"].as_str().unwrap().to_owned();
    assert_eq!((old.chars().count(), old.ends_with('…')), (10_001, true));
    let reverted = bench.post(&format!("{path}/revert"), &json!({"version": 1})).await.json();
    assert_eq!(reverted["content"].as_str(), Some(long.as_str()));
    let page = bench.get(&format!("{path}/history")).await.json();
    assert!(page["data"][0]["changes"][0]["new"].as_str().unwrap().len() < 30_000);
    bench.finish().await;
}
