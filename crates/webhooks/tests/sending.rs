//! Whole attempts over real sockets on the loopback: what is sent, what comes back, what it means.
#![cfg(all(feature = "slack", feature = "discord", feature = "telegram", feature = "custom"))]

#[cfg(test)]
mod server;

#[cfg(test)]
mod sending {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use chrono::{DateTime, TimeDelta, Utc};
    use kos_webhooks::signature::{Headers, VerifyingKey, verify};
    use kos_webhooks::*;
    use serde_json::{Value, json};

    use crate::server::{Reply, Server, answer};

    const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1";
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn noon() -> DateTime<Utc> {
        "2025-12-14T12:00:00Z".parse().unwrap()
    }

    fn event() -> Event {
        let payload = json!({"message": "Новое знание создано"}).into();
        Event { id: EventId::generate(), event_type: "knowledge_created".parse().unwrap(), created_at: noon(), payload }
    }

    /// All platforms on that server, and the loopback allowed.
    fn sender_to(server: &Server, limits: Limits) -> Sender {
        let url = || Some(server.url("").parse().unwrap());
        let platforms = Platforms {
            slack_api_url: url(),
            discord_api_url: url(),
            telegram_api_url: url(),
            telegram_bot_token: Some(TOKEN.to_owned().into()),
            telegram_chat_id: None,
        };
        Sender::new(
            platforms,
            EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], ..EgressPolicy::default() },
            limits,
        )
        .unwrap()
    }

    fn slack() -> Target {
        let url = "https://hooks.slack.com/services/T024BE7LH/B024BE7LJ/abcdefghijklmnopqrstuvwx";
        Target::from_json(WebhookType::Slack, &json!({"url": url})).unwrap()
    }

    fn discord() -> Target {
        let url = "https://discord.com/api/webhooks/112233445566778899/discord_token_0123456789";
        Target::from_json(WebhookType::Discord, &json!({"url": url})).unwrap()
    }

    fn telegram() -> Target {
        Target::from_json(WebhookType::Telegram, &json!({"chat_id": -100123})).unwrap()
    }

    fn custom(url: &str) -> Target {
        Target::from_json(WebhookType::Custom, &json!({"url": url, "keys": [{"key": SECRET}]})).unwrap()
    }

    async fn send(sender: &Sender, target: &Target) -> Attempt {
        let event = event();
        let sent_at = event.created_at + TimeDelta::seconds(3);
        sender.send(target, &Message { event: &event, locale: Locale::Ru, id: "msg_1", sent_at }).await
    }

    /// What a custom endpoint that does this makes of an attempt.
    async fn custom_attempt(reply: Reply, limits: Limits) -> (Attempt, Server) {
        let server = Server::start(vec![reply]).await;
        let attempt = send(&sender_to(&server, limits), &custom(&server.url("/hook"))).await;
        (attempt, server)
    }

    fn hasty() -> Limits {
        Limits { attempt: Duration::from_millis(250), ..Limits::default() }
    }

    const RETRY: Outcome = Outcome::Retry { after: None };

    #[tokio::test]
    async fn a_custom_endpoint_gets_a_signed_request_that_its_verifier_trusts() {
        let (attempt, server) = custom_attempt(answer(200, "", "thanks"), Limits::default()).await;
        assert_eq!((attempt.outcome, attempt.status), (Outcome::Delivered, Some(200)));
        assert_eq!((attempt.response.as_deref(), attempt.error), (Some("thanks"), None));
        let asked = &server.asked()[0];
        assert_eq!(asked.line(), "POST /hook HTTP/1.1");
        assert_eq!(asked.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(asked.header("accept-encoding"), Some("identity"));
        assert!(asked.header("user-agent").unwrap().starts_with("KnowledgeOS-Webhooks/"));
        assert_eq!(asked.header("referer"), None);
        assert_eq!(
            String::from_utf8(asked.body.clone()).unwrap(),
            r#"{"event_type":"knowledge_created","timestamp":"2025-12-14T12:00:00.000Z","payload":{"message":"Новое знание создано"}}"#
        );
        let headers = Headers::find(|name| asked.header(name)).unwrap();
        let secret: VerifyingKey = SECRET.parse().unwrap();
        assert_eq!(verify(&[secret], &headers, &asked.body, noon()), Ok(()));
    }

    #[tokio::test]
    async fn the_standard_s_own_library_trusts_what_arrives() {
        let server = Server::start(vec![answer(204, "", "")]).await;
        let draft = TargetDraft { url: Some(server.url("/hook")), ..TargetDraft::default() };
        let target = draft.check(WebhookType::Custom, &Platforms::default()).unwrap();
        let event = event();
        // The library takes its time from the system.
        let message =
            Message { event: &event, locale: Locale::En, id: "msg_1", sent_at: chrono::Local::now().to_utc() };
        assert_eq!(sender_to(&server, Limits::default()).send(&target, &message).await.outcome, Outcome::Delivered);
        let asked = &server.asked()[0];
        let mut headers = reqwest::header::HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(name, asked.header(name).unwrap().parse().unwrap());
        }
        let secret = target.secret().unwrap();
        let theirs = standardwebhooks::Webhook::new(secrecy::ExposeSecret::expose_secret(&secret)).unwrap();
        theirs.verify(&asked.body, &headers).unwrap();
        assert!(theirs.verify(b"{}", &headers).is_err());
    }

    #[tokio::test]
    async fn chat_platforms_get_what_the_preview_shows() {
        let ok = || answer(200, "", r#"{"ok":true}"#);
        let server = Server::start(vec![ok(), ok(), ok()]).await;
        let sender = sender_to(&server, Limits::default());
        let event = event();
        let message = Message { event: &event, locale: Locale::En, id: "msg_1", sent_at: noon() };
        for target in [slack(), discord(), telegram()] {
            assert_eq!(sender.send(&target, &message).await.outcome, Outcome::Delivered);
        }
        let asked = server.asked();
        assert_eq!(asked[0].line(), "POST /services/T024BE7LH/B024BE7LJ/abcdefghijklmnopqrstuvwx HTTP/1.1");
        let discords = "POST /api/v10/webhooks/112233445566778899/discord_token_0123456789?wait=true HTTP/1.1";
        assert_eq!(asked[1].line(), discords);
        assert!(asked[1].header("user-agent").unwrap().starts_with("DiscordBot ("));
        assert_eq!(asked[2].line(), format!("POST /bot{TOKEN}/sendMessage HTTP/1.1"));
        for (asked, target) in asked.iter().zip([slack(), discord(), telegram()]) {
            assert_eq!(asked.json(), sender.preview(&target, &message));
        }
    }

    #[tokio::test]
    async fn each_class_comes_out_of_a_real_answer() {
        let moved = r#"{"ok":false,"error_code":400,"description":"Bad Request: group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1009}}"#;
        let hold = |seconds| Outcome::Retry { after: Some(Duration::from_secs_f64(seconds)) };
        for (target, reply, expected) in [
            (slack(), answer(200, "", "ok"), Outcome::Delivered),
            (slack(), answer(404, "", "no_service"), Outcome::Gone),
            (slack(), answer(400, "", "invalid_payload"), Outcome::Rejected),
            (slack(), answer(429, "Retry-After: 30\r\n", "rate_limited"), hold(30.0)),
            (slack(), answer(503, "", ""), RETRY),
            (discord(), answer(401, "", r#"{"code":50027}"#), Outcome::Unauthorized),
            (discord(), answer(429, "Retry-After: 3\r\n", r#"{"retry_after":2.25}"#), hold(2.25)),
            (telegram(), answer(400, "", moved), Outcome::Moved { chat_id: -1009 }),
            (
                telegram(),
                answer(401, "", r#"{"ok":false,"error_code":401,"description":"Unauthorized"}"#),
                Outcome::Unauthorized,
            ),
        ] {
            let server = Server::start(vec![reply]).await;
            let attempt = send(&sender_to(&server, Limits::default()), &target).await;
            assert_eq!(attempt.outcome, expected, "{target:?} {attempt:?}");
        }
    }

    #[tokio::test]
    async fn a_custom_endpoint_s_wish_to_wait_is_heeded_as_seconds_and_as_a_date() {
        let until = "Retry-After: Sun, 14 Dec 2025 12:01:03 GMT\r\n";
        for (header, seconds) in [("Retry-After: 120\r\n", 120), (until, 60), ("Retry-After: 999999\r\n", 86_400)] {
            let (attempt, _) = custom_attempt(answer(503, header, ""), Limits::default()).await;
            assert_eq!(attempt.outcome, Outcome::Retry { after: Some(Duration::from_secs(seconds)) }, "{header}");
        }
        let (attempt, _) = custom_attempt(answer(410, "", "bye"), Limits::default()).await;
        assert_eq!(attempt.outcome, Outcome::Gone);
        assert_eq!(attempt.error.unwrap(), "the endpoint answered 410 Gone: it wants no more messages");
    }

    #[tokio::test]
    async fn a_message_that_slack_or_telegram_cannot_dress_is_sent_again_as_plain_text() {
        let server = Server::start(vec![answer(400, "", "invalid_blocks"), answer(200, "", "ok")]).await;
        assert_eq!(send(&sender_to(&server, Limits::default()), &slack()).await.outcome, Outcome::Delivered);
        assert!(server.asked()[0].json().get("blocks").is_some());
        assert!(server.asked()[1].json().get("blocks").is_none());

        let refusal = r#"{"ok":false,"error_code":400,"description":"Bad Request: can't parse entities: x"}"#;
        let server = Server::start(vec![answer(400, "", refusal), answer(400, "", refusal)]).await;
        let attempt = send(&sender_to(&server, Limits::default()), &telegram()).await;
        assert_eq!(attempt.outcome, Outcome::Rejected);
        assert_eq!(server.asked().len(), 2, "plain text is tried once");
        assert_eq!(server.asked()[1].json().get("parse_mode"), None);
    }

    #[tokio::test]
    async fn a_redirect_is_a_failure_and_is_not_followed() {
        let inward = "Location: http://169.254.169.254/latest/meta-data/\r\n";
        for status in [301, 302, 303, 307, 308] {
            let (attempt, server) = custom_attempt(answer(status, inward, ""), Limits::default()).await;
            assert_eq!((attempt.outcome, attempt.status), (RETRY, Some(status)));
            assert!(attempt.error.unwrap().contains("redirects are never followed"));
            assert_eq!(server.asked().len(), 1);
        }
    }

    #[tokio::test]
    async fn silence_and_a_body_without_end_in_time_are_cut_off_at_the_deadline() {
        let (attempt, _) = custom_attempt(Reply::Hang(Vec::new()), hasty()).await;
        assert_eq!((attempt.outcome, attempt.status), (RETRY, None));
        assert_eq!(attempt.error.unwrap(), "no answer within 250 ms");

        let start = b"HTTP/1.1 500 X\r\ncontent-length: 100\r\n\r\nabc".to_vec();
        let (attempt, _) = custom_attempt(Reply::Hang(start), hasty()).await;
        assert_eq!((attempt.outcome, attempt.status, attempt.response.as_deref()), (RETRY, Some(500), Some("abc")));
        let error =
            "the endpoint answered 500 Internal Server Error instead of 2xx; the answer did not end within 250 ms";
        assert_eq!(attempt.error.unwrap(), error);
    }

    #[tokio::test]
    async fn what_was_accepted_stays_accepted_however_the_rest_of_the_answer_is_lost() {
        let start = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc".to_vec();
        for reply in [Reply::Hang(start.clone()), Reply::Bytes(start)] {
            let (attempt, _) = custom_attempt(reply, hasty()).await;
            let (outcome, status, response) = (attempt.outcome, attempt.status, attempt.response);
            assert_eq!((outcome, status, response.as_deref()), (Outcome::Delivered, Some(200), Some("abc")));
        }
    }

    #[tokio::test]
    async fn what_status_and_headers_said_counts_however_the_rest_of_the_answer_is_lost() {
        let hold = |seconds| Outcome::Retry { after: Some(Duration::from_secs(seconds)) };
        let limited = "429 X\r\nretry-after: 120";
        type Whom = fn(&Server) -> Target;
        let (endpoint, chat): (Whom, Whom) = (|server| custom(&server.url("/hook")), |_| telegram());
        for (whom, head, body, expected) in [
            (endpoint, "410 X", "by", Outcome::Gone),
            (endpoint, limited, "slow", hold(120)),
            (|_: &Server| slack(), limited, "rate_", hold(120)),
            (|_: &Server| slack(), "404 X", "no_", RETRY),
            (|_: &Server| slack(), "404 X", "no_service", Outcome::Gone),
            (|_: &Server| discord(), limited, "{", hold(120)),
            (|_: &Server| discord(), "401 X", "", Outcome::Unauthorized),
            (chat, limited, "{", hold(120)),
            (chat, "200 OK", r#"{"ok":tr"#, Outcome::Delivered),
            (chat, "400 X", r#"{"ok":false,"#, RETRY),
        ] {
            let start = format!("HTTP/1.1 {head}\r\ncontent-length: 100\r\n\r\n{body}").into_bytes();
            let lost = [
                (Reply::Hang(start.clone()), "; the answer did not end within 250 ms"),
                (Reply::Bytes(start), "; the connection broke: "),
            ];
            for (reply, why) in lost {
                let server = Server::start(vec![reply]).await;
                let attempt = send(&sender_to(&server, hasty()), &whom(&server)).await;
                let told = format!("{head} {body}: {attempt:?}");
                assert_eq!(attempt.outcome, expected, "{told}");
                assert_eq!((attempt.response.as_deref(), attempt.status.is_some()), (Some(body), true), "{told}");
                assert_eq!(attempt.pause.is_some(), expected == hold(120), "{told}");
                assert!(attempt.error.is_none_or(|error| error.contains(why)), "{told}");
            }
        }
    }

    #[tokio::test]
    async fn of_a_long_or_endless_answer_only_the_start_is_read_and_less_is_kept() {
        let endless = Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
        let (attempt, _) = custom_attempt(endless, Limits::default()).await;
        assert_eq!((attempt.outcome, attempt.response.unwrap().len()), (Outcome::Delivered, 1024));

        let (attempt, _) = custom_attempt(answer(500, "", &"ы".repeat(100_000)), Limits::default()).await;
        assert_eq!((attempt.outcome, attempt.response.unwrap().len()), (RETRY, 1024));
    }

    #[tokio::test]
    async fn a_compressed_answer_is_kept_as_it_came() {
        let (attempt, _) =
            custom_attempt(answer(200, "Content-Encoding: gzip\r\n", "not inflated"), Limits::default()).await;
        assert_eq!((attempt.outcome, attempt.response.as_deref()), (Outcome::Delivered, Some("not inflated")));
    }

    #[tokio::test]
    async fn a_broken_or_refused_connection_is_a_passing_fault_told_in_words() {
        let (attempt, _) = custom_attempt(Reply::Reset, Limits::default()).await;
        assert_eq!((attempt.outcome, attempt.status), (RETRY, None));
        assert!(attempt.error.unwrap().starts_with("the connection broke: "));

        let (attempt, _) =
            custom_attempt(Reply::Bytes(b"HTTP/1.1 502 X\r\ncontent-length: 9\r\n\r\nabc".to_vec()), Limits::default())
                .await;
        assert_eq!((attempt.outcome, attempt.status), (RETRY, Some(502)));

        let (attempt, _) = custom_attempt(Reply::Bytes(b"SSH-2.0-OpenSSH\r\n".to_vec()), Limits::default()).await;
        assert_eq!(attempt.outcome, RETRY);

        let closed = Server::start(Vec::new()).await;
        tokio::task::yield_now().await;
        let attempt = send(&sender_to(&closed, Limits::default()), &custom(&closed.url("/hook"))).await;
        assert_eq!(attempt.outcome, RETRY);
        assert!(attempt.error.as_deref().unwrap().starts_with("cannot connect: Connection refused"), "{attempt:?}");
    }

    #[tokio::test]
    async fn https_to_a_server_that_speaks_none_is_a_passing_fault() {
        let server = Server::start(vec![answer(200, "", "")]).await;
        let url = server.url("/hook").replace("http:", "https:");
        let attempt = send(&sender_to(&server, hasty()), &custom(&url)).await;
        assert_eq!(attempt.outcome, RETRY, "{attempt:?}");
    }

    #[tokio::test]
    async fn a_destination_that_is_not_allowed_is_never_called_and_its_address_not_told() {
        let server = Server::start(vec![answer(200, "", "")]).await;
        let sender = Sender::new(Platforms::default(), EgressPolicy::default(), Limits::default()).unwrap();
        let target = custom(&server.url("/hook"));
        let attempt = send(&sender, &target).await;
        assert_eq!((attempt.outcome, attempt.status), (RETRY, None), "the operator may allow it yet");
        let error = attempt.error.unwrap();
        assert!(error.starts_with("destination_blocked: ") && !error.contains("127.0.0.1"), "{error}");
        assert!(server.asked().is_empty());
        assert_eq!(sender.check_destination(&target).unwrap_err().code, "destination_blocked");
        assert!(sender.check_destination(&slack()).is_ok());
    }

    #[tokio::test]
    async fn no_known_trick_makes_a_connection_even_where_every_name_leads_inside() {
        let resolver = Resolver::new(|_| async { Ok(vec!["127.0.0.1".parse().unwrap()]) });
        let policy = EgressPolicy { resolver, ..EgressPolicy::default() };
        let sender = Sender::new(Platforms::default(), policy, hasty()).unwrap();
        let tricks = include_str!("../src/egress/forbidden.txt").lines();
        for url in tricks.chain(["https://example.com/", "https://localhost/", "https://metadata.google.internal/"]) {
            let draft = TargetDraft { url: Some(url.to_owned()), ..TargetDraft::default() };
            let Ok(target) = draft.check(WebhookType::Custom, &Platforms::default()) else { continue };
            let attempt = send(&sender, &target).await;
            let error = attempt.error.unwrap_or_default();
            assert!(attempt.status.is_none() && error.starts_with("destination_blocked: "), "{url}: {error}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_the_next_time_is_not_followed_there() {
        let server = Server::start(vec![answer(200, "", "ok"), answer(200, "", "ok"), answer(200, "", "ok")]).await;
        let turn = Arc::new(AtomicUsize::new(0));
        let resolver = Resolver::new(move |host| {
            assert_eq!(host, "receiver.example");
            let answers = [vec!["127.0.0.1"], vec!["10.0.0.1"], vec!["127.0.0.1", "169.254.169.254"]];
            let answer = answers[turn.fetch_add(1, Ordering::SeqCst)].iter().map(|ip| ip.parse().unwrap()).collect();
            async move { Ok(answer) }
        });
        let policy = EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], resolver, ..EgressPolicy::default() };
        let sender = Sender::new(Platforms::default(), policy, Limits::default()).unwrap();
        let target = custom(&format!("http://receiver.example:{}/hook", server.address.port()));
        let outcomes = [send(&sender, &target).await, send(&sender, &target).await, send(&sender, &target).await];
        assert_eq!(outcomes[0].outcome, Outcome::Delivered);
        for refused in &outcomes[1..] {
            assert_eq!(refused.outcome, RETRY);
            assert!(refused.error.as_ref().unwrap().starts_with("destination_blocked: "));
        }
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_a_passing_fault() {
        let resolver = Resolver::new(|_| async { Err(std::io::Error::other("no such host")) });
        let sender =
            Sender::new(Platforms::default(), EgressPolicy { resolver, ..EgressPolicy::default() }, Limits::default())
                .unwrap();
        let attempt = send(&sender, &custom("https://receiver.example/hook")).await;
        assert_eq!((attempt.outcome, attempt.error.as_deref()), (RETRY, Some("cannot connect: no such host")));
    }

    #[tokio::test]
    async fn a_name_server_that_never_answers_costs_no_more_than_the_time_to_connect() {
        let policy = EgressPolicy { resolver: Resolver::new(|_| std::future::pending()), ..EgressPolicy::default() };
        let limits = Limits { connect: Duration::from_millis(100), ..Limits::default() };
        let sender = Sender::new(Platforms::default(), policy, limits).unwrap();
        let attempt = send(&sender, &slack()).await;
        assert_eq!((attempt.outcome, attempt.error.as_deref()), (RETRY, Some("no connection within 100 ms")));
    }

    #[tokio::test]
    async fn no_secret_comes_back_in_a_response_or_an_error() {
        let key = "custom-key-0123456789";
        let path = format!("/hook?key={key}");
        let echo = format!(
            "{key} {SECRET} {TOKEN} discord_token_0123456789 /services/T024BE7LH/B024BE7LJ/abcdefghijklmnopqrstuvwx"
        );
        let json = json!({"ok": false, "description": echo, "message": echo, "code": 50035, "errors": {"_errors": [{"message": echo}]}}).to_string();
        let server = Server::start((0..4).map(|_| answer(400, "", &json)).collect()).await;
        let sender = sender_to(&server, Limits::default());
        for (target, secrets) in [
            (custom(&server.url(&path)), vec![key, &SECRET[6..]]),
            (slack(), vec!["abcdefghijklmnopqrstuvwx", "B024BE7LJ"]),
            (discord(), vec!["discord_token_0123456789"]),
            (telegram(), vec![TOKEN, "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1"]),
        ] {
            let attempt = send(&sender, &target).await;
            let told = format!("{attempt:?} {target:?} {} {sender:?}", target.redacted());
            assert!(attempt.response.unwrap().contains("[redacted]"));
            for secret in secrets {
                assert!(!told.contains(secret), "{secret} in {told}");
            }
        }
    }

    #[tokio::test]
    async fn a_telegram_target_without_any_bot_is_a_fault_of_ours() {
        let sender = Sender::new(Platforms::default(), EgressPolicy::default(), Limits::default()).unwrap();
        let attempt = send(&sender, &telegram()).await;
        assert_eq!((attempt.outcome, attempt.status), (Outcome::Fault, None));
        assert!(attempt.error.unwrap().contains("Telegram bot"));
    }

    fn filters(names: &[&str]) -> Vec<EventFilter> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn the_manager_tells_every_enabled_webhook_that_hears_the_event() {
        let server = Server::start(vec![answer(200, "", "ok"), answer(200, "", "ok")]).await;
        let manager = WebhookManager::with_clock(sender_to(&server, Limits::default()), noon);
        let family = manager.register_webhook((slack(), filters(&["knowledge_*"])));
        let all = manager.register_webhook(custom(&server.url("/all")));
        manager.register_webhook((custom(&server.url("/tasks")), filters(&["task_completed"])));
        manager.register_webhook(WebhookConfig { enabled: false, ..custom(&server.url("/off")).into() });
        let manager = Arc::new(manager);
        let shared = Arc::clone(&manager);
        let created: EventType = "knowledge_created".parse().unwrap();
        let sending = tokio::spawn(async move { shared.send_webhook(&created, json!({"message": "x"})).await });
        let sent = sending.await.unwrap();
        let told: Vec<(WebhookId, Outcome)> = sent.into_iter().map(|(id, attempt)| (id, attempt.outcome)).collect();
        assert_eq!(told, [(family, Outcome::Delivered), (all, Outcome::Delivered)]);
        assert!(manager.unregister(family) && !manager.unregister(family));
        assert_eq!(manager.list().len(), 3);
    }

    #[tokio::test]
    async fn the_manager_follows_a_chat_that_moved_and_switches_off_what_is_gone() {
        let moved = r#"{"ok":false,"error_code":400,"description":"x","parameters":{"migrate_to_chat_id":-1009}}"#;
        let gone = r#"{"ok":false,"error_code":403,"description":"Forbidden: bot was blocked by the user"}"#;
        let ok = r#"{"ok":true,"result":{}}"#;
        let replies = vec![answer(400, "", moved), answer(200, "", ok), answer(403, "", gone)];
        let server = Server::start(replies).await;
        let manager = WebhookManager::with_clock(sender_to(&server, Limits::default()), noon);
        manager.register_webhook(telegram());
        let test: EventType = "test".parse().unwrap();
        assert_eq!(manager.send_webhook(&test, Value::Null).await[0].1.outcome, Outcome::Delivered);
        assert_eq!(server.asked()[1].json()["chat_id"], -1009);
        assert_eq!(manager.list()[0].1.target.redacted(), "telegram chat -1009");
        assert_eq!(manager.send_webhook(&test, Value::Null).await[0].1.outcome, Outcome::Gone);
        assert!(!manager.list()[0].1.enabled);
        assert!(manager.send_webhook(&test, Value::Null).await.is_empty());
    }
}
