//! Domains: their names, what is in them, and where it goes when they are removed.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::bench::Bench;

fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_added_read_changed_and_removed_and_each_time_told_of() {
    let bench = Bench::new().await;
    let body = json!({"name": " python ", "description": "The language", "half_life_days": 365.5});
    let created = bench.post("/domains", &body).await;
    assert_eq!((created.status, created.header("etag")), (StatusCode::CREATED, "\"v1\""), "{}", created.text);
    let (path, stored) = (created.header("location").to_owned(), created.json());
    assert_eq!((&stored["name"], &stored["half_life_days"]), (&json!("python"), &json!(365.5)));
    assert_eq!(bench.get(&path).await.json(), stored);

    let changed = bench.patch_if(&path, &json!({"half_life_days": null, "name": "Python"}), "\"v1\"").await;
    assert_eq!((changed.status, changed.header("etag")), (StatusCode::OK, "\"v2\""));
    assert_eq!(changed.json()["half_life_days"], Value::Null);
    assert_eq!(changed.json()["description"], "The language");
    let late = bench.patch_if(&path, &json!({"name": "x"}), "\"v1\"").await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    let same = bench.patch(&path, &json!({"name": "Python"})).await;
    assert_eq!(same.header("etag"), "\"v2\"", "nothing is different");

    assert_eq!(bench.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.get(&path).await.status, StatusCode::NOT_FOUND);
    let (id, told) = (stored["id"].clone(), bench.told().await);
    let expected = [
        (
            "domain_created",
            json!({"domain_id": id, "name": "python", "description": "The language", "half_life_days": 365.5}),
        ),
        ("domain_updated", json!({"domain_id": id, "name": "Python", "description": "The language"})),
        ("domain_deleted", json!({"domain_id": id, "name": "Python", "description": "The language"})),
    ];
    assert_eq!(told, expected.map(|(name, payload)| (name.to_owned(), payload)));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_refused_with_the_id_of_whoever_has_it() {
    let bench = Bench::new().await;
    let first = bench.create("/domains", &json!({"name": "python"})).await;
    let second = bench.create("/domains", &json!({"name": "rust"})).await;
    let again = bench.post("/domains", &json!({"name": "python"})).await;
    let renamed = bench.patch(&second, &json!({"name": "python"})).await;
    for refused in [again, renamed] {
        assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
        let problem = refused.json();
        assert_eq!((&problem["code"], problem["existing_id"].as_str()), (&json!("name_taken"), Some(id(&first))));
        assert_eq!(refused.pointers(), ["/name"]);
    }
    let body = json!({"name": "new"});
    let at_once = futures_util::future::join_all((0..5).map(|_| bench.post("/domains", &body))).await;
    let made = at_once.iter().filter(|reply| reply.status == StatusCode::CREATED).count();
    assert_eq!(made, 1, "one of five who take a name at once");
    let names: Vec<_> = at_once.iter().filter(|reply| reply.status == StatusCode::CONFLICT).collect();
    assert!(names.iter().all(|reply| reply.json()["existing_id"].is_string()));
    bench.finish().await;
}

/// A domain with one of everything in it.
async fn used(bench: &Bench) -> String {
    let path = bench.create("/domains", &json!({"name": "old"})).await;
    bench.create("/knowledge", &json!({"content": "x", "domain": "old"})).await;
    bench.create("/tasks", &json!({"title": "x", "domain_id": id(&path)})).await;
    bench.create("/experts", &json!({"name": "x", "domain_ids": [id(&path)]})).await;
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_in_use_is_removed_only_when_what_is_in_it_has_somewhere_to_go() {
    let bench = Bench::new().await;
    let old = used(&bench).await;
    let new = bench.create("/domains", &json!({"name": "new"})).await;
    let both = [id(&old), id(&new)];
    bench.create("/experts", &json!({"name": "knows both", "domain_ids": both})).await;
    let refused = bench.delete(&old).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.json()["used_by"], json!({"knowledge": 1, "tasks": 1, "experts": 2}));
    for wrong in [id(&old), "x", "01900000-0000-7000-8000-000000000000"] {
        let reply = bench.delete(&format!("{old}?move_to={wrong}")).await;
        assert_eq!((reply.status, reply.pointers()), (StatusCode::UNPROCESSABLE_ENTITY, vec!["move_to".to_owned()]));
    }
    assert_eq!(bench.delete(&format!("{old}?move_to={}", id(&new))).await.status, StatusCode::NO_CONTENT);
    let heir = bench.get(&new).await.json();
    assert_eq!((&heir["knowledge"], &heir["tasks"], &heir["experts"]), (&json!(1), &json!(1), &json!(2)));
    let mut told = bench.told().await.split_off(6);
    let (last, deleted) = told.pop().unwrap();
    assert_eq!((last.as_str(), &deleted["moved_to"]), ("domain_deleted", &heir["id"]));
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["expert_updated", "expert_updated", "task_updated", "knowledge_updated"], "{told:?}");
    assert!(told[0..2].iter().all(|(_, expert)| expert["domains"] == "new"), "{told:?}");
    assert_eq!(
        (&told[2].1["domain"], &told[3].1["domain"], &told[3].1["changed"]),
        (&json!("new"), &json!("new"), &json!(["domain"]))
    );
    assert_eq!(bench.listed("/experts", 1, "version").await, [2, 2], "who knew it knows it changed");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_domain_leaves_behind_has_a_history_that_leads_back() {
    let bench = Bench::new().await;
    let mut paths = Vec::new();
    for name in ["old", "new"] {
        paths.push(bench.create("/domains", &json!({"name": name})).await);
    }
    let item = bench.create("/knowledge", &json!({"content": "x", "domain": "old"})).await;
    let binned = bench.create("/knowledge", &json!({"content": "y", "domain": "new"})).await;
    assert_eq!(bench.delete(&binned).await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.delete(&format!("{}?move_to={}", paths[0], id(&paths[1]))).await.status, StatusCode::NO_CONTENT);
    let changes = bench.get(&format!("{item}/history")).await.json();
    let newest = &changes["data"][0];
    let moved = json!([{"field": "domain", "old": "old", "new": "new"}]);
    assert_eq!((&newest["version"], &newest["change"], &newest["changes"]), (&json!(2), &json!("updated"), &moved));
    let reverted = bench.post(&format!("{item}/revert"), &json!({"version": 1})).await;
    assert_eq!((reverted.status, &reverted.json()["domain"]), (StatusCode::OK, &json!("old")), "{}", reverted.text);

    assert_eq!(bench.delete(&paths[1]).await.status, StatusCode::NO_CONTENT, "what is in the bin keeps nothing alive");
    let restored = bench.call("post", &format!("{binned}/restore")).await.json();
    assert_eq!(restored["domain"], Value::Null);
    let reverted = bench.post(&format!("{binned}/revert"), &json!({"version": 1})).await.json();
    assert_eq!(reverted["domain"], "new");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn knowledge_that_was_deleted_keeps_no_domain_alive() {
    let bench = Bench::new().await;
    let path = bench.create("/domains", &json!({"name": "old"})).await;
    bench.create("/knowledge", &json!({"content": "x", "domain": "old"})).await;
    bench.db.client().await.batch_execute("UPDATE knowledge SET deleted_at = now()").await.unwrap();
    assert_eq!(bench.get(&path).await.json()["knowledge"], 0);
    assert_eq!(bench.delete(&path).await.status, StatusCode::NO_CONTENT);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_page_by_page_in_any_order_while_others_write() {
    let bench = Bench::new().await;
    for name in ["b", "d", "a", "C", "c%", "Домен"] {
        bench.create("/domains", &json!({"name": name})).await;
    }
    for limit in [1, 2, 3, 200] {
        let mut names = bench.listed("/domains?sort=-created_at", limit, "name").await;
        names.reverse();
        assert_eq!(names, ["b", "d", "a", "C", "c%", "Домен"], "{limit}");
        let (up, down) =
            (bench.listed("/domains", limit, "name").await, bench.listed("/domains?sort=-name", limit, "name").await);
        assert_eq!(up, down.into_iter().rev().collect::<Vec<_>>(), "{limit}");
        assert_eq!(up.len(), 6);
    }
    assert_eq!(bench.listed("/domains?q=%D0%94%D0%9E%D0%9C", 9, "name").await, ["Домен"], "capitals do not matter");
    assert_eq!(bench.listed("/domains?q=%25", 9, "name").await, ["c%"], "a sign means itself");

    let first = bench.get("/domains?sort=created_at&limit=2").await.json();
    let last = format!("/domains/{}", first["data"][1]["id"].as_str().unwrap());
    assert_eq!(bench.delete(&last).await.status, StatusCode::NO_CONTENT);
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = bench.get(&format!("/domains?sort=created_at&limit=2&cursor={cursor}")).await.json();
    assert_eq!(next["data"][0]["name"], "a", "the row that the page ended with is gone, its place is not");
    let other = bench.get(&format!("/domains?sort=name&cursor={cursor}")).await;
    assert_eq!(other.pointers(), ["cursor"], "a cursor of another order is none of this one");
    bench.finish().await;
}
