//! One attempt: send, decide, tell the recorder.

use std::time::Duration;

use kos_model::{Attempt, Outcome};
use kos_repository::{Claimed, Finished};
use kos_webhooks::{Message, Target};

use crate::engine::Shared;
use crate::lane::Leased;
use crate::policy::{Effect, decide};
use crate::recorder::{Chain, Note};

impl Shared {
    /// Sends to one webhook until its lane has nothing more in memory.
    pub(crate) async fn work(&self, first: Leased) {
        let webhook = first.claimed.recipient.webhook_id;
        let mut next = Some(first);
        while let Some(leased) = next {
            if self.may_begin(&leased) {
                self.attempt(leased.claimed).await;
            } else {
                self.release(&[leased]).await;
            }
            let wants;
            (next, wants) = self.lanes.next(webhook);
            if wants {
                self.wake.notify_one();
            }
        }
    }

    /// An attempt must end while its lease holds, and none begins during a shutdown.
    fn may_begin(&self, leased: &Leased) -> bool {
        let needed = self.settings.attempt + self.settings.margin;
        !self.stop.is_cancelled() && leased.since.elapsed() + needed <= self.settings.lease
    }

    async fn attempt(&self, claimed: Claimed) {
        let number = claimed.attempts.saturating_add(1);
        let attempt = self.send(&claimed).await;
        let settings = &self.settings;
        let jitter = (self.surroundings.jitter)();
        let (next, effect) = decide(&attempt.outcome, number, &settings.schedule, settings.fault_wait, jitter);
        tell(&claimed, number, &attempt);
        self.apply(&claimed, effect).await;
        let report = Note::Finished(Box::new(Finished { claimed, attempt, next }));
        if self.notes.send(report).await.is_err() {
            tracing::error!("the recorder is gone: this outcome is lost and the delivery will be repeated");
        }
    }

    async fn send(&self, claimed: &Claimed) -> Attempt {
        let target = match &claimed.recipient.target {
            Ok(stored) => Target::from_json(claimed.recipient.webhook_type, stored).map_err(|error| error.to_string()),
            Err(reason) => Err(reason.clone()),
        };
        let target = match target {
            Ok(target) => target,
            Err(reason) => return fault(reason),
        };
        let id = Message::id_of(claimed.event.id, claimed.recipient.webhook_id);
        let message = Message {
            event: &claimed.event,
            locale: claimed.recipient.locale,
            id: &id,
            sent_at: (self.surroundings.now)(),
        };
        self.sender.send(&target, &message).await
    }

    /// What the outcome means for the webhook is written before what it means for the delivery: a
    /// crash in between repeats the attempt and loses nothing.
    async fn apply(&self, claimed: &Claimed, effect: Effect) {
        let webhook = claimed.recipient.webhook_id;
        let applied = match effect {
            Effect::None => return,
            Effect::Hold(wait) => {
                self.release(&self.lanes.hold(webhook, wait)).await;
                self.repository.webhook_hold(webhook, wait.as_secs_f64()).await
            }
            Effect::Disable(reason) => {
                tracing::warn!(webhook.id = %webhook, reason, "webhook {webhook} is switched off: {reason}");
                self.repository.webhook_disable(webhook, reason).await.map(|_changed| ())
            }
            Effect::Move(chat_id) => self.follow(claimed, chat_id).await,
        };
        if let Err(error) = applied {
            tracing::warn!(webhook.id = %webhook, error = %Chain(&error), "webhook {webhook} could not be changed");
        }
    }

    async fn follow(&self, claimed: &Claimed, chat_id: i64) -> kos_repository::Result<()> {
        let recipient = &claimed.recipient;
        let Ok(stored) = &recipient.target else { return Ok(()) };
        let Ok(target) = Target::from_json(recipient.webhook_type, stored) else { return Ok(()) };
        let moved = target.moved(chat_id);
        tracing::info!(webhook.id = %recipient.webhook_id, chat_id, "the chat moved; its new id is stored");
        self.repository.webhook_move(recipient.webhook_id, &moved.to_json(), &moved.redacted()).await
    }
}

fn fault(error: String) -> Attempt {
    Attempt { outcome: Outcome::Fault, status: None, response: None, error: Some(error), duration: Duration::ZERO }
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
