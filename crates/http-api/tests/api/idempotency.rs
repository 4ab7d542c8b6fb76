//! `Idempotency-Key`: a request that is sent again is answered again, and creates nothing twice.

use actix_web::http::StatusCode;
use futures_util::future::join_all;
use kos_repository::Retention;
use serde_json::{Value, json};

use crate::bench::{Bench, Reply};

const HEADER: &str = "idempotency-key";
const KEY: (&str, &str) = (HEADER, "4cd1a3e2-0001");

async fn count(bench: &Bench, sql: &str) -> i64 {
    bench.db.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

fn headers(reply: &Reply) -> [String; 4] {
    ["location", "etag", "content-type", "cache-control"].map(|name| reply.header(name).to_owned())
}

/// Who waits for a lock in this database.
const BLOCKED: &str = "FROM pg_locks WHERE NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

async fn somebody_is_blocked(bench: &Bench) {
    while count(bench, &format!("SELECT count(*) {BLOCKED}")).await == 0 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_answered_the_same_on_every_route_that_creates() {
    let bench = Bench::new().await;
    let item = bench.create("/knowledge", &json!({"content": "one end"})).await;
    let end = bench.create("/knowledge", &json!({"content": "the other end"})).await;
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let link = json!({"source_id": id(&item), "target_id": id(&end), "kind": "supports"});
    let to_end = json!({"target_id": id(&end), "kind": "depends_on"});
    let links = format!("{item}/links");
    let requests = [
        (links.as_str(), to_end),
        ("/graph/suggestions/accept", link.clone()),
        ("/links/batch", json!({"links": [link, {"kind": "supports"}]})),
        ("/events", json!({"event_type": "x"})),
        ("/events/batch", json!({"events": [{"event_type": "x"}, {"event_type": "?"}]})),
        ("/knowledge/batch", json!({"items": [{"content": "y"}, {"content": ""}]})),
        ("/knowledge", json!({"content": "x", "domain": "python"})),
        ("/domains", json!({"name": "rust"})),
        ("/experts", json!({"name": "Anna"})),
        ("/tasks", json!({"title": "x"})),
        ("/interactions", json!({"query": "x"})),
        ("/webhooks", json!({"webhook_type": "custom", "url": bench.receiver.url("/hook"), "enabled": false})),
    ];
    for (route, body) in &requests {
        let first = bench.post_with(route, body, KEY).await;
        assert!(first.status.is_success() && first.header("idempotency-replayed").is_empty(), "{}", first.text);
        let stored = bench.stored().await;
        for again in [KEY, (HEADER, "\"4cd1a3e2-0001\"")] {
            let again = bench.post_with(route, body, again).await;
            assert_eq!((again.status, again.header("idempotency-replayed")), (first.status, "true"), "{route}");
            assert_eq!((&again.text, headers(&again)), (&first.text, headers(&first)), "{route}");
        }
        assert_eq!(bench.stored().await, stored, "{route}: neither a second one nor a second event");
        let other = bench.post_with(route, body, (HEADER, "another")).await;
        assert_eq!(other.header("idempotency-replayed"), "", "{route}");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_body_under_the_same_key_is_refused_and_a_failed_request_leaves_the_key_free() {
    let bench = Bench::new().await;
    let taken = bench.create("/domains", &json!({"name": "python"})).await;
    let body = json!({"name": "python"});
    assert_eq!(bench.post_with("/domains", &body, KEY).await.status, StatusCode::CONFLICT);
    assert_eq!(bench.post_with("/domains", &json!({"name": ""}), KEY).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    bench.patch(&taken, &json!({"name": "other"})).await;
    assert_eq!(bench.post_with("/domains", &body, KEY).await.status, StatusCode::CREATED);
    let reused = bench.post_with("/domains", &json!({"name": "rust"}), KEY).await;
    assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        (reused.pointers(), &reused.json()["errors"][0]["code"]),
        (vec!["Idempotency-Key".to_owned()], &json!("key_reused"))
    );
    assert_eq!(bench.listed("/domains", 9, "name").await, ["other", "python"]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_one_is_refused() {
    let bench = Bench::new().await;
    for bad in ["", " ", "\"\"", "a b", "ключ", Box::leak("x".repeat(256).into_boxed_str())] {
        let reply = bench.post_with("/domains", &json!({"name": "x"}), (HEADER, bad)).await;
        assert_eq!(
            (reply.status, reply.pointers()),
            (StatusCode::BAD_REQUEST, vec!["Idempotency-Key".to_owned()]),
            "{bad}"
        );
    }
    let longest = Box::leak("~".repeat(255).into_boxed_str());
    let reply = bench.post_with("/domains", &json!({"name": "x"}), (HEADER, longest)).await;
    assert_eq!(reply.status, StatusCode::CREATED);
    assert_eq!(bench.stored().await, 2, "a domain and its event");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_twin_is_still_running_is_told_so() {
    let bench = Bench::new().await;
    let (client, body) = (bench.db.client().await, json!({"name": "x"}));
    client.batch_execute("BEGIN; LOCK TABLE domains IN EXCLUSIVE MODE").await.unwrap();
    let meanwhile = async {
        somebody_is_blocked(&bench).await;
        let twin = bench.post_with("/domains", &body, KEY).await;
        client.batch_execute("COMMIT").await.unwrap();
        twin
    };
    let (first, twin) = tokio::join!(bench.post_with("/domains", &body, KEY), meanwhile);
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    assert_eq!((twin.status, &twin.json()["code"]), (StatusCode::CONFLICT, &json!("idempotency_key_busy")));
    let after = bench.post_with("/domains", &body, KEY).await;
    assert_eq!((after.status, after.text), (StatusCode::CREATED, first.text));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_dies_halfway_leaves_neither_the_change_nor_the_key() {
    let bench = Bench::new().await;
    let (client, body) = (bench.db.client().await, json!({"content": "x"}));
    // The change is made by then; its event is not.
    client.batch_execute("BEGIN; LOCK TABLE events IN EXCLUSIVE MODE").await.unwrap();
    let meanwhile = async {
        somebody_is_blocked(&bench).await;
        client.batch_execute(&format!("SELECT pg_terminate_backend(pid) {BLOCKED}; COMMIT")).await.unwrap();
    };
    let (cut, ()) = tokio::join!(bench.post_with("/knowledge", &body, KEY), meanwhile);
    assert_eq!(cut.status, StatusCode::SERVICE_UNAVAILABLE, "{}", cut.text);
    assert_eq!(count(&bench, "SELECT count(*) FROM idempotency_keys").await + bench.stored().await, 0);
    let again = bench.post_with("/knowledge", &body, KEY).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CREATED, ""));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_identical_requests_at_once_one_creates_and_the_others_say_so_or_wait() {
    let bench = Bench::new().await;
    for round in 0..5 {
        let key: &'static str = Box::leak(format!("race-{round}").into_boxed_str());
        let body = json!({"content": format!("x {round}"), "domain": "python"});
        let answers = join_all((0..10).map(|_| bench.post_with("/knowledge", &body, (HEADER, key)))).await;
        let (done, busy): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == StatusCode::CREATED);
        let made = done.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
        assert_eq!(made, 1, "round {round}");
        assert!(done.iter().all(|answer| answer.text == done[0].text));
        assert!(busy.iter().all(|answer| answer.status == StatusCode::CONFLICT), "{busy:?}");
    }
    assert_eq!(count(&bench, "SELECT count(*) FROM knowledge").await, 5);
    assert_eq!(count(&bench, "SELECT count(*) FROM events WHERE event_type = 'knowledge_created'").await, 5);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_shown_again_lies_nowhere_in_clear() {
    let bench = Bench::new().await;
    let body = json!({"webhook_type": "custom", "url": bench.receiver.url("/hook")});
    let first = bench.post_with("/webhooks", &body, KEY).await;
    let again = bench.post_with("/webhooks", &body, KEY).await;
    assert_eq!((&again.text, again.header("cache-control")), (&first.text, "no-store"));
    let secret = first.json()["secret"].as_str().unwrap().to_owned();
    let row = bench.db.client().await.query_one("SELECT encode(answer, 'escape') FROM idempotency_keys", &[]).await;
    assert!(!row.unwrap().get::<_, String>(0).contains(&secret));
    assert_eq!(bench.listed("/webhooks", 9, "id").await, [first.json()["id"].clone()]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_day_an_answer_is_forgotten() {
    let bench = Bench::new().await;
    let body = json!({"title": "x"});
    let retention = Retention { events: 30, logs: 14 };
    let now = chrono::Local::now().to_utc();
    let mut ids: Vec<Value> = Vec::new();
    for (age, expected) in [(23, 1), (25, 0)] {
        ids.push(bench.post_with("/tasks", &body, KEY).await.json()["id"].clone());
        bench.repository.partitions_keep(now + chrono::TimeDelta::hours(age), retention).await.unwrap();
        assert_eq!(count(&bench, "SELECT count(*) FROM idempotency_keys").await, expected, "{age} h");
    }
    ids.push(bench.post_with("/tasks", &body, KEY).await.json()["id"].clone());
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    bench.finish().await;
}
