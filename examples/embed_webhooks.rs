//! Another service that embeds the webhooks crate: it keeps its own list of receivers and its own
//! retries, and leaves rendering, sending and reading the answers to the crate.
//!
//! `cargo run --example embed_webhooks` needs no account; it sends to a receiver of its own, which
//! refuses the first try.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kos_examples::inbox;
use kos_examples::inbox::{Inbox, Received};
use kos_webhooks::{
    EgressPolicy, Event, EventId, Limits, Locale, Message, Outcome, Platforms, Sender, Target, TargetDraft, WebhookType,
};
use serde_json::json;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let refused = AtomicBool::new(false);
    let answer = move |message: &Received| match refused.swap(true, Ordering::SeqCst) {
        false => (503, "come back later".to_owned()),
        true => inbox::accept(message),
    };
    let inbox = Inbox::open(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(answer)).await?;

    let egress = EgressPolicy { allow: vec!["127.0.0.0/8".parse()?], ..EgressPolicy::default() };
    let sender = Sender::new(Platforms::default(), egress, Limits::default())?;
    let draft = TargetDraft { url: Some(inbox.url().join("orders")?.into()), ..TargetDraft::default() };
    let target = draft.check(WebhookType::Custom, sender.platforms())?;

    let event = Event {
        id: EventId::generate(),
        event_type: "order_shipped".parse()?,
        created_at: chrono::Local::now().to_utc(),
        payload: json!({ "order": 42, "carrier": "DHL" }).into(),
    };
    deliver(&sender, &target, &event).await
}

/// Tries until the receiver has it, or says that it never will.
async fn deliver(sender: &Sender, target: &Target, event: &Event) -> anyhow::Result<()> {
    let id = event.id.to_string();
    for number in 1..=5 {
        let message = Message { event, locale: Locale::En, id: &id, sent_at: chrono::Local::now().to_utc() };
        let attempt = sender.send(target, &message).await;
        println!("try {number}: {} ({})", attempt.outcome.as_str(), attempt.error.unwrap_or_default());
        match attempt.outcome {
            Outcome::Delivered => return Ok(()),
            Outcome::Retry { after } => tokio::time::sleep(after.unwrap_or(Duration::from_millis(200))).await,
            Outcome::Moved { .. } | Outcome::Rejected | Outcome::Gone | Outcome::Unauthorized | Outcome::Fault => {
                anyhow::bail!("given up")
            }
        }
    }
    anyhow::bail!("five tries were not enough")
}
