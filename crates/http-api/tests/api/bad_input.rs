//! Bad input: a problem that names the field and the remedy, and nothing stored.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::bench::{Bench, KEY, Reply};

/// A problem as it must be, whatever went wrong.
fn assert_problem(reply: &Reply, status: u16, what: &str) {
    assert_eq!(reply.status.as_u16(), status, "{what}: {}", reply.text);
    assert_eq!(reply.header("content-type"), "application/problem+json", "{what}");
    let problem = reply.json();
    for member in ["type", "title", "detail", "instance", "code", "request_id"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{what}: {member} in {problem}");
    }
    assert_eq!(problem["status"], status);
    assert_eq!(problem["request_id"], reply.header("x-request-id"));
}

fn custom(mut body: Value) -> Value {
    body["webhook_type"] = "custom".into();
    body["url"] = "https://example.org/".into();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_webhook_is_judged_as_strictly() {
    let bench = Bench::new().await;
    let hook = bench.custom("/hook", json!({})).await;
    let since = (chrono::Local::now().to_utc() - chrono::TimeDelta::days(1)).to_rfc3339();
    let cases: Vec<(&str, Value, u16, &[&str])> = vec![
        ("resume", json!({"backlog": "burn"}), 422, &["/backlog"]),
        ("secret/rotate", json!({"version": "v9"}), 422, &["/version"]),
        ("secret/rotate", json!({"overlap_seconds": 604_801}), 422, &["/overlap_seconds"]),
        ("secret/rotate", json!({"key": "whsec_short"}), 422, &["/key"]),
        ("replay", json!({}), 422, &["/since"]),
        ("replay", json!({"since": "yesterday"}), 422, &["/since"]),
        ("replay", json!({"since": "2020-01-01T00:00:00Z"}), 422, &["/since"]),
        ("replay", json!({"since": since, "until": "2025-01-01T00:00:00Z"}), 422, &["/until"]),
        ("replay", json!({"since": since, "per_second": 0}), 422, &["/per_second"]),
        ("replay", json!({"since": since, "events": ["a b"]}), 422, &["/events/0"]),
        ("preview", json!({"event_type": "a b"}), 422, &["/event_type"]),
        ("preview", json!({"event_type": "a", "payload": []}), 422, &["/payload"]),
    ];
    for (action, body, status, pointers) in cases {
        let reply = bench.post(&format!("{hook}/{action}"), &body).await;
        let what = format!("{action} {body}");
        assert_problem(&reply, status, &what);
        assert_eq!(reply.pointers(), pointers, "{what}");
    }
    for (method, path) in [
        ("get", "/deliveries/x"),
        ("post", "/deliveries/x/retry"),
        ("post", "/deliveries/x/cancel"),
        ("get", "/events/x"),
        ("get", "/replays/x"),
    ] {
        assert_problem(&bench.call(method, path).await, 400, path);
        let nobody = path.replace('x', "01900000-0000-7000-8000-000000000000");
        assert_problem(&bench.call(method, &nobody).await, 404, &nobody);
    }
    for query in ["state=lost", "webhook_id=x", "event_id=x"] {
        assert_problem(&bench.get(&format!("/deliveries?{query}")).await, 422, query);
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_list_is_judged_before_the_database_sees_it() {
    let bench = Bench::new().await;
    for resource in ["domains", "experts", "tasks", "interactions"] {
        for method in ["get", "delete"] {
            assert_problem(&bench.call(method, &format!("/{resource}/x")).await, 400, resource);
            let nobody = format!("/{resource}/01900000-0000-7000-8000-000000000000");
            assert_problem(&bench.call(method, &nobody).await, 404, resource);
        }
        for (query, status) in
            [("limit=0", 422), ("limit=201", 422), ("limit=x", 422), ("sort=colour", 422), ("colour=red", 400)]
        {
            assert_problem(&bench.get(&format!("/{resource}?{query}")).await, status, query);
        }
        // What some programs take for a time and Postgres does not.
        let times = [
            "yesterday",
            "2025-01-01 00:00:00+16",
            "2025-01-01 00:00:00+23:59",
            "0000-01-01 00:00:00+00",
            "-0001-01-01 00:00:00+00",
            "10000-01-01 00:00:00+00",
            "+2025-01-01 00:00:00+00",
            "262142-01-01 00:00:00+00",
            "2026- 11-28 13:35:31+00",
            "25-12-31 00:00:00+00",
            "2026-1-1 0:0:0+00",
            "2026-11-28 23:59:60+00",
            "2026-11-28 13:35:31.1234567+00",
        ];
        let place = |time: &str| format!(r#"["-created_at","{time}","01900000-0000-7000-8000-000000000000"]"#);
        for place in times.map(place).iter().map(String::as_str).chain(["[]", "x"]) {
            let cursor = URL_SAFE_NO_PAD.encode(place);
            let reply = bench.get(&format!("/{resource}?sort=-created_at&cursor={cursor}")).await;
            assert_problem(&reply, 422, place);
            assert_eq!(reply.pointers(), ["cursor"]);
        }
    }
    for query in ["status=done", "priority=top", "assignee_id=x", "domain_id=x", "due_before=x", "overdue=maybe"] {
        assert_problem(&bench.get(&format!("/tasks?{query}")).await, 422, query);
    }
    let wrong = bench.get("/tasks?status=done&overdue=maybe&sort=x&limit=0").await;
    assert_eq!(wrong.pointers(), ["status", "overdue", "sort", "limit"], "every fault at once");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_body_is_told_by_field_and_nothing_is_stored() {
    let bench = Bench::new().await;
    for (path, body, pointers) in faulty_knowledge().into_iter().chain(faulty_webhooks()).chain(faulty_people()) {
        let reply = bench.post(path, &body).await;
        let what = format!("{path} {}", body.to_string().chars().take(120).collect::<String>());
        assert_problem(&reply, 422, &what);
        assert_eq!(reply.pointers(), pointers, "{what}");
        assert!(!reply.text.contains("0:x"), "secrets are not echoed: {}", reply.text);
    }
    assert_eq!(bench.stored().await, 0);
    bench.finish().await;
}

/// Where it is sent, what, and the fields that are at fault.
type Fault = (&'static str, Value, &'static [&'static str]);

fn faulty_knowledge() -> Vec<Fault> {
    let long = "x".repeat(200_001);
    let long_name = "x".repeat(65);
    vec![
        ("/knowledge", json!({}), &["/content"]),
        ("/knowledge", json!({"content": ""}), &["/content"]),
        ("/knowledge", json!({"content": " \n\t"}), &["/content"]),
        ("/knowledge", json!({"content": long}), &["/content"]),
        ("/knowledge", json!({"content": "a\u{0}b"}), &["/content"]),
        ("/knowledge", json!({"content": 5}), &["/content"]),
        ("/knowledge", json!({"content": null}), &["/content"]),
        ("/knowledge", json!({"content": "x", "colour": "red"}), &["/colour"]),
        ("/knowledge", json!({"content": "x", "confidence_score": 1.01}), &["/confidence_score"]),
        ("/knowledge", json!({"content": "x", "confidence_score": -1}), &["/confidence_score"]),
        ("/knowledge", json!({"content": "x", "confidence_score": "high"}), &["/confidence_score"]),
        ("/knowledge", json!({"content": "x", "metadata": {"a": ["\u{0}"]}}), &["/metadata/a/0"]),
        (
            "/knowledge",
            json!({"content": "", "confidence_score": 2, "domain": ""}),
            &["/content", "/domain", "/confidence_score"],
        ),
        ("/knowledge", json!({"content": "x", "a`b/c~d": 1}), &["/a`b~1c~0d"]),
        ("/knowledge", json!({"content": "x", "metadata": {"a/b": {"c~": "\u{0}"}}}), &["/metadata/a~1b/c~0"]),
        ("/knowledge", json!({"content": "x", "title": "x".repeat(301)}), &["/title"]),
        ("/knowledge", json!({"content": "x", "tags": ["a", " ", "x".repeat(65)]}), &["/tags/1", "/tags/2"]),
        ("/knowledge", json!({"content": "x", "tags": vec!["x"; 51]}), &["/tags"]),
        ("/knowledge", json!({"content": "x", "tags": ["a\tb"]}), &["/tags/0"]),
        ("/knowledge", json!({"content": "x", "tags": [1]}), &["/tags/0"]),
        ("/knowledge", json!({"content": "x", "lang": "russian"}), &["/lang"]),
        ("/knowledge", json!({"content": "x", "metadata": {"a": "x".repeat(65_536)}}), &["/metadata"]),
        ("/knowledge/batch", json!({}), &["/items"]),
        ("/knowledge/batch", json!({"items": []}), &["/items"]),
        ("/knowledge/batch", json!({"items": vec![json!({"content": "x"}); 1_001]}), &["/items"]),
        ("/knowledge/batch", json!({"items": {}}), &["/items"]),
        ("/search", json!({"query": " "}), &["/query"]),
        ("/search", json!({"query": "x", "limit": 0}), &["/limit"]),
        ("/search", json!({"query": "-word"}), &["/query"]),
        ("/search", json!({"query": "\"", "limit": 0}), &["/query", "/limit"]),
        ("/search", json!({"query": "domain:python tag:draft -\"old style\""}), &["/query"]),
        ("/search", json!({"query": "x".repeat(10_000), "min_confidence": 7}), &["/query", "/min_confidence"]),
        ("/events", json!({"event_type": "task completed"}), &["/event_type"]),
        ("/events", json!({"event_type": long_name}), &["/event_type"]),
        ("/events", json!({"event_type": "webhook_disabled"}), &["/event_type"]),
        ("/events", json!({"event_type": "webhook_failing"}), &["/event_type"]),
        ("/events", json!({"event_type": "webhook_recovered"}), &["/event_type"]),
        ("/events", json!({"event_type": "daily_report"}), &["/event_type"]),
        ("/events", json!({"event_type": "weekly_report"}), &["/event_type"]),
        ("/events", json!({"event_type": "x", "payload": []}), &["/payload"]),
        ("/events", json!({"event_type": "x", "payload": {"a": {"b": "\u{0}"}}}), &["/payload/a/b"]),
        ("/events", json!({"event_type": "x", "payload": {"a": "x".repeat(300_000)}}), &["/payload"]),
    ]
}

fn faulty_people() -> Vec<Fault> {
    let nobody = "01900000-0000-7000-8000-000000000000";
    vec![
        ("/domains", json!({}), &["/name"]),
        ("/domains", json!({"name": " "}), &["/name"]),
        ("/domains", json!({"name": "x".repeat(201), "half_life_days": 0}), &["/name", "/half_life_days"]),
        ("/domains", json!({"name": "x", "description": "a\u{0}"}), &["/description"]),
        ("/domains", json!({"name": "x", "colour": "red"}), &["/colour"]),
        ("/domains", json!({"name": ["x"]}), &["/name"]),
        ("/experts", json!({"name": "", "email": "x"}), &["/name", "/email"]),
        ("/experts", json!({"name": "x", "domain_ids": "x"}), &["/domain_ids"]),
        ("/experts", json!({"name": "x", "domain_ids": ["x", nobody, nobody]}), &["/domain_ids/0", "/domain_ids/2"]),
        ("/experts", json!({"name": "x", "domain_ids": [nobody]}), &["/domain_ids/0"]),
        ("/tasks", json!({"title": "x", "assignee_id": nobody, "domain_id": nobody}), &["/domain_id", "/assignee_id"]),
        ("/tasks", json!({"title": "x", "status": "done", "priority": 1}), &["/priority"]),
        ("/tasks", json!({"title": "x", "status": "done", "priority": "top"}), &["/status", "/priority"]),
        ("/tasks", json!({"title": "x", "status": "completed"}), &["/status"]),
        ("/tasks", json!({"title": "x", "due_at": "2025-12-14"}), &["/due_at"]),
        ("/tasks", json!({"title": "x", "completed_at": "2025-12-14T12:00:00Z"}), &["/completed_at"]),
        (
            "/interactions",
            json!({"query": "x", "expert_id": nobody, "knowledge_id": nobody}),
            &["/expert_id", "/knowledge_id"],
        ),
        ("/interactions", json!({"query": "x".repeat(10_001), "feedback_score": 0}), &["/query", "/feedback_score"]),
        ("/interactions", json!({"query": "x", "feedback_score": 4.5}), &["/feedback_score"]),
    ]
}

fn faulty_webhooks() -> Vec<Fault> {
    let slack = "https://hooks.slack.com/services/T0/B0/abc";
    vec![
        ("/webhooks", json!({"webhook_type": "fax", "url": slack}), &["/webhook_type"]),
        ("/webhooks", json!({"url": slack}), &["/webhook_type"]),
        ("/webhooks", json!({"webhook_type": "slack"}), &["/url"]),
        ("/webhooks", json!({"webhook_type": "slack", "url": "https://example.org/services/T0/B0/abc"}), &["/url"]),
        ("/webhooks", json!({"webhook_type": "slack", "url": slack, "events": ["a b"]}), &["/events/0"]),
        ("/webhooks", json!({"webhook_type": "slack", "url": slack, "events": "all"}), &["/events"]),
        ("/webhooks", json!({"webhook_type": "slack", "url": slack, "locale": "de"}), &["/locale"]),
        ("/webhooks", json!({"webhook_type": "slack", "url": slack, "chat_id": 1}), &["/chat_id"]),
        ("/webhooks", json!({"webhook_type": "telegram", "chat_id": 1, "bot_token": "0:x"}), &["/bot_token"]),
        ("/webhooks", json!({"webhook_type": "custom", "url": "http://169.254.169.254/latest"}), &["/url"]),
        ("/webhooks", json!({"webhook_type": "custom", "url": "https://10.0.0.1/x"}), &["/url"]),
        ("/webhooks", json!({"webhook_type": "custom", "url": "ftp://example.org/"}), &["/url"]),
        ("/webhooks", custom(json!({"secret": "short"})), &["/secret"]),
        ("/webhooks", custom(json!({"headers": {"Host": "x"}})), &["/headers/Host"]),
        ("/webhooks", custom(json!({"headers": {"X-A": "a\r\nb"}})), &["/headers/X-A"]),
        ("/webhooks", custom(json!({"policy": {"max_in_flight": 0}})), &["/policy/max_in_flight"]),
        ("/webhooks", custom(json!({"policy": {"max_in_flight": -1}})), &["/policy/max_in_flight"]),
        ("/webhooks", custom(json!({"policy": {"timeout_seconds": 31}})), &["/policy/timeout_seconds"]),
        ("/webhooks", custom(json!({"policy": {"rate_limit": {"limit": 5}}})), &["/policy/rate_limit/per_seconds"]),
        (
            "/webhooks",
            custom(json!({"policy": {"rate_limit": {"limit": 0, "per_seconds": 0}}})),
            &["/policy/rate_limit/limit", "/policy/rate_limit/per_seconds"],
        ),
        (
            "/webhooks",
            custom(json!({"policy": {"retry_schedule": [604_801]}})),
            &["/policy/retry_schedule/0", "/policy/retry_schedule"],
        ),
        ("/webhooks", custom(json!({"policy": {"retry_schedule": vec![60; 50]}})), &["/policy/retry_schedule"]),
        ("/webhooks", custom(json!({"policy": {"colour": 1}})), &["/policy/colour"]),
        ("/webhooks", custom(json!({"policy": {"ordered": null}})), &["/policy/ordered"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_or_too_much_of_it_is_refused() {
    let bench = Bench::new().await;
    for broken in
        ["", "{", "{\"content\": NaN}", "{\"content\": \"x\"} trailing", "\u{feff}{}", "[1,", "[\"positional\"]"]
    {
        assert_problem(&bench.post_text("/knowledge", broken).await, 400, broken);
    }
    let twice = r#"{"content": "a", "content": "b"}"#;
    assert_problem(&bench.post_text("/knowledge", twice).await, 422, twice);
    let inside = r#"{"content": "a", "metadata": {"a": {"b": 1, "b": 1}}}"#;
    let reply = bench.post_text("/knowledge", inside).await;
    assert_problem(&reply, 422, inside);
    assert_eq!(reply.pointers(), ["/metadata/a/b"]);
    let nothing = bench.post_text("/knowledge", "null").await;
    assert_problem(&nothing, 422, "null");
    assert_eq!(nothing.json()["detail"], "body must be an object, and not null");
    let deep = format!("{{\"content\": \"x\", \"metadata\": {{\"a\": {}{}}}}}", "[".repeat(5000), "]".repeat(5000));
    assert_problem(&bench.post_text("/knowledge", &deep).await, 400, "5000 brackets");
    let big = json!({"content": "x".repeat(2 << 20)}).to_string();
    assert_problem(&bench.post_text("/knowledge", &big).await, 413, "2 MiB");
    let plain = TestRequest::post().uri("/knowledge").insert_header(("x-api-key", KEY)).set_payload("content=x");
    assert_problem(&bench.send(plain).await, 415, "no content type");
    assert_eq!(bench.stored().await, 0);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_packed_is_refused_by_the_header_that_says_so() {
    let bench = Bench::new().await;
    for path in ["/knowledge", "/knowledge/import", "/search", "/events", "/webhooks"] {
        let request = TestRequest::post().uri(path).insert_header(("x-api-key", KEY));
        let request = request.insert_header(("content-type", "application/json"));
        let reply = bench.send(request.insert_header(("content-encoding", "gzip")).set_payload("\u{1f}")).await;
        assert_problem(&reply, 415, path);
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("Content-Encoding: gzip ") && detail.contains("send it uncompressed"), "{detail}");
    }
    let body = json!({"content": "as it is"});
    let plain = bench.post_with("/knowledge", &body, ("content-encoding", "identity")).await;
    assert_eq!(plain.status, StatusCode::CREATED, "{}", plain.text);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn null_in_a_change_is_refused_where_nothing_can_be_emptied() {
    let bench = Bench::new().await;
    let item = bench.create("/knowledge", &json!({"content": "x"})).await;
    let other = bench.create("/knowledge", &json!({"content": "y"})).await;
    let link = json!({"target_id": other.rsplit_once('/').unwrap().1, "kind": "supports"});
    let paths = [
        (
            bench.custom("/hook", json!({})).await,
            &["url", "chat_id", "secret", "headers", "policy", "events", "enabled", "name", "metadata", "locale"][..],
        ),
        (bench.create("/domains", &json!({"name": "d"})).await, &["name", "description"]),
        (bench.create("/experts", &json!({"name": "e"})).await, &["name", "role", "bio", "domain_ids"]),
        (bench.create("/tasks", &json!({"title": "t"})).await, &["title", "description", "status", "priority"]),
        (bench.create(&format!("{item}/links"), &link).await, &["weight", "metadata"]),
        (item, &["content", "confidence_score"]),
    ];
    for (path, fields) in paths {
        let before = bench.get(&path).await.header("etag").to_owned();
        for field in fields {
            let reply = bench.patch(&path, &json!({*field: null})).await;
            assert_problem(&reply, 422, &format!("{path} {field}"));
            assert_eq!(reply.pointers(), [format!("/{field}")]);
        }
        assert_eq!(bench.get(&path).await.header("etag"), before, "{path}");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_alone_may_tell_can_be_previewed_but_not_told() {
    let bench = Bench::new().await;
    let hook = bench.custom("/hook", json!({})).await;
    let events = json!({"events": [{"event_type": "daily_report"}, {"event_type": "x"}]});
    let results = bench.post("/events/batch", &events).await.json()["results"].clone();
    assert_eq!(results[0]["errors"][0]["pointer"], "/event_type", "{results}");
    let detail = results[0]["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("`daily_report` is told by the service alone"), "{detail}");
    assert!(results[1]["id"].is_string(), "{results}");
    let preview = bench.post(&format!("{hook}/preview"), &json!({"event_type": "daily_report"})).await;
    assert_eq!(preview.status, StatusCode::OK, "{}", preview.text);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_words_that_say_nothing_and_one_that_is_still_typed_are_answered() {
    let bench = Bench::new().await;
    for query in [json!({"query": "the and"}), json!({"query": "\"", "mode": "suggest"})] {
        let reply = bench.post("/search", &query).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_text_there_may_be_is_taken_however_it_is_escaped() {
    let bench = Bench::new().await;
    let body = format!(r#"{{"content": "{}"}}"#, r"\u0441".repeat(200_000));
    assert_eq!(bench.post_text("/knowledge", &body).await.status, StatusCode::CREATED);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_type_is_told_in_the_words_of_json() {
    let bench = Bench::new().await;
    let long = "x".repeat(1_000);
    for (body, told) in [
        (json!({"content": 5}), "must be a string, and not integer `5`"),
        (json!({"content": "x", "metadata": "m"}), "must be an object, and not string \"m\""),
        (json!({"content": "x", "confidence_score": {}}), "must be a number, and not an object"),
        (json!({"content": "x", "confidence_score": long}), "must be a number, and not string \"xxx"),
    ] {
        let reply = bench.post("/knowledge", &body).await;
        let detail = reply.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(told) && detail.len() < 100, "{detail}");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_refuse_is_a_problem_too() {
    let bench = Bench::new().await;
    let request = TestRequest::get().uri("/stats").insert_header(("x-api-key", KEY));
    let reply = bench.send(request.insert_header(("accept-encoding", "identity;q=0"))).await;
    assert_problem(&reply, 406, "no encoding is acceptable");
    assert_problem(&bench.send(TestRequest::get().uri("/docs/nowhere.js")).await, 404, "a page that is none");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_the_key_learns_nothing_and_changes_nothing() {
    let bench = Bench::new().await;
    let guarded = [
        "/stats",
        "/metrics",
        "/knowledge",
        "/knowledge/x",
        "/knowledge/import",
        "/knowledge/batch",
        "/search",
        "/events",
        "/webhooks",
        "/webhooks/x",
    ];
    for path in guarded {
        for key in [None, Some("wrong"), Some("")] {
            let request = TestRequest::post().uri(path).set_json(json!({"content": "x"}));
            let request = key.map_or(TestRequest::post().uri(path), |key| request.insert_header(("x-api-key", key)));
            let reply = bench.send(request).await;
            assert_problem(&reply, 401, path);
            assert!(reply.header("www-authenticate").starts_with("Bearer"));
        }
    }
    let bearer = TestRequest::get().uri("/stats").insert_header(("authorization", format!("Bearer {KEY}")));
    assert_eq!(bench.send(bearer).await.status, StatusCode::OK);
    assert_eq!(bench.stored().await, 0);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_paths_methods_and_ids_are_told_apart() {
    let bench = Bench::new().await;
    assert_problem(&bench.get("/nowhere").await, 404, "path");
    let reply = bench.delete("/webhooks").await;
    assert_problem(&reply, 405, "method");
    assert_eq!(reply.header("allow"), "POST, GET, HEAD");
    for path in ["/knowledge/1", "/webhooks/not-a-uuid", "/webhooks/x/logs"] {
        assert_problem(&bench.get(path).await, 400, path);
    }
    let nobody = "01900000-0000-7000-8000-000000000000";
    for path in [format!("/knowledge/{nobody}"), format!("/webhooks/{nobody}"), format!("/webhooks/{nobody}/logs")] {
        assert_problem(&bench.get(&path).await, 404, &path);
    }
    assert_problem(&bench.delete(&format!("/webhooks/{nobody}")).await, 404, "delete");
    assert_problem(&bench.post(&format!("/webhooks/{nobody}/test"), &json!({})).await, 404, "test");
    for query in ["limit=0", "limit=201", "limit=x", "limit=1000000000", "cursor=edited"] {
        assert_problem(&bench.get(&format!("/webhooks?{query}")).await, 422, query);
    }
    assert_problem(&bench.get("/webhooks?colour=red").await, 400, "unknown parameter");
    bench.finish().await;
}
