//! Experts: what they know, and who takes over from them.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::bench::Bench;

fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expert_is_added_read_changed_and_removed_and_each_time_told_of() {
    let bench = Bench::new().await;
    let rust = bench.create("/domains", &json!({"name": "rust"})).await;
    let python = bench.create("/domains", &json!({"name": "python"})).await;
    let body = json!({
        "name": "Виктория", "role": "Team Lead", "email": "v@example.org", "bio": "Knows much",
        "domain_ids": [id(&rust), id(&python)],
    });
    let created = bench.post("/experts", &body).await;
    assert_eq!((created.status, created.header("etag")), (StatusCode::CREATED, "\"v1\""), "{}", created.text);
    let (path, stored) = (created.header("location").to_owned(), created.json());
    let names: Vec<_> = stored["domains"].as_array().unwrap().iter().map(|domain| &domain["name"]).collect();
    assert_eq!(names, ["python", "rust"]);
    assert_eq!(bench.get(&path).await.json(), stored);

    let change = json!({"email": null, "domain_ids": [id(&rust)], "role": ""});
    let changed = bench.patch_if(&path, &change, "\"v1\"").await.json();
    assert_eq!((&changed["email"], &changed["role"], &changed["version"]), (&Value::Null, &json!(""), &json!(2)));
    assert_eq!(changed["domains"], json!([{"id": id(&rust), "name": "rust"}]));
    let same = bench.patch(&path, &json!({"domain_ids": [id(&rust)], "bio": "Knows much"})).await.json();
    assert_eq!(same["version"], 2, "nothing is different");
    let late = bench.patch_if(&path, &json!({"name": "x"}), "\"v1\"").await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    let dangling = json!({"domain_ids": [id(&rust), "01900000-0000-7000-8000-000000000000"]});
    assert_eq!(bench.patch(&path, &dangling).await.pointers(), ["/domain_ids/1"]);

    assert_eq!(bench.delete(&path).await.status, StatusCode::NO_CONTENT);
    let told = bench.told().await.split_off(2);
    let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["expert_created", "expert_updated", "expert_deleted"]);
    assert_eq!(
        told[0].1,
        json!({
            "expert_id": stored["id"], "name": "Виктория", "role": "Team Lead", "description": "Knows much",
            "domains": "python, rust",
        }),
        "the address is told to nobody"
    );
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expert_with_work_leaves_only_when_somebody_takes_it_over() {
    let bench = Bench::new().await;
    let old = bench.create("/experts", &json!({"name": "old"})).await;
    let new = bench.create("/experts", &json!({"name": "new"})).await;
    let task = bench.create("/tasks", &json!({"title": "x", "assignee_id": id(&old)})).await;
    let talk = bench.create("/interactions", &json!({"query": "x", "expert_id": id(&old)})).await;
    let refused = bench.delete(&old).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.json()["used_by"], json!({"tasks": 1, "interactions": 1}));
    assert_eq!(bench.delete(&format!("{old}?move_to={}", id(&old))).await.pointers(), ["move_to"]);
    assert_eq!(bench.delete(&format!("{old}?move_to={}", id(&new))).await.status, StatusCode::NO_CONTENT);
    for path in [task, talk] {
        let moved = bench.get(&path).await.text;
        assert!(moved.contains(id(&new)), "{moved}");
    }
    let names: Vec<String> = bench.told().await.split_off(4).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["task_updated", "interaction_updated", "expert_deleted"]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn experts_are_found_by_what_they_know_and_by_a_part_of_their_name() {
    let bench = Bench::new().await;
    let rust = bench.create("/domains", &json!({"name": "rust"})).await;
    for name in ["Anna", "Boris", "Johanna", "Anna"] {
        bench.create("/experts", &json!({"name": name})).await;
    }
    bench.create("/experts", &json!({"name": "Hanna", "domain_ids": [id(&rust)]})).await;
    assert_eq!(bench.listed("/experts?q=ANNA", 1, "name").await, ["Anna", "Anna", "Hanna", "Johanna"]);
    assert_eq!(bench.listed(&format!("/experts?domain_id={}", id(&rust)), 9, "name").await, ["Hanna"]);
    let down = bench.listed("/experts?q=anna&sort=-name", 2, "name").await;
    assert_eq!(down, ["Johanna", "Hanna", "Anna", "Anna"], "those of the same name are all there");
    bench.finish().await;
}
