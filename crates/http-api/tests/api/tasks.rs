//! Tasks: their life, what is told of it, and what is late.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::bench::Bench;

fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_task_is_told_with_all_that_a_message_shows() {
    let mut bench = Bench::new().await;
    let hook = json!({"webhook_type": "custom", "url": bench.receiver.url("/hook"), "events": ["task_completed"]});
    bench.post("/webhooks", &hook).await;
    let expert = bench.create("/experts", &json!({"name": "Виктория"})).await;
    let domain = bench.create("/domains", &json!({"name": "python"})).await;
    let body = json!({
        "title": "Describe the release", "description": "Step by step", "priority": "high", "status": "in_progress",
        "assignee_id": id(&expert), "domain_id": id(&domain), "due_at": "2030-01-01T03:00:00+03:00",
    });
    let created = bench.post("/tasks", &body).await;
    assert_eq!((created.status, created.header("etag")), (StatusCode::CREATED, "\"v1\""), "{}", created.text);
    let (path, stored) = (created.header("location"), created.json());
    assert_eq!((&stored["assignee"], &stored["domain"]), (&json!("Виктория"), &json!("python")));
    assert_eq!((&stored["overdue"], &stored["completed_at"]), (&json!(false), &Value::Null));
    assert_eq!(bench.get(path).await.json(), stored);

    let done = bench.patch(path, &json!({"status": "completed"})).await.json();
    assert!(done["completed_at"].is_string());
    let told = bench.receiver.next().await.json();
    assert_eq!(told["event_type"], "task_completed");
    assert_eq!(
        told["payload"],
        json!({
            "task_id": id(path), "title": "Describe the release", "description": "Step by step",
            "status": "completed", "priority": "high", "assignee": "Виктория", "assignee_id": id(&expert),
            "domain": "python", "domain_id": id(&domain), "due_at": "2030-01-01T00:00:00Z",
            "completed_at": done["completed_at"],
        })
    );
    let stats = bench.get("/stats").await.json();
    assert_eq!((&stats["total_tasks"], &stats["completed_tasks"]), (&json!(1), &json!(1)));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_only_where_its_life_allows_and_says_where_that_is() {
    let bench = Bench::new().await;
    let path = bench.create("/tasks", &json!({"title": "x"})).await;
    let steps = [
        ("in_progress", 200),
        ("in_progress", 200),
        ("pending", 200),
        ("failed", 200),
        ("completed", 409),
        ("pending", 200),
        ("completed", 200),
        ("in_progress", 409),
        ("pending", 200),
        ("cancelled", 200),
    ];
    for (status, expected) in steps {
        let reply = bench.patch(&path, &json!({"status": status})).await;
        assert_eq!(reply.status.as_u16(), expected, "{status}: {}", reply.text);
        if expected == 409 {
            let problem = reply.json();
            assert_eq!((&problem["code"], &problem["allowed"]), (&json!("transition_refused"), &json!(["pending"])));
            assert_eq!(reply.pointers(), ["/status"]);
        } else {
            assert_eq!(reply.json()["completed_at"].is_string(), status == "completed");
        }
    }
    let refused = bench.patch(&path, &json!({"status": "done"})).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("pending, in_progress, completed, failed, cancelled"), "{}", refused.text);
    assert_eq!(bench.delete(&path).await.status, StatusCode::NO_CONTENT);
    let told: Vec<_> = bench.told().await.into_iter().map(|(name, _)| name).collect();
    let expected = [
        "task_created",
        "task_updated",
        "task_updated",
        "task_failed",
        "task_updated",
        "task_completed",
        "task_updated",
        "task_updated",
        "task_deleted",
    ];
    assert_eq!(told, expected, "no change is no event");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_end_a_task_at_once_one_is_told_that_it_has_ended() {
    let bench = Bench::new().await;
    let path = bench.create("/tasks", &json!({"title": "x"})).await;
    let (done, failed) = (json!({"status": "completed"}), json!({"status": "failed"}));
    let (done, failed) = tokio::join!(bench.patch(&path, &done), bench.patch(&path, &failed));
    let mut statuses = [done.status.as_u16(), failed.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let ended = bench.get(&path).await.json();
    assert_eq!(ended["completed_at"].is_string(), ended["status"] == "completed");
    assert_eq!(bench.told().await.len(), 2);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_says_what_it_points_at_and_null_lets_go() {
    let bench = Bench::new().await;
    let expert = bench.create("/experts", &json!({"name": "Anna"})).await;
    let path = bench.create("/tasks", &json!({"title": "x", "assignee_id": id(&expert)})).await;
    let nobody = "01900000-0000-7000-8000-000000000000";
    let dangling = bench.patch(&path, &json!({"assignee_id": nobody, "domain_id": nobody})).await;
    assert_eq!(dangling.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(dangling.pointers(), ["/domain_id", "/assignee_id"]);
    let freed = bench.patch_if(&path, &json!({"assignee_id": null}), "\"v1\"").await.json();
    assert_eq!((&freed["assignee_id"], &freed["assignee"], &freed["version"]), (&Value::Null, &Value::Null, &json!(2)));
    let late = bench.patch_if(&path, &json!({"title": "y"}), "\"v1\"").await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    let repeated = json!({"due_at": "2030-01-01T00:00:00.123456789Z"});
    for _ in 0..2 {
        assert_eq!(bench.patch(&path, &repeated).await.json()["version"], 3, "the same time is no change");
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_late_is_shown_filtered_and_sorted() {
    let bench = Bench::new().await;
    let (past, future) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    for (title, due_at, priority) in [
        ("late", json!(past), "urgent"),
        ("later", json!("2021-01-01T00:00:00Z"), "low"),
        ("in time", json!(future), "high"),
        ("whenever", Value::Null, "normal"),
        ("late but done", json!(past), "low"),
    ] {
        let path = bench.create("/tasks", &json!({"title": title, "due_at": due_at, "priority": priority})).await;
        if title == "late but done" {
            bench.patch(&path, &json!({"status": "completed"})).await;
        }
    }
    assert_eq!(bench.listed("/tasks?overdue=true&sort=due_at", 1, "title").await, ["late", "later"]);
    assert_eq!(bench.listed("/tasks?overdue=false", 1, "title").await.len(), 3);
    assert_eq!(bench.listed("/tasks", 2, "overdue").await.iter().filter(|late| **late == json!(true)).count(), 2);
    assert_eq!(bench.listed("/tasks?due_before=2020-06-01T00:00:00Z", 9, "title").await.len(), 2);
    assert_eq!(bench.listed("/tasks?status=completed&priority=low", 9, "title").await, ["late but done"]);
    for limit in [1, 2, 9] {
        let by_due = bench.listed("/tasks?sort=due_at", limit, "title").await;
        assert_eq!(by_due[2..], ["later", "in time", "whenever"], "what is due at no time is due last");
        let by_priority = bench.listed("/tasks?sort=-priority", limit, "priority").await;
        assert_eq!(by_priority, ["urgent", "high", "normal", "low", "low"]);
        assert_eq!(bench.listed("/tasks?sort=created_at", limit, "title").await[0], "late");
        assert_eq!(bench.listed("/tasks", limit, "title").await[0], "late but done", "the newest first");
    }
    bench.finish().await;
}
