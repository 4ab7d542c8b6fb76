//! Knowledge in, knowledge out, and word of it to those who listen.

use actix_web::http::StatusCode;
use serde_json::json;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn the_seeds_knowledge_is_stored_told_and_found() {
    let mut bench = Bench::new().await;
    let hook = json!({"webhook_type": "custom", "url": bench.receiver.url("/hook"), "events": ["knowledge_created"]});
    assert_eq!(bench.post("/webhooks", &hook).await.status, StatusCode::CREATED);
    let body = json!({"content": "Python async/await best practices", "domain": "python", "confidence_score": 0.95});
    let created = bench.post("/knowledge", &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    let stored = created.json();
    assert_eq!((&stored["domain"], &stored["confidence_score"]), (&json!("python"), &json!(0.95)));
    assert_eq!(created.header("etag"), "\"v1\"");

    let told = bench.receiver.next().await.json();
    assert_eq!(told["event_type"], "knowledge_created");
    assert_eq!(told["payload"]["knowledge_id"], stored["id"]);
    assert_eq!(told["payload"]["content"], "Python async/await best practices");

    let mut read = bench.get(created.header("location")).await.json();
    read["duplicate"] = json!(false);
    read["near_duplicates"] = json!([]);
    assert_eq!(read, stored);
    let search = bench.post("/search", &json!({"query": "practice"})).await.json();
    assert_eq!(search["results"][0]["id"], stored["id"]);
    assert_eq!(search["results"][0]["highlight"], "Python async/await best <mark>practices</mark>");
    assert!(search["took_ms"].is_u64());
    let stats = bench.get("/stats").await.json();
    assert_eq!((&stats["total_knowledge"], &stats["total_domains"]), (&json!(1), &json!(1)));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_any_name_reaches_those_who_listen_and_says_how_many() {
    let mut bench = Bench::new().await;
    for events in [json!([]), json!(["build_*"]), json!(["task_completed"])] {
        let hook = json!({"webhook_type": "custom", "url": bench.receiver.url("/hook"), "events": events});
        bench.post("/webhooks", &hook).await;
    }
    let accepted = bench.post("/events", &json!({"event_type": "build_failed", "payload": {"job": 7}})).await;
    assert_eq!((accepted.status, &accepted.json()["deliveries"]), (StatusCode::ACCEPTED, &json!(2)));
    for _ in 0..2 {
        assert_eq!(bench.receiver.next().await.json()["payload"], json!({"job": 7}));
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_says_how_it_is_without_a_key() {
    use actix_web::test::TestRequest;
    let bench = Bench::new().await;
    for path in ["/", "/health", "/livez", "/readyz", "/openapi.json", "/docs/"] {
        assert_eq!(bench.send(TestRequest::get().uri(path)).await.status, StatusCode::OK, "{path}");
    }
    let head = bench.send(TestRequest::default().method(actix_web::http::Method::HEAD).uri("/health")).await;
    assert_eq!(head.status, StatusCode::OK);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_found_whatever_mark_stands_between_them() {
    const TEXTS: &[(&str, &[&str])] = &[
        ("Python async/await и чтение/запись", &["async", "await", "async/await", "запись", "\"чтение/запись\""]),
        ("Use Vec<StringBuilder> here", &["stringbuilder", "Vec<StringBuilder>", "\"vec<stringbuilder>\""]),
        ("<script>steal(cookies)</script>", &["script", "steal", "<script>"]),
        ("<!-- hidden remark --> <p class=\"wide\">paragraph", &["remark", "wide", "paragraph"]),
        (
            "The file /etc/postgresql/fagott.conf",
            &["fagott", "fagott.conf", "/etc/postgresql/fagott.conf", "\"fagott.conf\""],
        ),
        ("Первое.Второе предложение", &["второе", "первое"]),
        ("f(&pointer;)", &["pointer"]),
        ("Write to olga@kontora.example.org", &["kontora", "olga@kontora.example.org"]),
        ("Released as 3.14 today", &["3.14"]),
    ];
    let bench = Bench::new().await;
    for (content, words) in TEXTS {
        let stored = bench.post("/knowledge", &json!({"content": content})).await.json();
        for word in *words {
            let found = bench.post("/search", &json!({"query": word, "typo": false})).await.json();
            assert_eq!(found["results"][0]["id"], stored["id"], "{word} in {content}: {found}");
        }
    }
    let found = bench.post("/search", &json!({"query": "stringbuilder"})).await.json();
    assert_eq!(found["results"][0]["highlight"], "Use Vec&lt;<mark>StringBuilder</mark>&gt; here");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_more_words_than_postgres_keeps_is_stored_whole_and_found_by_its_start() {
    let bench = Bench::new().await;
    // Letters of four bytes in words that are kept whole and in their parts.
    let letter = |number: u32| char::from_u32(0x1_0428 + number % 40).unwrap();
    let mut content = "beginning".to_owned();
    for number in 0..13_000_u32 {
        let word: String = [number, number / 40, number / 1_600, 7, 9, 3].map(letter).iter().collect();
        content.push_str(&format!(" {word}-{word}"));
    }
    let created = bench.post("/knowledge", &json!({"content": content})).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    assert_eq!(created.json()["content"].as_str(), Some(content.as_str()));
    let found = bench.post("/search", &json!({"query": "beginning"})).await.json();
    assert_eq!(found["results"][0]["id"], created.json()["id"]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statistics_count_what_is_there_and_what_was_searched_for_in_vain() {
    let bench = Bench::new().await;
    for (content, tags) in [("Чтение книг", json!(["books"])), ("Reading books", json!(["books", "draft"]))] {
        bench.create("/knowledge", &json!({"content": content, "domain": "library", "tags": tags})).await;
    }
    let gone = bench.create("/knowledge", &json!({"content": "Nobody needs this"})).await;
    assert_eq!(bench.delete(&gone).await.status, 204);
    for query in ["books", "spaceships"] {
        bench.post("/search", &json!({"query": query})).await;
    }
    bench.repository.searches_record().await.unwrap();
    let stats = bench.get("/stats").await.json();
    assert_eq!((&stats["total_knowledge"], &stats["orphans"]), (&json!(2), &json!(2)), "{stats}");
    assert_eq!(stats["by_domain"], json!([{"name": "library", "count": 2}]));
    assert_eq!(stats["by_lang"], json!([{"name": "en", "count": 1}, {"name": "ru", "count": 1}]));
    assert_eq!(stats["by_tag"], json!([{"name": "books", "count": 2}, {"name": "draft", "count": 1}]));
    assert_eq!(stats["growth"][0]["count"], 2);
    let search = &stats["search"];
    assert_eq!((&search["searches"], &search["zero_result_share"]), (&json!(2), &json!(0.5)));
    assert_eq!(search["gaps"], json!([{"name": "spaceships", "count": 1}]));
    bench.finish().await;
}
