//! The loop that finds what is due and not in hand: retries, what a dead process left, what was born
//! without a lease. Polling is the truth; wake-ups only make it sooner.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use kos_model::WebhookId;
use kos_repository::{Breaker, Chain, Directory, GovernedLane, Places, Recipient, Tier, WaitingLane};
use tokio::time::sleep;

use crate::engine::Shared;

/// What to ask the database for.
#[derive(Debug, Default)]
struct Wants {
    places: Vec<Places>,
    governed: Vec<GovernedLane>,
    total: u32,
    /// Lanes that have more due than there is room for.
    hungry: HashSet<WebhookId>,
}

impl Shared {
    pub(crate) async fn claim_for_ever(self: Arc<Self>) {
        let (shortest, longest) = self.settings.poll;
        let mut wait = shortest;
        let mut away = false;
        while !self.stop.is_cancelled() {
            match self.claim().await {
                Ok(claimed) => {
                    if away {
                        tracing::info!("the database is back; deliveries go on");
                    }
                    away = false;
                    wait = if claimed > 0 { shortest } else { (wait * 2).min(longest) };
                }
                Err(error) => {
                    if !away {
                        tracing::warn!(error = %Chain(&error), "deliveries wait for the database");
                    }
                    away = true;
                    wait = longest;
                }
            }
            metrics::gauge!("kos_in_flight").set(self.lanes.in_flight());
            tokio::select! {
                () = sleep(wait) => {}
                () = self.wake.notified() => sleep(shortest / 10).await,
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Takes what is due and there is room for; returns how many deliveries.
    pub(crate) async fn claim(self: &Arc<Self>) -> kos_repository::Result<usize> {
        let since = Instant::now();
        let directory = self.repository.directory_refresh().await?;
        let is_on = |webhook| directory.get(webhook).is_some_and(|recipient| recipient.enabled);
        self.release(&self.lanes.drain_unless(is_on)).await;
        let waiting = self.repository.delivery_lanes().await?;
        self.lanes.sync(&waiting, since);
        let wants = self.wants(&directory, &waiting);
        let lease = self.settings.lease;
        let mint = self.mint();
        let mut claimed = self.repository.delivery_claim(&wants.places, lease, &mint).await?;
        if !wants.governed.is_empty() {
            match self.repository.delivery_claim_governed(&wants.governed, lease, &mint).await {
                Ok(governed) => claimed.extend(governed),
                Err(error) => tracing::warn!(error = %Chain(&error), "limited webhooks wait for the database"),
            }
        }
        let count = claimed.len();
        let refused = self.enter(claimed, since);
        self.release(&refused).await;
        self.lanes.mark_hungry(&wants.hungry);
        Ok(count)
    }

    /// Asks for what each lane has room for, but of each for no more than its part of a claim; and where even
    /// so not everybody has a turn, the next claim begins where this one ended.
    fn wants(&self, directory: &Directory, waiting: &[WaitingLane]) -> Wants {
        let is_due = |lane: &&WaitingLane| lane.closed_for.is_none() && (lane.first || lane.again);
        let due: Vec<&WaitingLane> = waiting.iter().filter(is_due).collect();
        let most = (self.settings.claim / u32::try_from(due.len().max(1)).unwrap_or(u32::MAX)).max(1);
        let room = |recipient: &Recipient, tier| self.lanes.free(recipient, tier).min(most);
        let mut next = self.next_lane.lock().unwrap_or_else(PoisonError::into_inner);
        let first = next.take().map_or(0, |next| due.partition_point(|lane| lane.webhook_id < next));
        let mut wants = Wants::default();
        for lane in due.iter().cycle().skip(first).take(due.len()) {
            if wants.total >= self.settings.claim {
                *next = Some(lane.webhook_id);
                break;
            }
            let Some(recipient) = directory.get(lane.webhook_id).filter(|recipient| recipient.enabled) else {
                continue;
            };
            if recipient.is_governed() || lane.breaker != Breaker::Closed {
                wants.governed(recipient, lane, room(recipient, Tier::First));
            } else {
                wants.free(recipient, lane.first, Tier::First, room(recipient, Tier::First));
                wants.free(recipient, lane.again, Tier::Again, room(recipient, Tier::Again));
            }
        }
        wants
    }
}

impl Wants {
    fn free(&mut self, recipient: &Recipient, is_due: bool, tier: Tier, count: u32) {
        if !is_due {
            return;
        }
        if count > 0 {
            self.places.push(Places { webhook_id: recipient.webhook_id, tier, count });
            self.total += count;
        }
        self.hungry.insert(recipient.webhook_id);
    }

    fn governed(&mut self, recipient: &Recipient, lane: &WaitingLane, room: u32) {
        let count = if lane.breaker == Breaker::Closed { room } else { room.min(1) };
        if count > 0 {
            let (ordered, rate_limit) = (recipient.policy.ordered, recipient.policy.rate_limit);
            self.governed.push(GovernedLane { webhook_id: recipient.webhook_id, count, ordered, rate_limit });
            self.total += count;
        }
        self.hungry.insert(recipient.webhook_id);
    }
}
