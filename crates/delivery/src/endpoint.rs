//! Webhooks made ready to be sent to, kept as long as they do not change.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use kos_model::WebhookId;
use kos_repository::Recipient;
use kos_webhooks::{Destination, Sender, Target};

/// A webhook that is ready.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) recipient: Arc<Recipient>,
    /// Where it leads; `Err` says why that cannot be known.
    pub(crate) destination: Result<Destination, String>,
}

/// Every webhook that was sent to.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(RwLock<HashMap<WebhookId, Arc<Endpoint>>>);

impl Endpoints {
    /// The webhook as it is now.
    pub(crate) fn ready(&self, recipient: &Arc<Recipient>, sender: &Sender) -> Arc<Endpoint> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&recipient.webhook_id).cloned();
        if let Some(known) = known.filter(|known| known.recipient.revision >= recipient.revision) {
            return known;
        }
        let endpoint = Arc::new(Endpoint::new(recipient, sender));
        let mut endpoints = self.0.write().unwrap_or_else(PoisonError::into_inner);
        endpoints.insert(recipient.webhook_id, Arc::clone(&endpoint));
        endpoint
    }

    /// Forgets webhooks that are no more.
    pub(crate) fn retain(&self, exists: impl Fn(WebhookId) -> bool) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|id, _| exists(*id));
    }
}

impl Endpoint {
    fn new(recipient: &Arc<Recipient>, sender: &Sender) -> Self {
        let target =
            recipient.target.as_ref().map_err(Clone::clone).and_then(|stored| {
                Target::from_json(recipient.webhook_type, stored).map_err(|error| error.to_string())
            });
        Self { recipient: Arc::clone(recipient), destination: target.map(|target| sender.prepare(target)) }
    }

    /// Whoever shares the platform's limits with this webhook.
    pub(crate) fn account(&self, sender: &Sender) -> Option<String> {
        self.destination.as_ref().ok()?.target().account(sender.platforms())
    }
}
