//! Webhooks in memory, for programs that embed this crate: who listens to what, and one attempt to
//! each. Keeps nothing on disk and tries nothing again; that is the delivery engine's work.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use kos_model::event::subscribed;
use kos_model::{Attempt, Event, EventFilter, EventId, EventType, Locale, Outcome, Payload, WebhookId};

use crate::message::Message;
use crate::sender::Sender;
use crate::target::Target;

/// A webhook: where to, and what it hears.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Where messages go.
    pub target: Target,
    /// Whether any are sent.
    pub enabled: bool,
    /// The events it hears; an empty list means all.
    pub events: Vec<EventFilter>,
    /// The language of its titles and labels.
    pub locale: Locale,
}

impl From<Target> for WebhookConfig {
    /// Enabled, for all events, in the default language.
    fn from(target: Target) -> Self {
        Self { target, enabled: true, events: Vec::new(), locale: Locale::default() }
    }
}

impl From<(Target, Vec<EventFilter>)> for WebhookConfig {
    fn from((target, events): (Target, Vec<EventFilter>)) -> Self {
        Self { events, ..Self::from(target) }
    }
}

/// Registers webhooks and tells them of events, all within one program's memory.
///
/// What a platform says about an address is heeded: a chat that moved is followed, an endpoint that
/// is gone or refuses our credential is switched off.
pub struct WebhookManager {
    sender: Sender,
    clock: fn() -> DateTime<Utc>,
    webhooks: RwLock<BTreeMap<WebhookId, WebhookConfig>>,
}

impl fmt::Debug for WebhookManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookManager").field("webhooks", &self.list().len()).finish_non_exhaustive()
    }
}

impl WebhookManager {
    /// A manager without webhooks, on the system's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "an embedding program has no clock to give; tests have with_clock")]
    pub fn new(sender: Sender) -> Self {
        Self::with_clock(sender, Utc::now)
    }

    /// A manager on a clock of one's own.
    #[must_use]
    pub fn with_clock(sender: Sender, clock: fn() -> DateTime<Utc>) -> Self {
        Self { sender, clock, webhooks: RwLock::default() }
    }

    /// Adds a webhook: a whole [`WebhookConfig`], or a target and its events.
    pub fn register_webhook(&self, config: impl Into<WebhookConfig>) -> WebhookId {
        let id = WebhookId::generate();
        self.change(|webhooks| webhooks.insert(id, config.into()));
        id
    }

    /// Removes a webhook; says whether there was one.
    pub fn unregister(&self, id: WebhookId) -> bool {
        self.change(|webhooks| webhooks.remove(&id).is_some())
    }

    /// All webhooks, in the order in which they were registered.
    #[must_use]
    pub fn list(&self) -> Vec<(WebhookId, WebhookConfig)> {
        let webhooks = self.webhooks.read().unwrap_or_else(PoisonError::into_inner);
        webhooks.iter().map(|(id, config)| (*id, config.clone())).collect()
    }

    /// Tells every enabled webhook that hears this event, all at once, one attempt each.
    ///
    /// The answer lists those webhooks in the order in which they were registered.
    pub async fn send_webhook(&self, event_type: &EventType, payload: impl Into<Payload>) -> Vec<(WebhookId, Attempt)> {
        let created_at = (self.clock)();
        let payload = payload.into();
        let event = Event { id: EventId::generate(), event_type: event_type.clone(), created_at, payload };
        let listeners = self.list().into_iter().filter(|(_, it)| it.enabled && subscribed(&it.events, event_type));
        join_all(listeners.map(|(id, config)| self.tell(id, config, &event))).await
    }

    async fn tell(&self, id: WebhookId, config: WebhookConfig, event: &Event) -> (WebhookId, Attempt) {
        let name = Message::id_of(event.id, id);
        let message = Message { event, locale: config.locale, id: &name, sent_at: (self.clock)() };
        let mut attempt = self.sender.send(&config.target, &message).await;
        if let Outcome::Moved { chat_id } = attempt.outcome {
            let target = config.target.moved(chat_id);
            attempt = self.sender.send(&target, &message).await;
            self.edit(id, |stored| stored.target = target);
        }
        if matches!(attempt.outcome, Outcome::Gone | Outcome::Unauthorized) {
            self.edit(id, |stored| stored.enabled = false);
        }
        (id, attempt)
    }

    fn edit(&self, id: WebhookId, edit: impl FnOnce(&mut WebhookConfig)) {
        self.change(|webhooks| webhooks.get_mut(&id).map(edit));
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<WebhookId, WebhookConfig>) -> T) -> T {
        change(&mut self.webhooks.write().unwrap_or_else(PoisonError::into_inner))
    }
}
