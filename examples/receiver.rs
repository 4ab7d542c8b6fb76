//! The other side: a receiver of signed webhooks that verifies what it gets.
//!
//! `cargo run --example receiver -- --secret whsec_…` with the secret that `POST /webhooks` answered.
//! A message is accepted once: the same `webhook-id` again is a retry of one that was read already.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use clap::Parser;
use kos_examples::inbox::{Inbox, Received};
use kos_examples::screen;
use kos_webhooks::signature::{self, Headers, VerifyingKey};

/// Receives signed webhooks, verifies and prints them.
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9000")]
    bind: SocketAddr,
    /// The signing secret, whsec_…, or the public key, whpk_…
    #[arg(long, env = "WEBHOOK_SECRET", hide_env_values = true)]
    secret: VerifyingKey,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let seen = Mutex::new(HashSet::new());
    let secret = options.secret;
    let answer = move |message: &Received| match verify(&secret, message) {
        Err(reason) => {
            println!("refused: {reason}");
            (401, reason)
        }
        Ok(id) if seen.lock().is_ok_and(|mut seen| seen.insert(id.clone())) => {
            anstream::println!("{}", screen::show(message));
            (204, String::new())
        }
        Ok(id) => {
            println!("again: {id}, which was read already");
            (204, String::new())
        }
    };
    let mut inbox = Inbox::open(options.bind, Arc::new(answer)).await.context("cannot listen")?;
    println!("listening on {}", inbox.url());
    while inbox.messages.recv().await.is_some() {}
    Ok(())
}

/// The message's id, when its signature is ours and fresh.
fn verify(secret: &VerifyingKey, message: &Received) -> Result<String, String> {
    let header = |name| message.headers.get(name)?.to_str().ok();
    let headers = Headers::find(header).ok_or("the message is not signed")?;
    signature::verify(std::slice::from_ref(secret), &headers, &message.body, chrono::Local::now().to_utc())
        .map(|()| headers.id.to_owned())
        .map_err(|error| error.to_string())
}
