//! Sends one event to webhooks, from a program without a database or a server.
//!
//! `cargo run --example send_event` needs no account: it opens a receiver of its own and prints what
//! arrives there. With `SLACK_WEBHOOK_URL`, `DISCORD_WEBHOOK_URL`, `TELEGRAM_BOT_TOKEN` and
//! `TELEGRAM_CHAT_ID`, or `CUSTOM_WEBHOOK_URL` set, it sends there instead.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use kos_examples::inbox::Inbox;
use kos_examples::{inbox, screen};
use kos_webhooks::{
    EgressPolicy, EventFilter, EventType, Limits, Outcome, Platforms, Sender, TargetDraft, WebhookManager, WebhookType,
};
use serde_json::json;

/// Sends one event to every webhook that is named, or to a receiver of its own.
#[derive(Parser)]
struct Options {
    /// A Slack incoming webhook
    #[arg(long, env = "SLACK_WEBHOOK_URL", hide_env_values = true)]
    slack: Option<String>,
    /// A Discord webhook
    #[arg(long, env = "DISCORD_WEBHOOK_URL", hide_env_values = true)]
    discord: Option<String>,
    /// A Telegram bot's token
    #[arg(long, env = "TELEGRAM_BOT_TOKEN", hide_env_values = true, requires = "telegram_chat")]
    telegram_bot: Option<String>,
    /// The chat that the bot writes to
    #[arg(long, env = "TELEGRAM_CHAT_ID", allow_hyphen_values = true)]
    telegram_chat: Option<String>,
    /// Any HTTP endpoint
    #[arg(long, env = "CUSTOM_WEBHOOK_URL", hide_env_values = true)]
    custom: Option<String>,
    /// Networks that may be called although they are not public, by commas: 127.0.0.0/8
    #[arg(long, env = "EGRESS_ALLOW", value_delimiter = ',')]
    egress_allow: Vec<String>,
}

/// A platform, and where on it.
type Destination = (WebhookType, TargetDraft);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let egress = egress(&options.egress_allow)?;
    let destinations = options.destinations();
    if destinations.is_empty() {
        println!("No account is named in the environment: sending to a receiver of this program's own.\n");
        send_to_ourselves().await
    } else {
        let sender = Sender::new(Platforms::default(), egress, Limits::default())?;
        send(sender, destinations).await
    }
}

impl Options {
    fn destinations(self) -> Vec<Destination> {
        let url = |kind, url: Option<String>| url.map(|url| (kind, TargetDraft { url: Some(url), ..draft() }));
        let telegram = self.telegram_bot.map(|token| {
            let draft = TargetDraft { bot_token: Some(token), chat_id: self.telegram_chat, ..draft() };
            (WebhookType::Telegram, draft)
        });
        let urls = [
            url(WebhookType::Slack, self.slack),
            url(WebhookType::Discord, self.discord),
            url(WebhookType::Custom, self.custom),
            telegram,
        ];
        urls.into_iter().flatten().collect()
    }
}

/// Who may be called beside the public internet.
fn egress(allow: &[String]) -> anyhow::Result<EgressPolicy> {
    let allow = allow.iter().map(|network| network.parse().with_context(|| format!("`{network}` is no network")));
    Ok(EgressPolicy { allow: allow.collect::<anyhow::Result<_>>()?, ..EgressPolicy::default() })
}

fn draft() -> TargetDraft {
    TargetDraft::default()
}

/// Registers the destinations and sends them one event.
async fn send(sender: Sender, destinations: Vec<Destination>) -> anyhow::Result<()> {
    let platforms = sender.platforms().clone();
    let manager = WebhookManager::new(sender);
    let listens: Vec<EventFilter> = vec!["knowledge_created".parse()?, "task_completed".parse()?];
    let mut names = Vec::new();
    for (kind, draft) in destinations {
        let target = draft.check(kind, &platforms)?;
        names.push((manager.register_webhook((target, listens.clone())), kind));
    }
    let event: EventType = "knowledge_created".parse()?;
    let payload = json!({
        "message": "Новое знание создано",
        "knowledge_id": "uuid-123",
        "content": "Python async/await best practices",
    });
    let mut failed = 0;
    for (id, attempt) in manager.send_webhook(&event, payload).await {
        let name = names.iter().find(|(known, _)| *known == id).map_or("?", |(_, kind)| kind.as_str());
        let why = attempt.error.map(|error| format!(": {error}")).unwrap_or_default();
        println!("{name}: {} in {} ms{why}", attempt.outcome.as_str(), attempt.duration.as_millis());
        failed += usize::from(attempt.outcome != Outcome::Delivered);
    }
    anyhow::ensure!(failed == 0, "{failed} of {} webhooks were not reached", names.len());
    Ok(())
}

/// One webhook of each platform, all of them at a receiver in this process.
async fn send_to_ourselves() -> anyhow::Result<()> {
    let mut inbox = Inbox::open(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(inbox::accept)).await?;
    let here = inbox.url();
    let platforms = Platforms {
        slack_api_url: Some(here.clone()),
        discord_api_url: Some(here.clone()),
        telegram_api_url: Some(here.clone()),
        ..Platforms::default()
    };
    let sender = Sender::new(platforms, egress(&["127.0.0.0/8".to_owned()])?, Limits::default())?;
    let options = Options {
        slack: Some("https://hooks.slack.com/services/T0EXAMPLE/B0EXAMPLE/secret".to_owned()),
        discord: Some(format!("https://discord.com/api/webhooks/123456789012345678/{}", "t".repeat(68))),
        telegram_bot: Some(format!("123456789:{}", "A".repeat(35))),
        telegram_chat: Some("-1001234567890".to_owned()),
        custom: Some(here.join("hook")?.into()),
        egress_allow: Vec::new(),
    };
    let destinations = options.destinations();
    let expected = destinations.len();
    send(sender, destinations).await?;
    println!("\nWhat arrived:");
    for _ in 0..expected {
        let message = inbox.messages.recv().await.context("the receiver stopped")?;
        anstream::println!("{}", screen::show(&message));
    }
    Ok(())
}
