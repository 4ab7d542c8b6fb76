//! Webhooks that are not in perfect health, so that their next success is news.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use kos_model::WebhookId;

/// As the database had it a moment ago, and what this server has seen since.
#[derive(Debug, Default)]
pub(crate) struct Ailing(RwLock<HashSet<WebhookId>>);

impl Ailing {
    pub(crate) fn contains(&self, webhook: WebhookId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&webhook)
    }

    pub(crate) fn add(&self, webhooks: impl Iterator<Item = WebhookId>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(webhooks);
    }

    pub(crate) fn replace(&self, webhooks: Vec<WebhookId>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = webhooks.into_iter().collect();
    }
}
