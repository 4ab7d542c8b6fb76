//! One attempt: send, decide, tell the recorder.

use std::sync::Arc;
use std::time::Duration;

use kos_model::{Attempt, Outcome, Pause, Scope, WebhookId};
use kos_repository::{Address, Chain, Claimed, DisabledReason, Finished, Next, OpenFor, Recipient};
use kos_webhooks::Message;

use crate::endpoint::Endpoint;
use crate::engine::Shared;
use crate::lane::{Bearing, Leased};
use crate::policy::{Effect, decide};
use crate::recorder::Note;

impl Shared {
    /// Sends to one webhook until its lane has nothing more in memory.
    pub(crate) async fn work(self: &Arc<Self>, first: Leased) {
        let webhook = first.claimed.recipient.webhook_id;
        let mut next = Some(first);
        while let Some(leased) = next {
            let tier = leased.tier();
            self.see_to(leased).await;
            let wants;
            (next, wants) = self.lanes.next(webhook, tier);
            if wants {
                self.wake.notify_one();
            }
        }
    }

    async fn see_to(self: &Arc<Self>, leased: Leased) {
        // The webhook as it is now, which may not be what it was when the delivery was claimed.
        let directory = self.repository.directory();
        let Some(recipient) = directory.get(leased.claimed.recipient.webhook_id) else { return };
        let endpoint = self.endpoints.ready(recipient, &self.sender);
        // Before the lease is looked at, which grows old while others are in the way. Closed only when the
        // engine is gone, and then nobody is left to send.
        let Ok(_permit) = self.permits.acquire().await else { return };
        // What was taken in no order does not go on in one.
        let is_in_turn = recipient.policy.ordered == leased.claimed.recipient.policy.ordered;
        if recipient.enabled && is_in_turn && self.may_begin(&leased, recipient.policy.timeout()) {
            self.attempt(leased.claimed, &endpoint).await;
        } else {
            self.release(&[leased]).await;
        }
    }

    /// An attempt must end while its lease holds, and none begins during a shutdown.
    fn may_begin(&self, leased: &Leased, timeout: Duration) -> bool {
        let needed = timeout + self.settings.margin;
        !self.stop.is_cancelled() && leased.since.elapsed() + needed <= self.settings.lease
    }

    async fn attempt(self: &Arc<Self>, claimed: Claimed, endpoint: &Endpoint) {
        let number = claimed.attempts.saturating_add(1);
        let attempt = self.send(&claimed, endpoint).await;
        let settings = &self.settings;
        let own = endpoint.recipient.policy.schedule();
        let schedule = own.as_ref().unwrap_or(&settings.schedule);
        let mut verdict = decide(&attempt, number, schedule, settings.fault_wait, (self.surroundings.jitter)());
        // A success is news of a webhook in trouble alone.
        let is_news = attempt.outcome != Outcome::Delivered || self.ailing.contains(endpoint.recipient.webhook_id);
        let is_outdated = is_news && self.is_outdated(&endpoint.recipient).await;
        if is_outdated {
            verdict = verdict.outdated();
        }
        tell(&claimed, number, &attempt);
        self.bear(endpoint, verdict.bearing).await;
        self.apply(endpoint, verdict.effect, &attempt).await;
        if endpoint.recipient.policy.ordered && matches!(verdict.next, Next::RetryIn(..) | Next::DeferFor(..)) {
            // Whatever comes after it must wait for it.
            self.release(&self.lanes.turn_back(endpoint.recipient.webhook_id)).await;
        }
        let finished = Box::new(Finished { claimed, attempt, next: verdict.next });
        let report = Note::Finished { finished, counts: !is_outdated };
        if self.notes.send(report).await.is_err() {
            tracing::error!("the recorder is gone: this outcome is lost and the delivery will be repeated");
        }
    }

    /// Whether the webhook was changed since it was asked: then what it answered says nothing of what it is now.
    async fn is_outdated(&self, asked: &Recipient) -> bool {
        let known = self.repository.directory();
        // Without the database what is known here must do.
        let directory = self.repository.directory_refresh().await.unwrap_or(known);
        directory.get(asked.webhook_id).is_some_and(|present| present.revision != asked.revision)
    }

    async fn send(&self, claimed: &Claimed, endpoint: &Endpoint) -> Attempt {
        let destination = match &endpoint.destination {
            Ok(destination) => destination,
            Err(reason) => return fault(reason.clone()),
        };
        let recipient = &endpoint.recipient;
        let id = Message::id_of(claimed.event.id, recipient.webhook_id);
        let sent_at = (self.surroundings.now)();
        let message = Message { event: &claimed.event, locale: recipient.locale, id: &id, sent_at };
        self.sender.send_to(destination, &message, recipient.policy.timeout()).await
    }

    /// What the attempt means for the webhook's breaker.
    async fn bear(&self, endpoint: &Endpoint, bearing: Bearing) {
        let webhook = endpoint.recipient.webhook_id;
        let rule = &self.settings.breaker;
        if !self.lanes.fared(webhook, bearing, rule) {
            return;
        }
        self.release(&self.lanes.trip(webhook)).await;
        let spread = 1.0 + 0.1 * (2.0 * (self.surroundings.jitter)() - 1.0);
        let open_for = OpenFor { base: rule.open_for, most: rule.open_at_most, spread };
        match self.repository.webhook_trip(webhook, open_for).await {
            Ok(true) => {
                metrics::counter!("kos_breaker_trips_total").increment(1);
                tracing::warn!(webhook.id = %webhook, "webhook {webhook} fails again and again: it is left alone for a while");
            }
            Ok(false) => {}
            Err(error) => self.unchanged(webhook, &error),
        }
        self.lanes.written(webhook);
    }

    /// What the outcome means for the webhook is written before what it means for the delivery: a
    /// crash in between repeats the attempt and loses nothing.
    async fn apply(self: &Arc<Self>, endpoint: &Endpoint, effect: Effect, attempt: &Attempt) {
        match effect {
            Effect::None => {}
            Effect::Hold(pause) => self.hold(endpoint, pause).await,
            Effect::Disable(reason) => self.disable(&endpoint.recipient, reason, attempt).await,
            Effect::Move(chat_id) => self.follow(endpoint, chat_id).await,
        }
    }

    async fn hold(&self, endpoint: &Endpoint, pause: Pause) {
        let held = match pause.scope {
            Scope::Webhook => vec![endpoint.recipient.webhook_id],
            Scope::Account => self.account_of(endpoint),
        };
        for webhook in &held {
            self.release(&self.lanes.hold(*webhook, pause.wait)).await;
        }
        if let Err(error) = self.repository.webhook_hold(&held, pause.wait).await {
            self.unchanged(endpoint.recipient.webhook_id, &error);
        }
        for webhook in &held {
            self.lanes.written(*webhook);
        }
    }

    /// Every webhook that shares the platform's limits with this one.
    fn account_of(&self, endpoint: &Endpoint) -> Vec<WebhookId> {
        let account = endpoint.account(&self.sender);
        let shares = |other: &&Arc<Recipient>| {
            other.webhook_type == endpoint.recipient.webhook_type
                && self.endpoints.ready(other, &self.sender).account(&self.sender) == account
        };
        self.repository.directory().iter().filter(shares).map(|other| other.webhook_id).collect()
    }

    async fn disable(self: &Arc<Self>, asked: &Recipient, reason: DisabledReason, attempt: &Attempt) {
        let (webhook, why, error) = (asked.webhook_id, reason.as_str(), attempt.error.as_deref());
        let intake = self.intake();
        match self.repository.webhook_disable(webhook, asked.revision, reason, error, intake.terms()).await {
            Ok(None) => {
                tracing::info!(webhook.id = %webhook, reason = why, "changed before its receiver answered: it stays as it is");
            }
            Ok(told) => {
                tracing::warn!(webhook.id = %webhook, reason = why, error, "webhook {webhook} is switched off: {why}");
                intake.take_all(told);
            }
            Err(error) => self.unchanged(webhook, &error),
        }
        self.release(&self.lanes.drain(webhook)).await;
    }

    async fn follow(&self, endpoint: &Endpoint, chat_id: i64) {
        let webhook = endpoint.recipient.webhook_id;
        let Ok(destination) = &endpoint.destination else { return };
        let moved = destination.target().clone().moved(chat_id);
        let address = Address { target: moved.to_json(), destination: moved.redacted(), details: moved.details() };
        match self.repository.webhook_move(webhook, endpoint.recipient.revision, &address).await {
            Ok(is_stored) => tracing::info!(webhook.id = %webhook, chat_id, is_stored, "the chat has a new id"),
            Err(error) => return self.unchanged(webhook, &error),
        }
        if let Err(error) = self.repository.directory_refresh().await {
            self.unchanged(webhook, &error);
        }
    }

    fn unchanged(&self, webhook: WebhookId, error: &kos_repository::Error) {
        tracing::warn!(webhook.id = %webhook, error = %Chain(error), "webhook {webhook} could not be changed");
    }
}

fn fault(error: String) -> Attempt {
    Attempt {
        outcome: Outcome::Fault,
        pause: None,
        status: None,
        response: None,
        error: Some(error),
        duration: Duration::ZERO,
    }
}

fn tell(claimed: &Claimed, number: u32, attempt: &Attempt) {
    let platform = claimed.recipient.webhook_type.as_str();
    let outcome = attempt.outcome.as_str();
    metrics::counter!("kos_attempts_total", "platform" => platform, "outcome" => outcome).increment(1);
    metrics::histogram!("kos_attempt_seconds", "platform" => platform).record(attempt.duration.as_secs_f64());
    let duration_ms = u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX);
    let (delivery, webhook) = (claimed.id, claimed.recipient.webhook_id);
    if attempt.outcome == Outcome::Delivered {
        tracing::debug!(delivery.id = %delivery, webhook.id = %webhook, event = %claimed.event.event_type,
            attempt = number, duration_ms, "delivered to {platform}");
    } else {
        tracing::warn!(delivery.id = %delivery, webhook.id = %webhook, event = %claimed.event.event_type,
            attempt = number, duration_ms, outcome, status = attempt.status, error = attempt.error,
            "not delivered to {platform}");
    }
}
