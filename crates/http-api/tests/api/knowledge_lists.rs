//! Lists of knowledge: filters, orders and pages.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::bench::Bench;

async fn know(bench: &Bench, body: Value) -> Value {
    let created = bench.post("/knowledge", &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    created.json()
}

/// The contents of all pages of this size.
async fn pages(bench: &Bench, query: &str, limit: usize) -> Vec<String> {
    let mut contents = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = bench.get(&format!("/knowledge?{query}&limit={limit}{cursor}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}: {}", page.text);
        let page = page.json();
        let data = page["data"].as_array().unwrap();
        contents.extend(data.iter().map(|item| item["content"].as_str().unwrap().to_owned()));
        assert_eq!(page["has_more"], page["next_cursor"].is_string());
        assert!(data.len() <= limit);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return contents,
        }
    }
}

async fn three(bench: &Bench) {
    let a = json!({"content": "a", "domain": "x", "tags": ["red", "big"], "confidence_score": 0.2});
    let (a, b) =
        (know(bench, a).await, json!({"content": "б", "domain": "y", "tags": ["red"], "confidence_score": 0.9}));
    let link = json!({"target_id": know(bench, b).await["id"], "kind": "supports"});
    bench.create(&format!("/knowledge/{}/links", a["id"].as_str().unwrap()), &link).await;
    let c = know(bench, json!({"content": "c", "tags": ["big"], "confidence_score": 0.9})).await;
    bench.call("post", &format!("/knowledge/{}/verify", c["id"].as_str().unwrap())).await;
    let times = "UPDATE knowledge SET created_at = '2025-01-01T00:00Z'::timestamptz + (ascii(content) % 100) * interval '1 day'";
    bench.db.client().await.batch_execute(times).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_keeps_what_it_says() {
    let bench = Bench::new().await;
    three(&bench).await;
    // ascii: a 97, б 1073, c 99; so b was added on day 73, a on 97, c on 99.
    for (query, expected) in [
        ("", vec!["c", "a", "б"]),
        ("sort=created_at", vec!["б", "a", "c"]),
        ("domain=x", vec!["a"]),
        ("domain=nowhere", vec![]),
        ("tag=red", vec!["a", "б"]),
        ("tag=red&tag=BIG", vec!["a"]),
        ("tag=none", vec![]),
        ("lang=ru", vec!["б"]),
        ("lang=EN", vec!["c", "a"]),
        ("min_confidence=0.9", vec!["c", "б"]),
        ("verified=true", vec!["c"]),
        ("verified=false&sort=confidence", vec!["a", "б"]),
        ("created_since=2025-04-08T00:00:00Z", vec!["c", "a"]),
        ("created_until=2025-04-08T00:00:00Z", vec!["б"]),
        ("created_since=2025-04-08T00:00:00%2B03:00&created_until=2025-04-08T00:00:00Z", vec![]),
        ("updated_since=2100-01-01T00:00:00Z", vec![]),
        ("updated_since=2020-01-01T00:00:00Z&domain=y", vec!["б"]),
        ("deleted=true", vec![]),
        ("orphan=true", vec!["c"]),
        ("orphan=false", vec!["a", "б"]),
        ("orphan=false&domain=x", vec!["a"]),
        ("deleted=false&domain=y", vec!["б"]),
        ("sort=updated_at", vec!["a", "б", "c"]),
        ("sort=-updated_at", vec!["c", "б", "a"]),
    ] {
        let page = bench.get(&format!("/knowledge?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}: {}", page.text);
        let page = page.json();
        let data = page["data"].as_array().unwrap();
        let contents: Vec<_> = data.iter().map(|item| item["content"].as_str().unwrap()).collect();
        assert_eq!(contents, expected, "{query}");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_hold_everything_once_also_among_equals() {
    let bench = Bench::new().await;
    let items: Vec<Value> = (0..7)
        .map(|number| json!({"content": format!("{number}"), "confidence_score": f64::from(number / 3) / 3.0}))
        .collect();
    bench.post("/knowledge/batch", &json!({"items": items})).await;
    for sort in ["created_at", "-created_at", "updated_at", "-updated_at", "confidence", "-confidence"] {
        let query = format!("sort={sort}");
        let whole = pages(&bench, &query, 200).await;
        assert_eq!(whole.len(), 7);
        for limit in [1, 2, 3, 6, 7] {
            assert_eq!(pages(&bench, &query, limit).await, whole, "{sort} by {limit}");
        }
        let back = if let Some(up) = sort.strip_prefix('-') { up.to_owned() } else { format!("-{sort}") };
        let mut backwards = pages(&bench, &format!("sort={back}"), 2).await;
        backwards.reverse();
        assert_eq!(backwards, whole, "{sort}");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_was_edited_or_belongs_to_another_list_is_refused() {
    let bench = Bench::new().await;
    three(&bench).await;
    let page = bench.get("/knowledge?sort=created_at&limit=1").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let (first, rest) = cursor.split_at(cursor.len() - 3);
    let edited = format!("{first}{}", if rest == "AAA" { "AAB" } else { "AAA" });
    let id = page["data"][0]["id"].as_str().unwrap();
    for path in [
        format!("/knowledge?sort=created_at&cursor={edited}"),
        format!("/knowledge?sort=created_at&cursor={id}"),
        format!("/knowledge?sort=-created_at&cursor={cursor}"),
        format!("/knowledge?sort=confidence&cursor={cursor}"),
        format!("/knowledge?cursor={cursor}"),
        format!("/knowledge/{id}/history?cursor={cursor}"),
        "/knowledge?cursor=".to_owned(),
    ] {
        let reply = bench.get(&path).await;
        assert_eq!((reply.status.as_u16(), reply.pointers()), (422, vec!["cursor".to_owned()]), "{path}");
    }
    assert_eq!(bench.get(&format!("/knowledge?sort=created_at&cursor={cursor}")).await.status, StatusCode::OK);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_are_told_by_name() {
    let bench = Bench::new().await;
    for (query, status, pointers) in [
        ("limit=0", 422, vec!["limit"]),
        ("limit=201", 422, vec!["limit"]),
        ("sort=size", 422, vec!["sort"]),
        ("sort=--created_at", 422, vec!["sort"]),
        ("min_confidence=2", 422, vec!["min_confidence"]),
        ("min_confidence=NaN", 422, vec!["min_confidence"]),
        ("verified=maybe&deleted=1", 422, vec!["verified", "deleted"]),
        (
            "created_since=yesterday&created_until=&updated_since=2025",
            422,
            vec!["created_since", "created_until", "updated_since"],
        ),
        ("created_since=%2B20000-01-01T00:00:00Z", 422, vec!["created_since"]),
        ("tag=&lang=x", 422, vec!["tag", "lang"]),
        ("domain=", 422, vec!["domain"]),
        ("colour=red", 400, vec!["colour"]),
        ("lang=ru&lang=en", 400, vec!["lang"]),
    ] {
        let reply = bench.get(&format!("/knowledge?{query}")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.pointers()),
            (status, pointers.iter().map(ToString::to_string).collect()),
            "{query}"
        );
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_very_long_texts_ends_before_it_is_too_large() {
    let bench = Bench::new().await;
    let long = "INSERT INTO knowledge (content, content_hash, domain_id)
                SELECT n || repeat(' шум', 50000), n::text::bytea, NULL FROM generate_series(100, 129) AS n";
    bench.db.client().await.batch_execute(long).await.unwrap();
    let first = bench.get("/knowledge?limit=200").await;
    assert!(first.text.len() < 10 << 20, "{}", first.text.len());
    assert_eq!(first.json()["has_more"], true);
    let texts = pages(&bench, "sort=created_at", 200).await;
    let numbers: Vec<&str> = texts.iter().filter_map(|text| text.split(' ').next()).collect();
    assert_eq!(numbers, (100..130).map(|number| number.to_string()).collect::<Vec<_>>());

    let mut found = Vec::new();
    let mut request = json!({"query": "шум", "limit": 100, "sort": "created_at"});
    loop {
        let page = bench.post("/search", &request).await;
        assert!(page.text.len() < 10 << 20, "{}", page.text.len());
        let page = page.json();
        found.extend(page["results"].as_array().unwrap().iter().map(|hit| hit["id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        request["cursor"] = cursor.into();
    }
    found.sort_by_key(ToString::to_string);
    found.dedup();
    assert_eq!(found.len(), 30);
    bench.finish().await;
}
