//! Shows a message as its platform would show it, as far as a terminal can.

use serde_json::Value;

use crate::inbox::Received;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// The platform that a message was meant for.
#[must_use]
pub fn platform(message: &Received) -> &'static str {
    if message.path.starts_with("/services/") {
        "Slack"
    } else if message.path.ends_with("/sendMessage") {
        "Telegram"
    } else if message.path.starts_with("/api/") {
        "Discord"
    } else {
        "HTTP"
    }
}

/// The message in a frame.
#[must_use]
pub fn show(message: &Received) -> String {
    let body: Value = serde_json::from_slice(&message.body).unwrap_or_default();
    let name = platform(message);
    let lines = match name {
        "Slack" => slack(&body),
        "Discord" => discord(&body),
        "Telegram" => telegram(&body),
        _ => custom(message, &body),
    };
    let framed: String = lines.lines().map(|line| format!("  │ {line}\n")).collect();
    format!("  ┌ {BOLD}{name}{PLAIN} {DIM}POST {}{PLAIN}\n{framed}  └\n", message.path)
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn slack(body: &Value) -> String {
    let section = text(body, "/blocks/1/text/text").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    format!("{BOLD}{}{PLAIN}\n{section}", text(body, "/blocks/0/text/text"))
}

fn discord(body: &Value) -> String {
    let description = unescaped(&text(body, "/embeds/0/description"));
    format!("{BOLD}{}{PLAIN}\n{description}", unescaped(&text(body, "/embeds/0/title")))
}

/// Without the backslashes that keep signs from being markup.
fn unescaped(markdown: &str) -> String {
    let mut plain = String::with_capacity(markdown.len());
    let mut characters = markdown.chars();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    plain
}

fn telegram(body: &Value) -> String {
    text(body, "/text")
        .replace("<b>", BOLD)
        .replace("</b>", PLAIN)
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

fn custom(message: &Received, body: &Value) -> String {
    let header = |name: &str| message.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let pretty = serde_json::to_string_pretty(body).unwrap_or_default();
    format!(
        "webhook-id: {}\nwebhook-timestamp: {}\nwebhook-signature: {}\n{pretty}",
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    )
}
