//! Webhooks: registered, read, changed, tried out, removed.

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use kos_test_support::receiver::Answer;
use serde_json::{Value, json};

use crate::bench::{Bench, KEY};

fn path(created: &Value) -> String {
    format!("/webhooks/{}", created["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seeds_slack_webhook_is_registered_unchanged_and_shown_without_its_secret() {
    let bench = Bench::new().await;
    let body = json!({
        "webhook_type": "slack",
        "url": "https://hooks.slack.com/services/YOUR/WEBHOOK/URL",
        "events": ["knowledge_created", "task_completed"]
    });
    let created = bench.post("/webhooks", &body).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
    assert_eq!(created.json()["events"], body["events"]);
    for reply in [&created, &bench.get(&path(&created.json())).await, &bench.get("/webhooks").await] {
        assert!(
            !reply.text.contains("WEBHOOK/URL") && reply.text.contains("https://hooks.slack.com/"),
            "{}",
            reply.text
        );
    }
    assert!(created.json().get("secret").is_none(), "chats have no signing secret");
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signing_secret_is_shown_once_and_kept_when_the_address_changes() {
    let mut bench = Bench::new().await;
    let hook = json!({"webhook_type": "custom", "url": bench.receiver.url("/old")});
    let created = bench.post("/webhooks", &hook).await.json();
    let secret: kos_webhooks::signature::VerifyingKey = created["secret"].as_str().unwrap().parse().unwrap();
    assert!(bench.get(&path(&created)).await.json().get("secret").is_none());
    let changed = bench.patch(&path(&created), &json!({"url": bench.receiver.url("/new")})).await;
    assert_eq!((changed.status, changed.header("etag")), (StatusCode::OK, "\"v2\""), "{}", changed.text);
    bench.post("/events", &json!({"event_type": "x"})).await;
    let message = bench.receiver.next().await;
    assert_eq!(message.path, "/new");
    let headers = kos_webhooks::signature::Headers::find(|name| message.headers.get(name)?.to_str().ok()).unwrap();
    let now = chrono::Local::now().to_utc();
    kos_webhooks::signature::verify(&[secret], &headers, &message.body, now).unwrap();
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telegram_webhook_shows_its_bot_and_topic_and_null_takes_them_away() {
    let bench = Bench::with_telegram_bot("42:server").await;
    let token = format!("123456789:{}", "A".repeat(35));
    let body = json!({"webhook_type": "telegram", "chat_id": -5, "bot_token": token, "message_thread_id": 7});
    let created = bench.post("/webhooks", &body).await.json();
    assert_eq!((&created["bot"], &created["message_thread_id"]), (&json!("123456789"), &json!(7)));
    let changed = bench.patch(&path(&created), &json!({"message_thread_id": null})).await.json();
    assert_eq!((&changed["bot"], &changed["message_thread_id"]), (&json!("123456789"), &json!(null)));
    let changed = bench.patch(&path(&created), &json!({"bot_token": null})).await.json();
    assert_eq!((&changed["bot"], &changed["version"]), (&json!("the server's"), &json!(3)));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_that_a_proxy_weakened_still_names_its_version() {
    let bench = Bench::new().await;
    let created =
        bench.post("/webhooks", &json!({"webhook_type": "custom", "url": "https://example.org/"})).await.json();
    let change = |tag: &'static str, name: &'static str| {
        let request = TestRequest::patch().uri(&path(&created)).insert_header(("x-api-key", KEY));
        bench.send(request.insert_header(("if-match", tag)).set_json(json!({ "name": name })))
    };
    assert_eq!(change("W/\"v1\"", "a").await.status, StatusCode::OK);
    assert_eq!(change("W/\"v1\"", "b").await.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(change("v2", "c").await.status, StatusCode::BAD_REQUEST);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telegram_takes_its_chat_as_a_number_or_as_text() {
    let mut bench = Bench::new().await;
    bench.receiver.answer(Answer::new(200, r#"{"ok":true,"result":{"message_id":1}}"#));
    let token = format!("123456789:{}", "A".repeat(35));
    for chat in [json!(-1_001_234_567_890_i64), json!("-1001234567890"), json!("@channel_name")] {
        let body = json!({"webhook_type": "telegram", "chat_id": chat, "bot_token": token, "locale": "en"});
        let created = bench.post("/webhooks", &body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.text);
        assert!(!created.text.contains(&token));
        let tried = bench.post(&format!("{}/test", path(&created.json())), &json!({})).await.json();
        assert_eq!((&tried["success"], &tried["outcome"]), (&json!(true), &json!("delivered")));
        assert!(bench.receiver.next().await.path.starts_with("/bot123456789:"));
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_what_the_receiver_said_and_is_in_the_log() {
    let bench = Bench::new().await;
    bench.receiver.answer(Answer::new(500, "out of order"));
    let hook = json!({"webhook_type": "custom", "url": bench.receiver.url("/x"), "enabled": false});
    let created = bench.post("/webhooks", &hook).await.json();
    let tried = bench.post(&format!("{}/test", path(&created)), &json!({})).await.json();
    assert_eq!(
        (&tried["success"], &tried["status"], &tried["response"]),
        (&json!(false), &json!(500), &json!("out of order"))
    );
    let logs = bench.get(&format!("{}/logs", path(&created))).await.json();
    let log = &logs["data"][0];
    assert_eq!((&log["event_type"], &log["success"], &log["status"]), (&json!("test"), &json!(false), &json!(500)));
    assert!(log["payload"]["message"].is_string());
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_of_one_version_the_second_is_told() {
    let bench = Bench::new().await;
    let created =
        bench.post("/webhooks", &json!({"webhook_type": "custom", "url": bench.receiver.url("/x")})).await.json();
    let write = |name: &str| {
        let request = TestRequest::patch().uri(&path(&created)).insert_header(("x-api-key", KEY));
        request.insert_header(("if-match", "\"v1\"")).set_json(json!({"name": name}))
    };
    assert_eq!(bench.send(write("first")).await.status, StatusCode::OK);
    let second = bench.send(write("second")).await;
    assert_eq!(
        (second.status, &second.json()["code"]),
        (StatusCode::PRECONDITION_FAILED, &json!("precondition_failed"))
    );
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_page_by_page_to_its_end() {
    let bench = Bench::new().await;
    for number in 0..5 {
        let body = json!({"webhook_type": "custom", "url": bench.receiver.url("/x"), "name": number.to_string()});
        bench.post("/webhooks", &body).await;
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = bench.get(&format!("/webhooks?limit=2{cursor}")).await.json();
        names.extend(page["data"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        if page["has_more"] == false {
            break;
        }
        cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
    }
    assert_eq!(names, ["0", "1", "2", "3", "4"]);
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_removed_hears_nothing_more() {
    let mut bench = Bench::new().await;
    let created =
        bench.post("/webhooks", &json!({"webhook_type": "custom", "url": bench.receiver.url("/x")})).await.json();
    assert_eq!(bench.delete(&path(&created)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.get(&path(&created)).await.status, StatusCode::NOT_FOUND);
    let accepted = bench.post("/events", &json!({"event_type": "x"})).await.json();
    assert_eq!(accepted["deliveries"], 0);
    assert_eq!(bench.receiver.drain().len(), 0);
    bench.finish().await;
}
