//! Interactions: logged, told of, and what their feedback does to the knowledge that was used.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::bench::Bench;

fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

async fn counted(bench: &Bench) -> (f64, i32) {
    let sql = "SELECT feedback_sum, feedback_count FROM knowledge";
    let row = bench.db.client().await.query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_is_logged_told_rated_and_removed() {
    let bench = Bench::new().await;
    let expert = bench.create("/experts", &json!({"name": "Виктория"})).await;
    let knowledge = bench.create("/knowledge", &json!({"content": "use gather"})).await;
    let response = "x".repeat(5_000);
    let body = json!({
        "query": "How do I run two at once?", "response": response, "expert_id": id(&expert),
        "knowledge_id": id(&knowledge),
    });
    let created = bench.post("/interactions", &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    let (path, stored) = (created.header("location"), created.json());
    assert_eq!((&stored["expert"], &stored["feedback_score"]), (&json!("Виктория"), &Value::Null));
    assert_eq!(bench.get(path).await.json(), stored);
    let (name, told) = bench.told().await.pop().unwrap();
    assert_eq!(name, "interaction_logged");
    assert_eq!((&told["query"], &told["response_truncated"]), (&stored["query"], &json!(true)));
    assert_eq!(told["response"].as_str().unwrap().len(), 4_000);

    let rate = format!("{path}/feedback");
    assert_eq!(counted(&bench).await, (0.0, 0));
    for (score, sum) in [(5, 1.0), (1, -1.0), (2, -0.5), (2, -0.5), (3, 0.0)] {
        let rated = bench.put(&rate, &json!({"score": score, "comment": "so"})).await;
        assert_eq!(rated.status, StatusCode::OK, "{}", rated.text);
        assert_eq!((&rated.json()["feedback_score"], &rated.json()["feedback_comment"]), (&json!(score), &json!("so")));
        assert_eq!(counted(&bench).await, (sum, 1), "{score} takes the place of what was said before");
    }
    assert_eq!(bench.put(&rate, &json!({"score": 4})).await.json()["feedback_comment"], Value::Null);
    for wrong in [json!({"score": 0}), json!({"score": 6}), json!({"score": 4.5}), json!({"score": "4"}), json!({})] {
        let refused = bench.put(&rate, &wrong).await;
        assert_eq!((refused.status, refused.pointers()), (StatusCode::UNPROCESSABLE_ENTITY, vec!["/score".to_owned()]));
    }
    assert_eq!(bench.delete(path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(counted(&bench).await, (0.0, 0));
    assert_eq!(bench.put(&rate, &json!({"score": 4})).await.status, StatusCode::NOT_FOUND);
    let told = bench.told().await.split_off(3);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [["interaction_updated"; 6].as_slice(), &["interaction_deleted"]].concat());
    assert_eq!((&told[0].1["feedback_score"], &told[0].1["feedback_comment"]), (&json!(5), &json!("so")));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_of_many_at_once_adds_up_exactly() {
    let bench = Bench::new().await;
    let knowledge = bench.create("/knowledge", &json!({"content": "x"})).await;
    let mut paths = Vec::new();
    for score in [Value::Null, json!(5), json!(1)] {
        let body = json!({"query": "q", "knowledge_id": id(&knowledge), "feedback_score": score});
        paths.push(bench.create("/interactions", &body).await);
    }
    assert_eq!(counted(&bench).await, (0.0, 2));
    let rate = |path: String, score: i32| {
        let bench = &bench;
        async move { bench.put(&format!("{path}/feedback"), &json!({"score": score})).await.status }
    };
    // Several on each interaction, all on one piece of knowledge.
    let rounds = (0..30).map(|round: i32| rate(paths[usize::try_from(round).unwrap() % 3].clone(), round % 5 + 1));
    let answers = futures_util::future::join_all(rounds).await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");
    let scores = bench.listed("/interactions", 9, "feedback_score").await;
    let sum: f64 = scores.iter().map(|score| (score.as_f64().unwrap() - 3.0) / 2.0).sum();
    assert_eq!(counted(&bench).await, (sum, 3));
    let removed = futures_util::future::join_all(paths.iter().map(|path| bench.delete(path))).await;
    assert!(removed.iter().all(|reply| reply.status == StatusCode::NO_CONTENT));
    assert_eq!(counted(&bench).await, (0.0, 0));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interactions_are_found_by_who_what_when_and_whether_they_were_rated() {
    let bench = Bench::new().await;
    let expert = bench.create("/experts", &json!({"name": "Anna"})).await;
    let knowledge = bench.create("/knowledge", &json!({"content": "x"})).await;
    bench.create("/interactions", &json!({"query": "a", "expert_id": id(&expert)})).await;
    bench.create("/interactions", &json!({"query": "b", "knowledge_id": id(&knowledge), "feedback_score": 4})).await;
    bench.create("/interactions", &json!({"query": "c"})).await;
    let aged = "UPDATE interactions SET created_at = '2025-01-01Z' WHERE query = 'c'";
    bench.db.client().await.batch_execute(aged).await.unwrap();
    assert_eq!(bench.listed(&format!("/interactions?expert_id={}", id(&expert)), 9, "query").await, ["a"]);
    assert_eq!(bench.listed(&format!("/interactions?knowledge_id={}", id(&knowledge)), 9, "query").await, ["b"]);
    assert_eq!(bench.listed("/interactions?has_feedback=false", 1, "query").await, ["a", "c"]);
    assert_eq!(bench.listed("/interactions?since=2025-06-01T00:00:00Z", 1, "query").await, ["b", "a"]);
    assert_eq!(bench.listed("/interactions?until=2025-01-01T00:00:00Z", 9, "query").await, Vec::<Value>::new());
    assert_eq!(bench.listed("/interactions?sort=created_at", 1, "query").await, ["c", "a", "b"]);
    bench.finish().await;
}
