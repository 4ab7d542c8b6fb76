//! What has to be seen to from time to time: our standing as a holder, the dead, webhooks in trouble,
//! replays, days, keys. Every step is a transaction that any server may take; whoever comes first does it.

use std::sync::Arc;
use std::time::Duration;

use kos_repository::{Chain, Emitted, Holder, Result};
use tokio::time::{Instant, sleep_until};

use crate::engine::Shared;

/// Between two looks at what may be urgent.
const OFTEN: Duration = Duration::from_secs(1);
/// So many looks at what may be urgent for one at what has come without a place in its order.
const LOOKS_FOR_STRAYS: u64 = 10;
/// Between two looks at days and keys.
const RARELY: Duration = Duration::from_secs(60 * 60);
/// Secrets that are sealed anew in one transaction.
const RESEALED_AT_ONCE: u32 = 500;

impl Shared {
    /// Keeps our standing until the engine stops. It is given back then and not ended: what is still on
    /// its way is ours until it has arrived.
    pub(crate) async fn stand(self: Arc<Self>, mut holder: Holder) -> Holder {
        while !self.pause(OFTEN).await {
            if holder.is_standing().await {
                continue;
            }
            match self.stand_again(&mut holder).await {
                Ok(true) => tracing::debug!("our standing as a holder of leases is back"),
                Ok(false) => {
                    tracing::warn!("others took our leases while the database was out of reach; they are sent again");
                }
                Err(error) => tracing::debug!(error = %Chain(&error), "our standing as a holder of leases is lost"),
            }
        }
        holder
    }

    /// Whether our leases are still ours; otherwise what has not begun is forgotten, others have it.
    async fn stand_again(&self, holder: &mut Holder) -> Result<bool> {
        if self.repository.holder_return(holder).await? {
            return Ok(true);
        }
        *holder = self.repository.holder_enlist().await?;
        self.set_mint(holder.mint());
        drop(self.lanes.drain_all());
        Ok(false)
    }

    /// Sees to what may be urgent until the engine stops.
    pub(crate) async fn see_to_the_urgent(self: Arc<Self>) {
        for look in 0_u64.. {
            if let Err(error) = self.urgent(look).await
                && !error.is_unavailable()
            {
                tracing::error!(error = %Chain(&error), "upkeep failed; it is tried again");
            }
            if self.pause(OFTEN).await {
                return;
            }
        }
    }

    async fn urgent(self: &Arc<Self>, look: u64) -> Result<()> {
        let freed = self.repository.holder_reap().await?;
        if freed > 0 {
            tracing::info!(deliveries = freed, "a process died; what it held is free again");
            self.wake.notify_one();
        }
        while self.replay().await? {}
        while self.watch().await? {}
        self.ailing.replace(self.repository.webhook_ailing().await?);
        let directory = self.repository.directory();
        self.endpoints.retain(|webhook| directory.get(webhook).is_some());
        // Last, because it may take its time.
        if self.repository.delivery_place(look.is_multiple_of(LOOKS_FOR_STRAYS)).await? {
            self.wake.notify_one();
        }
        Ok(())
    }

    async fn replay(&self) -> Result<bool> {
        let Some(enqueued) = self.repository.replay_step().await? else { return Ok(false) };
        if enqueued > 0 {
            self.wake.notify_one();
        }
        Ok(true)
    }

    async fn watch(self: &Arc<Self>) -> Result<bool> {
        let intake = self.intake();
        let told: Option<Vec<Emitted>> = self.repository.webhook_watch(self.settings.failing, intake.terms()).await?;
        let Some(told) = told else { return Ok(false) };
        for emitted in &told {
            tracing::warn!(event = %emitted.event.event_type, payload = emitted.event.payload.as_str(), "told the others");
        }
        intake.take_all(told);
        Ok(true)
    }

    /// Sees to days and keys until the engine stops.
    pub(crate) async fn see_to_the_rest(self: Arc<Self>) {
        loop {
            let done = self.rest().await;
            let wait = if done.is_ok() { RARELY } else { OFTEN * 10 };
            if let Err(error) = done {
                tracing::warn!(error = %Chain(&error), "old data stays a little longer");
            }
            if self.pause(wait).await {
                return;
            }
        }
    }

    /// Days first; what becomes of them is nothing to the keys.
    async fn rest(&self) -> Result<()> {
        let days = self.keep_days().await;
        self.reseal().await.and(days)
    }

    async fn keep_days(&self) -> Result<()> {
        let kept = self.repository.partitions_keep((self.surroundings.now)(), self.settings.retention).await?;
        if kept.dropped + kept.expired + kept.orphans > 0 {
            tracing::info!(days = kept.dropped, expired = kept.expired, orphans = kept.orphans, "old data is gone");
        }
        Ok(())
    }

    async fn reseal(&self) -> Result<()> {
        let mut resealed = 0;
        loop {
            let webhooks = self.repository.webhook_reseal(RESEALED_AT_ONCE).await?;
            let answers = self.repository.answer_reseal(RESEALED_AT_ONCE).await?;
            resealed += webhooks + answers;
            if webhooks + answers == 0 {
                break;
            }
        }
        if resealed > 0 {
            tracing::info!(resealed, "secrets are sealed anew under the first of ENCRYPTION_KEYS");
        }
        Ok(())
    }

    /// Waits; says whether the engine stops.
    async fn pause(&self, wait: Duration) -> bool {
        tokio::select! {
            () = sleep_until(Instant::now() + wait) => false,
            () = self.stop.cancelled() => true,
        }
    }
}
