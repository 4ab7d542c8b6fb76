//! Canaries: secrets that are planted everywhere, and must be found nowhere.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kos_test_support::receiver::Answer;
use kos_test_support::{Receiver, TestDb};
use serde_json::{Value, json};

use crate::world::{Client, World};

/// A key pair from RFC 8032, 7.1: a seed and its public key.
const KEY_PAIR: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";

/// One secret of each kind, in the form that it must have.
struct Canaries {
    slack: String,
    discord: String,
    telegram: String,
    server_bot: String,
    signing: String,
    rotated: String,
    rotated_pair: String,
    database: String,
    header: &'static str,
    query: &'static str,
    api_key: &'static str,
    sealing: String,
}

impl Canaries {
    fn new(db: &TestDb) -> Self {
        let (user, _) = db.url().split_once('@').unwrap();
        Self {
            slack: "CanarySlackSecret0000000".to_owned(),
            discord: format!("canary-discord-{}", "d".repeat(53)),
            telegram: format!("CanaryTelegram{}", "t".repeat(21)),
            server_bot: format!("CanaryServerBot{}", "b".repeat(20)),
            signing: STANDARD.encode(b"canary of the signing secret"),
            rotated: STANDARD.encode(b"canary of the rotated secret"),
            rotated_pair: KEY_PAIR.to_owned(),
            database: user.rsplit_once(':').unwrap().1.to_owned(),
            header: "canary-of-a-header",
            query: "canary-of-a-query",
            api_key: "canary-of-the-api-key",
            sealing: STANDARD.encode(b"canary of the sealing key, 32 b!"),
        }
    }

    fn all(&self) -> Vec<String> {
        let plain = [
            self.slack.as_str(),
            &self.discord,
            &self.telegram,
            &self.server_bot,
            &self.signing,
            &self.rotated,
            // The seed; the public key that follows it is no secret.
            &self.rotated_pair[..42],
            &self.database,
            self.header,
            self.query,
            self.api_key,
            &self.sealing,
        ];
        plain.iter().flat_map(|secret| clothes(secret)).collect()
    }
}

/// A secret as it is, in hexadecimal, and in base64.
fn clothes(secret: &str) -> [String; 4] {
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    [secret.to_owned(), hex, STANDARD.encode(secret).trim_end_matches('=').to_owned(), URL_SAFE_NO_PAD.encode(secret)]
}

fn assert_clean(place: &str, text: &str, canaries: &[String]) {
    for canary in canaries {
        if let Some(at) = text.find(canary.as_str()) {
            let from = text.floor_char_boundary(at.saturating_sub(200));
            let to = text.ceil_char_boundary(at + 200);
            panic!("{place} holds {canary}: …{}…", &text[from..to]);
        }
    }
}

/// Everything in every table, as text.
async fn dump(db: &TestDb) -> String {
    let client = db.client().await;
    let tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'";
    let mut text = String::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let rows = format!("SELECT t::text FROM {} AS t", table.get::<_, String>(0));
        for row in client.query(&rows, &[]).await.unwrap() {
            text.push_str(row.get(0));
            text.push('\n');
        }
    }
    text
}

/// The services that the canaries are given to: each tells them back, in the words of an error.
struct Parrots {
    slack: Receiver,
    discord: Receiver,
    telegram: Receiver,
    custom: Receiver,
}

impl Parrots {
    async fn start(canaries: &Canaries) -> Self {
        let parrot = async |words: String| {
            let receiver = Receiver::start().await;
            receiver.answer(Answer::new(500, &words));
            receiver
        };
        Self {
            slack: parrot("no {path}".to_owned()).await,
            discord: parrot("no {path}".to_owned()).await,
            telegram: parrot("no {path}".to_owned()).await,
            custom: parrot(format!("no {{path}} for {} nor {}", canaries.header, canaries.signing)).await,
        }
    }

    fn world(&self, canaries: &Canaries, db: &TestDb) -> World {
        World::new()
            .with("DATABASE_URL", db.url())
            .with("API_KEY", canaries.api_key)
            .with("ENCRYPTION_KEYS", &canaries.sealing)
            .with("TELEGRAM_BOT_TOKEN", &format!("2:{}", canaries.server_bot))
            .with("SLACK_API_URL", &self.slack.url(""))
            .with("DISCORD_API_URL", &self.discord.url(""))
            .with("TELEGRAM_API_URL", &self.telegram.url(""))
            .with("LOG", "trace")
    }

    fn webhooks(&self, canaries: &Canaries) -> [Value; 5] {
        let slack = format!("https://hooks.slack.com/services/T0/B0/{}", canaries.slack);
        let discord = format!("https://discord.com/api/webhooks/123456789012345678/{}", canaries.discord);
        let custom = format!("{}?token={}", self.custom.url("/hook"), canaries.query);
        [
            json!({"webhook_type": "slack", "url": slack}),
            json!({"webhook_type": "discord", "url": discord}),
            json!({"webhook_type": "telegram", "chat_id": -5, "bot_token": format!("1:{}", canaries.telegram)}),
            json!({"webhook_type": "telegram", "chat_id": -6}),
            json!({"webhook_type": "custom", "url": custom, "secret": format!("whsec_{}", canaries.signing),
                   "headers": {"Authorization": canaries.header}}),
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_found_in_a_log_an_answer_an_error_or_the_database() {
    let db = TestDb::new().await;
    let canaries = Canaries::new(&db);
    let all = canaries.all();
    let parrots = Parrots::start(&canaries).await;
    let world = parrots.world(&canaries, &db);
    let server = world.serve();
    let client = world.client().with_key(canaries.api_key);
    let mut ids = Vec::new();
    for webhook in parrots.webhooks(&canaries) {
        ids.push(register(&client, &webhook, &all).await);
    }
    rotate(&client, ids.last().unwrap(), &canaries, &all).await;
    assert_eq!(client.post("/events", &json!({"event_type": "x"})).await.0, 202);
    for id in &ids {
        assert_webhook_is_clean(&client, id, &all).await;
    }
    let deliveries = client.get("/deliveries").await.1;
    assert_eq!(deliveries["data"].as_array().unwrap().len(), ids.len());
    for delivery in deliveries["data"].as_array().unwrap() {
        let path = format!("/deliveries/{}", delivery["id"].as_str().unwrap());
        assert_clean(&path, &client.get(&path).await.1.to_string(), &all);
    }
    for (path, wrong) in misplaced(&canaries) {
        let (status, problem) = client.post(path, &wrong).await;
        assert!((400..500).contains(&status), "{problem}");
        assert_clean("a problem", &problem.to_string(), &all);
    }
    assert_clean("the metrics", &client.get_text("/metrics").await, &all);
    assert_clean("the database", &dump(&db).await, &all);
    let (status, log) = server.terminate();
    assert!(status.success());
    assert!(log.contains("TRACE"), "the log tells everything");
    assert_clean("the log", &log, &all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_s_password_is_told_to_the_proxy_alone() {
    let password = "canary-of-the-proxy";
    let canaries = clothes(password);
    let db = TestDb::new().await;
    let mut proxy = Receiver::start().await;
    proxy.answer(Answer::new(407, "who are you?"));
    let through = proxy.url("").replace("://", &format!("://user:{password}@"));
    let world = World::new().with("DATABASE_URL", db.url()).with("EGRESS_PROXY", &through).with("LOG", "trace");
    let server = world.serve();
    let client = world.client();
    let id = world.register("http://receiver.invalid/hook").await;
    assert_eq!(client.post("/events", &json!({"event_type": "x"})).await.0, 202);
    let said = format!("user:{password}");
    assert_eq!(proxy.next().await.header("proxy-authorization"), format!("Basic {}", STANDARD.encode(said)));
    assert_webhook_is_clean(&client, &id, &canaries).await;
    assert_clean("the database", &dump(&db).await, &canaries);
    let (status, log) = server.terminate();
    assert!(status.success());
    assert_clean("the log", &log, &canaries);
}

/// Other keys for a custom webhook, of the caller's own.
async fn rotate(client: &Client, id: &str, canaries: &Canaries, all: &[String]) {
    let given = [("v1", format!("whsec_{}", canaries.rotated)), ("v1a", format!("whsk_{}", canaries.rotated_pair))];
    for (version, key) in given {
        let body = json!({"version": version, "key": key});
        let (status, mut rotated) = client.post(&format!("/webhooks/{id}/secret/rotate"), &body).await;
        assert_eq!(status, 200, "{rotated}");
        // Shown this once.
        rotated.as_object_mut().unwrap().remove("secret");
        assert_clean("the answer to a rotation", &rotated.to_string(), all);
    }
}

async fn register(client: &Client, webhook: &Value, canaries: &[String]) -> String {
    let (status, mut created) = client.post("/webhooks", webhook).await;
    assert_eq!(status, 201, "{created}");
    let id = created["id"].as_str().unwrap().to_owned();
    // The secret that a caller gives is his to know, and is shown this once.
    created.as_object_mut().unwrap().remove("secret");
    assert_clean("the answer to a registration", &created.to_string(), canaries);
    id
}

/// What a webhook tells of itself once it was tried and has had a message.
async fn assert_webhook_is_clean(client: &Client, id: &str, canaries: &[String]) {
    let tried = client.post(&format!("/webhooks/{id}/test"), &json!({})).await.1;
    assert_eq!(tried["success"], false, "{tried}");
    assert_clean("a trial", &tried.to_string(), canaries);
    while client.get(&format!("/webhooks/{id}/logs")).await.1["data"].as_array().unwrap().len() < 2 {}
    for path in ["", "/logs", "/health"] {
        let path = format!("/webhooks/{id}{path}");
        assert_clean(&path, &client.get(&path).await.1.to_string(), canaries);
    }
    let preview = client.post(&format!("/webhooks/{id}/preview"), &json!({"event_type": "x"})).await.1;
    assert_clean("a preview", &preview.to_string(), canaries);
}

/// Secrets where they do not belong.
fn misplaced(canaries: &Canaries) -> Vec<(&'static str, Value)> {
    vec![
        ("/webhooks", json!({"webhook_type": "slack", "url": format!("https://example.org/{}", canaries.slack)})),
        ("/webhooks", json!({"webhook_type": "telegram", "chat_id": 1, "bot_token": canaries.telegram.as_str()})),
        ("/webhooks", json!({"webhook_type": "discord", "url": format!("https://discord.com/{}", canaries.discord)})),
        (
            "/webhooks",
            json!({"webhook_type": "custom", "url": "https://example.org/", "secret": canaries.signing.as_str()}),
        ),
        (
            "/webhooks",
            json!({"webhook_type": "custom", "url": "https://example.org/",
                             "headers": {"Host": canaries.header}}),
        ),
    ]
}
