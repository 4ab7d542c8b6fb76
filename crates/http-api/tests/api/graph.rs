//! The graph: walked, searched for paths, counted, written down, drawn, and links that might be.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::links::{items, know, link, remove};

const NOBODY: &str = "01900000-0000-7000-8000-000000000000";

async fn weigh(bench: &Bench, source: &str, kind: &str, target: &str, weight: f64) {
    let body = json!({"target_id": target, "kind": kind, "weight": weight});
    assert_eq!(bench.post(&format!("/knowledge/{source}/links"), &body).await.status, StatusCode::CREATED);
}

async fn ok(bench: &Bench, path: &str) -> Value {
    let reply = bench.get(path).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
    reply.json()
}

/// The texts of one field of every item of a list.
fn texts(list: &Value, field: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

async fn title(bench: &Bench, id: &str, title: &str) {
    let statement = format!("UPDATE knowledge SET title = '{title}' WHERE id = '{id}'");
    bench.db.client().await.batch_execute(&statement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_goes_as_far_as_asked_in_the_direction_asked_over_the_kinds_asked() {
    let bench = Bench::new().await;
    let [a, b, c, d] = items(&bench).await;
    weigh(&bench, &a, "depends_on", &b, 0.9).await;
    weigh(&bench, &b, "depends_on", &c, 0.2).await;
    weigh(&bench, &d, "part_of", &a, 0.5).await;
    let around = |query: String| {
        let (bench, path) = (&bench, format!("/graph/neighborhood?id={query}"));
        async move { ok(bench, &path).await }
    };
    let near = around(a.clone()).await;
    assert_eq!(texts(&near["nodes"], "label"), ["item 0", "item 1", "item 3"]);
    assert_eq!((&near["truncated"], &near["frontier"]), (&json!(false), &json!([])));
    let first = json!({"id": a, "label": "item 0", "domain": "things", "depth": 0});
    assert_eq!(near["nodes"][0], first);
    let counted = around(format!("{a}&degrees=true")).await;
    let degrees = counted["nodes"].as_array().unwrap().iter().map(|node| node["degree"].as_u64());
    assert_eq!(degrees.collect::<Vec<_>>(), [Some(2), Some(2), Some(1)]);
    assert_eq!(near["links"][0]["source_id"], json!(a));
    assert_eq!(texts(&near["links"], "kind"), ["depends_on", "part_of"]);
    let far = around(format!("{a}&depth=2")).await;
    assert_eq!(far["nodes"][3]["depth"], 2);
    let cases = [
        (format!("{a}&depth=4&direction=out"), vec!["item 0", "item 1", "item 2"]),
        (format!("{a}&depth=4&direction=in"), vec!["item 0", "item 3"]),
        (format!("{c}&depth=4&direction=out&kinds=required_by"), vec!["item 2", "item 1", "item 0"]),
        (format!("{a}&depth=4&kinds=part_of"), vec!["item 0", "item 3"]),
        (format!("{a}&depth=4&min_weight=0.4"), vec!["item 0", "item 1", "item 3"]),
    ];
    for (query, labels) in cases {
        assert_eq!(texts(&around(query.clone()).await["nodes"], "label"), labels, "{query}");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_cut_short_at_its_strongest_links_and_says_where_to_go_on() {
    let bench = Bench::new().await;
    let hub = know(&bench, "hub", "x").await;
    let statement = format!(
        "WITH leaf AS (INSERT INTO knowledge (content, content_hash) SELECT 'leaf', n::text::bytea FROM generate_series(1, 300) AS n RETURNING id)
         INSERT INTO knowledge_links (source_id, target_id, kind, weight)
         SELECT id, '{hub}', 'supports', (row_number() OVER ()) / 300.0 FROM leaf"
    );
    bench.db.client().await.batch_execute(&statement).await.unwrap();
    for (limit, nodes) in [("", 200), ("&limit=50", 50), ("&limit=2000", 201)] {
        let cut = ok(&bench, &format!("/graph/neighborhood?id={hub}&depth=3&degrees=true{limit}")).await;
        assert_eq!((cut["nodes"].as_array().unwrap().len(), &cut["truncated"]), (nodes, &json!(true)), "{limit}");
        assert_eq!(cut["frontier"], json!([hub]));
        assert_eq!(cut["nodes"][0]["degree"], 300);
        let weakest = cut["links"].as_array().unwrap().iter().map(|link| link["weight"].as_f64().unwrap());
        assert!(weakest.fold(1.0, f64::min) > 0.3, "the strongest come first");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_the_shortest_or_the_strongest_as_asked() {
    let bench = Bench::new().await;
    let [a, b, c, alone] = items(&bench).await;
    weigh(&bench, &a, "supports", &b, 0.1).await;
    weigh(&bench, &a, "supports", &c, 1.0).await;
    weigh(&bench, &b, "answers", &c, 0.9).await;
    let path = |query: &str| {
        let (bench, path) = (&bench, format!("/graph/path?from={a}&to={b}{query}"));
        async move { ok(bench, &path).await }
    };
    let short = path("").await;
    assert_eq!(
        (texts(&short["path"]["nodes"], "label"), &short["path"]["hops"]),
        (vec!["item 0".to_owned(), "item 1".to_owned()], &json!(1))
    );
    let strong = path("&weighted=true").await;
    assert_eq!(texts(&strong["path"]["nodes"], "label"), ["item 0", "item 2", "item 1"]);
    assert_eq!(texts(&strong["path"]["links"], "kind"), ["supports", "answers"]);
    assert!((strong["path"]["cost"].as_f64().unwrap() - 0.12).abs() < 1e-9);
    let near = path("&weighted=true&max_depth=1").await;
    assert_eq!(near["path"]["hops"], 1);
    assert_eq!(path("&direction=in").await, json!({"path": null, "truncated": false}));
    assert_eq!(path("&kinds=answers").await["path"], json!(null));
    let none = ok(&bench, &format!("/graph/path?from={a}&to={alone}&weighted=true")).await;
    assert_eq!(none, json!({"path": null, "truncated": false}));
    let itself = ok(&bench, &format!("/graph/path?from={a}&to={a}")).await;
    assert_eq!((&itself["path"]["hops"], &itself["path"]["cost"]), (&json!(0), &json!(0.0)));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_beyond_the_limit_is_not_denied() {
    let bench = Bench::new().await;
    let ids: [String; 5] = items(&bench).await;
    for pair in ids.windows(2) {
        weigh(&bench, &pair[0], "supports", &pair[1], 1.0).await;
    }
    for weighted in ["false", "true"] {
        let path = format!("/graph/path?from={}&to={}&weighted={weighted}", ids[0], ids[4]);
        assert_eq!(ok(&bench, &format!("{path}&max_depth=3")).await, json!({"path": null, "truncated": true}));
        assert_eq!(ok(&bench, &format!("{path}&max_depth=4")).await["path"]["hops"], 4);
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_graph_is_chosen_by_domain_ids_or_search() {
    let bench = Bench::new().await;
    let a = know(&bench, "async in python", "python").await;
    let b = know(&bench, "await in python", "python").await;
    let c = know(&bench, "async in rust", "rust").await;
    weigh(&bench, &a, "related_to", &c, 0.9).await;
    weigh(&bench, &a, "supports", &b, 0.5).await;
    let domain = ok(&bench, "/graph/subgraph?domain=python").await;
    assert_eq!(
        (texts(&domain["nodes"], "id"), texts(&domain["links"], "kind")),
        (vec![a.clone(), b.clone()], vec!["supports".to_owned()])
    );
    let one = ok(&bench, "/graph/subgraph?domain=python&limit=1").await;
    assert_eq!((texts(&one["nodes"], "id"), &one["truncated"]), (vec![a.clone()], &json!(true)));
    let ids = ok(&bench, &format!("/graph/subgraph?ids={c},{NOBODY},{a}")).await;
    assert_eq!((texts(&ids["nodes"], "id"), &ids["links"][0]["directed"]), (vec![a.clone(), c.clone()], &json!(false)));
    let found = ok(&bench, "/graph/subgraph?q=async").await;
    let mut labels = texts(&found["nodes"], "label");
    labels.sort();
    assert_eq!(labels, ["async in python", "async in rust"]);
    assert_eq!(ok(&bench, "/graph/subgraph?domain=nowhere").await["nodes"], json!([]));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_count_kinds_hubs_orphans_and_groups() {
    let bench = Bench::new().await;
    let [a, b, c, d, e, _alone] = items(&bench).await;
    weigh(&bench, &a, "supports", &b, 1.0).await;
    weigh(&bench, &a, "supports", &c, 1.0).await;
    weigh(&bench, &d, "related_to", &e, 1.0).await;
    let stats = ok(&bench, "/graph/stats").await;
    assert_eq!((&stats["nodes"], &stats["links"], &stats["orphans"]), (&json!(6), &json!(3), &json!(1)));
    assert_eq!((&stats["components"], &stats["largest_component"]), (&json!(2), &json!(3)));
    assert_eq!(stats["by_kind"], json!({"supports": 2, "related_to": 1}));
    assert_eq!((&stats["hubs"][0]["id"], &stats["hubs"][0]["degree"]), (&json!(a), &json!(2)));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_in_no_answer_about_the_graph() {
    let bench = Bench::new().await;
    let [a, gone, c] = items(&bench).await;
    weigh(&bench, &a, "supports", &gone, 1.0).await;
    weigh(&bench, &gone, "supports", &c, 1.0).await;
    weigh(&bench, &a, "depends_on", &gone, 1.0).await;
    remove(&bench, &gone).await;
    let paths = [
        format!("/graph/neighborhood?id={a}&depth=4"),
        format!("/graph/path?from={a}&to={c}"),
        format!("/graph/path?from={a}&to={c}&weighted=true"),
        "/graph/subgraph?domain=things".to_owned(),
        format!("/graph/subgraph?ids={a},{gone},{c}"),
        "/graph/stats".to_owned(),
        "/graph/export".to_owned(),
        "/graph/export?format=svg".to_owned(),
        format!("/graph/suggestions?id={a}"),
    ];
    for path in paths {
        let reply = bench.get(&path).await;
        assert_eq!((reply.status, reply.text.contains(&gone)), (StatusCode::OK, false), "{path}: {}", reply.text);
    }
    let stats = ok(&bench, "/graph/stats").await;
    assert_eq!((&stats["nodes"], &stats["links"], &stats["orphans"]), (&json!(2), &json!(0), &json!(2)));
    assert_eq!(ok(&bench, &format!("/graph/neighborhood?id={a}&degrees=true")).await["nodes"][0]["degree"], 0);
    for path in [
        format!("/graph/neighborhood?id={gone}"),
        format!("/graph/path?from={a}&to={gone}"),
        format!("/graph/suggestions?id={gone}"),
    ] {
        assert_eq!(bench.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_is_written_in_each_format_and_drawn() {
    let bench = Bench::new().await;
    let a = know(&bench, "<b>\"quotes\" & ampersands</b>", "a<b").await;
    let b = know(&bench, "second", "x").await;
    weigh(&bench, &a, "duplicate_of", &b, 0.5).await;
    for selection in ["", "&domain=x", "&q=second", &format!("&ids={a},{b}")] {
        let json = ok(&bench, &format!("/graph/export?format=json{selection}")).await;
        assert_eq!(json["graph"]["nodes"][&b]["label"], "second");
        for (format, kind) in [
            ("graphml", "application/graphml+xml; charset=utf-8"),
            ("dot", "text/vnd.graphviz; charset=utf-8"),
            ("svg", "image/svg+xml"),
        ] {
            let reply = bench.get(&format!("/graph/export?format={format}{selection}")).await;
            assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, kind));
            assert_eq!(reply.header("x-graph-truncated"), "false");
            assert!(reply.text.contains("second"), "{}", reply.text);
            assert!(format == "dot" || !reply.text.contains("<b>"), "{}", reply.text);
        }
    }
    let edge = &ok(&bench, "/graph/export").await["graph"]["edges"][0];
    assert_eq!(
        (&edge["relation"], &edge["directed"], &edge["metadata"]["weight"]),
        (&json!("duplicate_of"), &json!(false), &json!(0.5))
    );
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_graph_is_written_whatever_its_size_and_a_picture_takes_its_hubs() {
    let bench = Bench::new().await;
    let statement = "
        INSERT INTO knowledge (content, content_hash) SELECT 'n' || n, n::text::bytea FROM generate_series(1, 2500) AS n;
        INSERT INTO knowledge_links (source_id, target_id, kind)
        SELECT a.id, b.id, 'supports' FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM knowledge) AS a
        JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM knowledge) AS b ON b.n < a.n AND b.n IN (1, a.n - 1, a.n - 2)";
    bench.db.client().await.batch_execute(statement).await.unwrap();
    let whole = ok(&bench, "/graph/export?format=json").await;
    assert_eq!(whole["graph"]["nodes"].as_object().unwrap().len(), 2_500);
    let links = ok(&bench, "/graph/stats").await["links"].as_u64().unwrap();
    assert_eq!(u64::try_from(whole["graph"]["edges"].as_array().unwrap().len()).unwrap(), links);
    let svg = bench.get("/graph/export?format=svg").await;
    assert_eq!((svg.header("x-graph-truncated"), svg.text.matches("<g><title>").count()), ("true", 200));
    assert!(svg.text.contains("the best linked of 2500"));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_query_about_the_graph_is_told_by_its_parameter() {
    let bench = Bench::new().await;
    let [a] = items(&bench).await;
    for (path, pointers) in [
        ("/graph/neighborhood".to_owned(), vec!["id"]),
        (
            "/graph/neighborhood?id=x&depth=5&kinds=likes&direction=up&min_weight=-1&limit=0".to_owned(),
            vec!["id", "depth", "kinds", "direction", "min_weight", "limit"],
        ),
        (format!("/graph/neighborhood?id={a}&limit=2001"), vec!["limit"]),
        ("/graph/path?weighted=very&max_depth=13".to_owned(), vec!["from", "to", "weighted", "max_depth"]),
        ("/graph/subgraph".to_owned(), vec!["domain"]),
        ("/graph/subgraph?domain=a&q=b".to_owned(), vec!["domain"]),
        ("/graph/subgraph?ids=a,b&limit=9999".to_owned(), vec!["limit", "ids"]),
        ("/graph/subgraph?q=".to_owned(), vec!["q"]),
        ("/graph/export?format=png".to_owned(), vec!["format"]),
        ("/graph/suggestions?limit=51".to_owned(), vec!["id", "limit"]),
    ] {
        let reply = bench.get(&path).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {}", reply.text);
        assert_eq!(reply.pointers(), pointers, "{path}");
    }
    for path in ["/graph/neighborhood", "/graph/path", "/graph/subgraph", "/graph/export", "/graph/suggestions"] {
        assert_eq!(bench.get(&format!("{path}?colour=red")).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    for path in [format!("/graph/neighborhood?id={NOBODY}"), format!("/graph/path?from={a}&to={NOBODY}")] {
        assert_eq!(bench.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_suggested_for_shared_words_titles_and_common_use() {
    let bench = Bench::new().await;
    let a = know(&bench, "The Zookeeper quorum elects a leader; see Event Loop for its timers", "x").await;
    let words = know(&bench, "A leader is elected by a quorum of Zookeeper nodes", "x").await;
    let named = know(&bench, "Something else entirely", "x").await;
    let used = know(&bench, "Unrelated text", "x").await;
    for number in 0..12 {
        know(&bench, &format!("filler about nothing number{number}"), "x").await;
    }
    title(&bench, &named, "Event Loop").await;
    let statement = format!(
        "INSERT INTO interactions (knowledge_id, query) VALUES ('{a}', 'who leads?'), ('{used}', 'who leads?'), ('{a}', 'why?')"
    );
    bench.db.client().await.batch_execute(&statement).await.unwrap();
    let found = ok(&bench, &format!("/graph/suggestions?id={a}")).await;
    let of = |id: &str| {
        let suggestion = found["data"].as_array().unwrap().iter().find(|item| item["id"] == json!(id));
        suggestion.unwrap_or_else(|| panic!("{id} in {found}")).clone()
    };
    assert_eq!(of(&words)["reasons"][0]["reason"], "shared_words");
    let mut stems = of(&words)["reasons"][0]["words"].as_array().unwrap().clone();
    stems.sort_by_key(ToString::to_string);
    assert_eq!(stems, [json!("elect"), json!("leader"), json!("quorum"), json!("zookeep")]);
    assert_eq!(of(&named)["reasons"][0], json!({"reason": "title_mentioned", "title": "Event Loop", "score": 0.6}));
    assert_eq!(of(&named)["label"], "Event Loop");
    assert_eq!(
        (&of(&used)["reasons"][0]["reason"], &of(&used)["reasons"][0]["times"]),
        (&json!("used_together"), &json!(1))
    );
    assert_eq!(found["data"].as_array().unwrap().len(), 3, "{found}");
    let back = ok(&bench, &format!("/graph/suggestions?id={named}")).await;
    assert_eq!(texts(&back["data"], "id"), [a], "a title is found in other texts too");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suggestion_that_was_accepted_or_dismissed_is_not_made_again() {
    let bench = Bench::new().await;
    let a = know(&bench, "raft consensus log", "x").await;
    let b = know(&bench, "consensus by raft", "x").await;
    let c = know(&bench, "the raft log", "x").await;
    for number in 0..12 {
        know(&bench, &format!("filler number{number}"), "x").await;
    }
    let suggested = |id: &str| {
        let (bench, path) = (&bench, format!("/graph/suggestions?id={id}"));
        async move { texts(&ok(bench, &path).await["data"], "id") }
    };
    let mut both = suggested(&a).await;
    both.sort();
    assert_eq!(both, [b.clone(), c.clone()]);
    let body = json!({"source_id": a, "target_id": b, "kind": "supported_by"});
    let accepted = bench.post("/graph/suggestions/accept", &body).await;
    assert_eq!((accepted.status, &accepted.json()["origin"]), (StatusCode::CREATED, &json!("suggested")));
    assert_eq!(suggested(&a).await, std::slice::from_ref(&c));
    let pair = json!({"source_id": c, "target_id": a});
    for _ in 0..2 {
        assert_eq!(bench.post("/graph/suggestions/dismiss", &pair).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(suggested(&a).await, Vec::<String>::new());
    assert!(!suggested(&c).await.contains(&a), "nor the other way round");
    for (path, kind) in [("/graph/suggestions/accept", json!("supports")), ("/graph/suggestions/dismiss", json!(null))]
    {
        let mut bad = json!({"source_id": a, "target_id": NOBODY});
        if kind.is_string() {
            bad["kind"] = kind;
        }
        assert_eq!(bench.post(path, &bad).await.pointers(), ["/target_id"], "{path}");
    }
    assert_eq!(
        link(&bench, &a, "related_to", &c).await.status,
        StatusCode::CREATED,
        "by hand it may be made all the same"
    );
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_walk_goes_on_only_from_nodes_that_have_more() {
    let bench = Bench::new().await;
    let ids: [String; 5] = items(&bench).await;
    for pair in ids.windows(2) {
        weigh(&bench, &pair[0], "supports", &pair[1], 1.0).await;
    }
    for (limit, frontier) in [(5, json!([])), (4, json!([ids[3]])), (2, json!([ids[1]]))] {
        for kinds in ["", "&kinds=supports"] {
            let walked = ok(&bench, &format!("/graph/neighborhood?id={}&depth=4&limit={limit}{kinds}", ids[0])).await;
            assert_eq!(walked["frontier"], frontier, "{limit} {kinds}");
            assert_eq!(walked["truncated"], json!(frontier != json!([])), "{limit} {kinds}");
        }
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_new_leads_on_from_an_item_whose_links_were_counted_before_it() {
    let bench = Bench::new().await;
    let [start, hub, beyond] = items(&bench).await;
    let statement = format!(
        "WITH leaf AS (INSERT INTO knowledge (content, content_hash) SELECT 'leaf', n::text::bytea FROM generate_series(1, 101) AS n RETURNING id)
         INSERT INTO knowledge_links (source_id, target_id, kind, weight)
         SELECT from_id, id, 'supports', weight FROM leaf, (VALUES ('{start}'::uuid, 1.0), ('{hub}'::uuid, 0.5)) AS f (from_id, weight)"
    );
    bench.db.client().await.batch_execute(&statement).await.unwrap();
    let path = format!("/graph/neighborhood?id={start}&depth=3&limit=103&degrees=true");
    let whole = ok(&bench, &path).await;
    assert_eq!((whole["nodes"].as_array().unwrap().len(), &whole["truncated"]), (103, &json!(false)));
    weigh(&bench, &hub, "supports", &beyond, 1.0).await;
    let cut = ok(&bench, &path).await;
    assert_eq!((&cut["frontier"], &cut["truncated"]), (&json!([hub]), &json!(true)));
    bench.finish().await;
}
