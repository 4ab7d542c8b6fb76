//! Links: made once, named from both sides, ended and remembered.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use kos_test_support::receiver::Answer;
use serde_json::{Value, json};

use crate::bench::{Bench, KEY, Reply};

const NOBODY: &str = "01900000-0000-7000-8000-000000000000";

/// Stores a text; returns its id.
pub(crate) async fn know(bench: &Bench, content: &str, domain: &str) -> String {
    let body = json!({"content": content, "domain": domain});
    let stored = bench.post("/knowledge", &body).await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.text);
    stored.json()["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn items<const N: usize>(bench: &Bench) -> [String; N] {
    let mut ids = Vec::new();
    for number in 0..N {
        ids.push(know(bench, &format!("item {number}"), "things").await);
    }
    ids.try_into().unwrap()
}

pub(crate) async fn link(bench: &Bench, source: &str, kind: &str, target: &str) -> Reply {
    bench.post(&format!("/knowledge/{source}/links"), &json!({"target_id": target, "kind": kind})).await
}

/// Deletes an item as the service does: it stays in the table, and is in no answer.
pub(crate) async fn remove(bench: &Bench, id: &str) {
    let statement = format!("UPDATE knowledge SET deleted_at = now() WHERE id = '{id}'");
    bench.db.client().await.batch_execute(&statement).await.unwrap();
}

async fn listed(bench: &Bench, id: &str, query: &str) -> Vec<(String, String, String)> {
    let reply = bench.get(&format!("/knowledge/{id}/links{query}")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let seen = |link: &Value| (text(&link["kind"]), text(&link["direction"]), text(&link["other"]["id"]));
    reply.json()["data"].as_array().unwrap().iter().map(seen).collect()
}

fn seen(kind: &str, direction: &str, other: &str) -> (String, String, String) {
    (kind.to_owned(), direction.to_owned(), other.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_stored_once_and_named_from_both_sides() {
    let bench = Bench::new().await;
    let [a, b] = items(&bench).await;
    let made = link(&bench, &a, "required_by", &b).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let stored = made.json();
    assert_eq!(
        (&stored["source_id"], &stored["kind"], &stored["target_id"]),
        (&json!(b), &json!("depends_on"), &json!(a))
    );
    assert_eq!((&stored["weight"], &stored["origin"], made.header("etag")), (&json!(1.0), &json!("manual"), "\"v1\""));
    let again = link(&bench, &b, "depends_on", &a).await;
    assert_eq!((again.status, &again.json()), (StatusCode::OK, &stored));
    assert_eq!(bench.get(made.header("location")).await.json(), stored);
    assert_eq!(listed(&bench, &a, "").await, [seen("required_by", "in", &b)]);
    assert_eq!(listed(&bench, &b, "").await, [seen("depends_on", "out", &a)]);

    let symmetric = link(&bench, &b, "contradicts", &a).await.json();
    assert_eq!((&symmetric["source_id"], &symmetric["target_id"]), (&json!(a), &json!(b)), "the smaller id first");
    assert_eq!(link(&bench, &a, "contradicts", &b).await.json()["id"], symmetric["id"]);
    assert_eq!(listed(&bench, &b, "?kinds=contradicts&direction=out").await, [seen("contradicts", "both", &a)]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn posting_again_takes_what_is_said_anew_and_keeps_the_rest() {
    let bench = Bench::new().await;
    let [a, b] = items(&bench).await;
    let path = format!("/knowledge/{a}/links");
    let first = json!({"target_id": b, "kind": "supports", "weight": 0.5, "note": "see §2", "metadata": {"page": 3}});
    assert_eq!(bench.post(&path, &first).await.status, StatusCode::CREATED);
    let second = bench.post(&path, &json!({"target_id": b, "kind": "supports", "weight": 0.7})).await;
    assert_eq!((second.status, second.header("etag")), (StatusCode::OK, "\"v2\""));
    let stored = second.json();
    assert_eq!(
        (&stored["weight"], &stored["note"], &stored["metadata"]),
        (&json!(0.7), &json!("see §2"), &json!({"page": 3}))
    );
    let third = bench.post(&path, &json!({"target_id": b, "kind": "supports", "weight": 0.7})).await;
    assert_eq!(third.header("etag"), "\"v2\"", "nothing changed");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn word_of_a_link_goes_out_when_it_is_made_changed_and_ended() {
    let mut bench = Bench::new().await;
    bench.receiver.answer(Answer::new(200, ""));
    let [a, b] = items(&bench).await;
    bench.custom("/hook", json!({"events": ["link_*"]})).await;
    let made = link(&bench, &a, "answers", &b).await.json();
    let path = format!("/links/{}", made["id"].as_str().unwrap());
    let told = bench.receiver.next().await.json();
    assert_eq!(told["event_type"], "link_created");
    let expected = json!({
        "link_id": made["id"], "source_id": a, "target_id": b, "source": "item 0", "kind": "answers",
        "target": "item 1", "weight": 1.0,
    });
    assert_eq!(told["payload"], expected);
    link(&bench, &a, "answers", &b).await;
    assert_eq!(bench.patch(&path, &json!({"weight": 0.25})).await.json()["weight"], 0.25);
    let told = bench.receiver.next().await.json();
    assert_eq!((&told["event_type"], &told["payload"]["weight"]), (&json!("link_updated"), &json!(0.25)));
    assert_eq!(bench.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.receiver.next().await.json()["event_type"], "link_deleted");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_of_one_version_of_a_link_the_second_is_told() {
    let bench = Bench::new().await;
    let [a, b] = items(&bench).await;
    let made = link(&bench, &a, "supports", &b).await;
    let write = |note: Value| {
        let request = TestRequest::patch().uri(made.header("location")).insert_header(("x-api-key", KEY));
        bench.send(request.insert_header(("if-match", "\"v1\"")).set_json(json!({ "note": note })))
    };
    let first = write(json!("why")).await;
    assert_eq!((first.status, first.header("etag"), &first.json()["note"]), (StatusCode::OK, "\"v2\"", &json!("why")));
    assert_eq!(write(json!("because")).await.status, StatusCode::PRECONDITION_FAILED);
    let cleared = bench.patch(made.header("location"), &json!({"note": null})).await;
    assert_eq!((cleared.header("etag"), &cleared.json()["note"]), ("\"v3\"", &json!(null)));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_each_other_in_a_circle_is_refused_and_the_circle_shown() {
    let bench = Bench::new().await;
    let [a, b, c] = items(&bench).await;
    for (kind, inverse) in [("depends_on", "required_by"), ("part_of", "has_part")] {
        assert_eq!(link(&bench, &a, kind, &b).await.status, StatusCode::CREATED);
        assert_eq!(link(&bench, &c, inverse, &b).await.status, StatusCode::CREATED);
        let refused = link(&bench, &c, kind, &a).await;
        assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::CONFLICT, &json!("cycle")));
        assert_eq!(refused.json()["cycle"], json!([c, a, b, c]));
        assert_eq!(link(&bench, &b, kind, &a).await.json()["cycle"], json!([b, a, b]));
    }
    for kind in ["supports", "derived_from"] {
        assert_eq!(link(&bench, &a, kind, &b).await.status, StatusCode::CREATED);
        assert_eq!(link(&bench, &b, kind, &a).await.status, StatusCode::CREATED, "only two kinds mind");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_out_of_the_bin_brings_no_circle_back() {
    let bench = Bench::new().await;
    let [a, b, c] = items(&bench).await;
    assert_eq!(link(&bench, &a, "depends_on", &b).await.status, StatusCode::CREATED);
    assert_eq!(link(&bench, &b, "depends_on", &c).await.status, StatusCode::CREATED);
    let path = format!("/knowledge/{b}");
    bench.delete(&path).await;
    let closing = link(&bench, &c, "depends_on", &a).await;
    assert_eq!(closing.status, StatusCode::CREATED, "nothing leads through the bin");
    let refused = bench.call("post", &format!("{path}/restore")).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::CONFLICT, &json!("cycle")), "{}", refused.text);
    assert_eq!(refused.json()["cycle"], json!([b, c, a, b]));
    assert_eq!(bench.get(&path).await.status, StatusCode::NOT_FOUND);
    bench.delete(closing.header("location")).await;
    assert_eq!(bench.call("post", &format!("{path}/restore")).await.status, StatusCode::OK);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_link_is_told_by_its_field() {
    let bench = Bench::new().await;
    let [a, b] = items(&bench).await;
    let path = format!("/knowledge/{a}/links");
    let long = "x".repeat(2_001);
    for (body, pointers) in [
        (json!({"target_id": a, "kind": "supports"}), vec!["/target_id"]),
        (json!({"target_id": NOBODY, "kind": "supports"}), vec!["/target_id"]),
        (json!({"target_id": NOBODY, "kind": "supported_by"}), vec!["/target_id"]),
        (json!({"target_id": NOBODY, "kind": "related_to"}), vec!["/target_id"]),
        (
            json!({"target_id": "x", "kind": "likes", "weight": 1.5, "note": long}),
            vec!["/target_id", "/kind", "/weight", "/note"],
        ),
        (json!({"target_id": b, "kind": "supports", "weight": -0.1}), vec!["/weight"]),
        (json!({"target_id": b, "kind": "supports", "metadata": {"a": "\u{0}"}}), vec!["/metadata/a"]),
        (json!({"target_id": b}), vec!["/kind"]),
        (json!({"target_id": b, "kind": "supports", "strength": 1}), vec!["/strength"]),
    ] {
        let reply = bench.post(&path, &body).await;
        assert_eq!(
            (reply.status, reply.pointers()),
            (StatusCode::UNPROCESSABLE_ENTITY, pointers.iter().map(ToString::to_string).collect()),
            "{}",
            reply.text
        );
    }
    let lost = link(&bench, NOBODY, "supports", &b).await;
    assert_eq!(lost.status, StatusCode::NOT_FOUND, "{}", lost.text);
    assert_eq!(listed(&bench, &a, "").await, []);
    for query in ["kinds=likes", "direction=up", "min_weight=2", "history=maybe", "limit=0", "cursor=x"] {
        let reply = bench.get(&format!("/knowledge/{a}/links?{query}")).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(reply.pointers(), [query.split('=').next().unwrap()]);
    }
    for path in [format!("/knowledge/{NOBODY}/links"), format!("/links/{NOBODY}")] {
        assert_eq!(bench.get(&path).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(bench.patch(&format!("/links/{NOBODY}"), &json!({"weight": 2})).await.pointers(), ["/weight"]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_links_of_an_item_are_filtered_and_read_page_by_page() {
    let bench = Bench::new().await;
    let [hub, a, b, c] = items(&bench).await;
    for (target, kind, weight) in [(&a, "depends_on", 0.9), (&b, "required_by", 0.5), (&c, "related_to", 0.1)] {
        let body = json!({"target_id": target, "kind": kind, "weight": weight});
        bench.post(&format!("/knowledge/{hub}/links"), &body).await;
    }
    let (needs, needed, beside) =
        (seen("depends_on", "out", &a), seen("required_by", "in", &b), seen("related_to", "both", &c));
    assert_eq!(listed(&bench, &hub, "").await, [beside.clone(), needed.clone(), needs.clone()]);
    assert_eq!(listed(&bench, &hub, "?direction=out").await, [beside.clone(), needs.clone()]);
    assert_eq!(listed(&bench, &hub, "?direction=in").await, [beside, needed.clone()]);
    assert_eq!(listed(&bench, &hub, "?kinds=required_by").await, std::slice::from_ref(&needed));
    assert_eq!(listed(&bench, &hub, "?kinds=depends_on,required_by&min_weight=0.4").await, [needed, needs]);
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = bench.get(&format!("/knowledge/{hub}/links?limit=1{cursor}")).await.json();
        pages.push(page["data"][0]["other"]["label"].as_str().unwrap().to_owned());
        if page["has_more"] == false {
            break;
        }
        cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
    }
    assert_eq!(pages, ["item 3", "item 2", "item 1"]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_ended_is_history_and_may_be_made_again() {
    let bench = Bench::new().await;
    let [a, b] = items(&bench).await;
    let first = link(&bench, &a, "supersedes", &b).await;
    assert_eq!(bench.delete(first.header("location")).await.status, StatusCode::NO_CONTENT);
    for reply in [bench.get(first.header("location")).await, bench.delete(first.header("location")).await] {
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(listed(&bench, &a, "").await, []);
    let second = link(&bench, &a, "supersedes", &b).await;
    assert_eq!(second.status, StatusCode::CREATED);
    assert_ne!(second.json()["id"], first.json()["id"]);
    let history = bench.get(&format!("/knowledge/{b}/links?history=true")).await.json();
    let ends: Vec<bool> = history["data"].as_array().unwrap().iter().map(|link| link["valid_to"].is_string()).collect();
    assert_eq!(ends, [false, true], "{history}");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_links_each_has_a_fate_of_its_own() {
    let bench = Bench::new().await;
    let [a, b, c] = items(&bench).await;
    let links = json!([
        {"source_id": a, "target_id": b, "kind": "depends_on"},
        {"source_id": b, "target_id": a, "kind": "depends_on"},
        {"source_id": a, "target_id": NOBODY, "kind": "supports"},
        {"source_id": NOBODY, "target_id": a, "kind": "supported_by"},
        {"source_id": a, "target_id": a, "kind": "supports"},
        {"source_id": a, "target_id": "x", "kind": "likes"},
        {"source_id": b, "target_id": a, "kind": "required_by"},
        {"source_id": b, "target_id": a, "kind": "required_by", "weight": 0.5},
        {"source_id": a, "target_id": c, "kind": "related_to", "colour": "red"},
        {"source_id": a, "target_id": c, "kind": 5},
        "no object",
        {"source_id": c, "target_id": a, "kind": "related_to"}
    ]);
    let reply = bench.post("/links/batch", &json!({ "links": links })).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    let results = reply.json()["results"].as_array().unwrap().clone();
    let fate = |result: &Value| {
        let errors = result["errors"].as_array().cloned().unwrap_or_default();
        let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect();
        format!("{} {}", result["status"].as_str().unwrap(), pointers.join(" ")).trim().to_owned()
    };
    let fates: Vec<String> = results.iter().map(fate).collect();
    assert_eq!(
        fates,
        [
            "created",
            "refused /kind",
            "refused /target_id",
            "refused /source_id",
            "refused /target_id",
            "refused /target_id /kind",
            "unchanged",
            "updated",
            "refused /colour",
            "refused /kind",
            "refused",
            "created",
        ]
    );
    assert_eq!(results[1]["cycle"], json!([b, a, b]));
    assert_eq!(listed(&bench, &a, "").await.len(), 2);
    for links in [json!([]), json!(vec![json!({}); 1_001])] {
        assert_eq!(bench.post("/links/batch", &json!({ "links": links })).await.pointers(), ["/links"]);
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_links_are_made_at_once() {
    let bench = Bench::new().await;
    let ids = "INSERT INTO knowledge (content, content_hash) SELECT 'x' || n, n::text::bytea FROM generate_series(1, 1001) AS n RETURNING id::text";
    let ids: Vec<String> =
        bench.db.client().await.query(ids, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let links: Vec<Value> =
        ids.windows(2).map(|pair| json!({"source_id": pair[0], "target_id": pair[1], "kind": "part_of"})).collect();
    let reply = bench.post("/links/batch", &json!({ "links": links })).await;
    assert_eq!(reply.text.matches("\"status\":\"created\"").count(), 1_000, "{}", reply.text.get(..500).unwrap());
    let closing = link(&bench, ids.last().unwrap(), "part_of", &ids[0]).await;
    assert_eq!(closing.json()["cycle"].as_array().unwrap().len(), 1_002, "however long the circle");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_has_no_links_and_gets_none() {
    let bench = Bench::new().await;
    let [a, b, c] = items(&bench).await;
    let made = link(&bench, &a, "supports", &b).await;
    link(&bench, &a, "supports", &c).await;
    remove(&bench, &b).await;
    assert_eq!(listed(&bench, &a, "?history=true").await, [seen("supports", "out", &c)]);
    assert_eq!(bench.get(&format!("/knowledge/{b}/links")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.get(made.header("location")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.patch(made.header("location"), &json!({"weight": 0})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bench.delete(made.header("location")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(link(&bench, &c, "supports", &b).await.pointers(), ["/target_id"]);
    bench.finish().await;
}
