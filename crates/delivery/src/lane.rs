//! Lanes: for each webhook, how much is on its way and what waits in memory behind it.
//!
//! A lane knows nothing of the database or of sending. It exists only while it has work.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kos_model::WebhookId;
use kos_repository::{Claimed, Room};

/// A claimed delivery and the moment before its lease began.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) claimed: Claimed,
    pub(crate) since: Instant,
}

/// All lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    in_flight: u32,
    backlog: u32,
    lanes: Mutex<HashMap<WebhookId, Lane>>,
}

#[derive(Debug, Default)]
struct Lane {
    in_flight: u32,
    queue: VecDeque<Leased>,
    held_until: Option<Instant>,
    /// The last claim left more of this lane in the database.
    hungry: bool,
}

/// What to do with a delivery that was offered.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Begin at once.
    Begin(Leased),
    /// It waits behind others.
    Queued,
    /// There is no room, or the lane is held: give it back.
    Refused(Leased),
}

impl Lanes {
    pub(crate) fn new(in_flight: u32, backlog: u32) -> Self {
        Self { in_flight, backlog, lanes: Mutex::default() }
    }

    /// Offers a delivery to its lane. After [`Entry::Begin`] the caller owes a [`Self::next`].
    pub(crate) fn enter(&self, leased: Leased) -> Entry {
        let mut lanes = self.lock();
        let lane = lanes.entry(leased.claimed.recipient.webhook_id).or_default();
        if lane.is_held() {
            return Entry::Refused(leased);
        }
        if lane.in_flight < self.in_flight {
            lane.in_flight += 1;
            return Entry::Begin(leased);
        }
        if lane.waiting() < self.backlog {
            lane.queue.push_back(leased);
            return Entry::Queued;
        }
        Entry::Refused(leased)
    }

    /// The next delivery of the lane, for a place that has become free; without one the place is
    /// given up. The flag says that the lane wants more from the database.
    pub(crate) fn next(&self, webhook: WebhookId) -> (Option<Leased>, bool) {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(&webhook) else { return (None, false) };
        let next = lane.queue.pop_front();
        let wants = lane.hungry && lane.waiting() <= self.backlog / 2;
        lane.hungry &= !wants;
        if next.is_none() {
            lane.in_flight = lane.in_flight.saturating_sub(1);
            if lane.in_flight == 0 && !lane.is_held() {
                lanes.remove(&webhook);
            }
        }
        (next, wants)
    }

    /// Sends nothing to the webhook for `wait`; returns what was waiting for it.
    pub(crate) fn hold(&self, webhook: WebhookId, wait: Duration) -> Vec<Leased> {
        let mut lanes = self.lock();
        let lane = lanes.entry(webhook).or_default();
        lane.held_until = lane.held_until.max(Some(Instant::now() + wait));
        lane.queue.drain(..).collect()
    }

    /// Everything that has not begun.
    pub(crate) fn take_queued(&self) -> Vec<Leased> {
        self.lock().values_mut().flat_map(|lane| lane.queue.drain(..)).collect()
    }

    /// The free places of the lanes that exist, and of every other lane.
    pub(crate) fn rooms(&self) -> (Vec<Room>, u32) {
        let mut lanes = self.lock();
        lanes.retain(|_, lane| lane.in_flight > 0 || lane.is_held());
        let cap = self.in_flight + self.backlog;
        let room = |(id, lane): (&WebhookId, &Lane)| Room { webhook_id: *id, free: lane.free(cap) };
        (lanes.iter().map(room).collect(), cap)
    }

    /// Lanes that can take no more.
    pub(crate) fn full(&self) -> Vec<WebhookId> {
        let cap = self.in_flight + self.backlog;
        self.lock().iter().filter(|(_, lane)| lane.free(cap) == 0).map(|(id, _)| *id).collect()
    }

    /// Notes that the last claim took all there was room for, so that there may be more.
    pub(crate) fn mark_hungry(&self) {
        let cap = self.in_flight + self.backlog;
        for lane in self.lock().values_mut() {
            lane.hungry = lane.free(cap) == 0 && !lane.is_held();
        }
    }

    /// Messages on their way now.
    pub(crate) fn in_flight(&self) -> u32 {
        self.lock().values().map(|lane| lane.in_flight).sum()
    }

    /// A panic while holding the lock leaves counters that are still sound.
    fn lock(&self) -> MutexGuard<'_, HashMap<WebhookId, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn waiting(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }

    fn is_held(&self) -> bool {
        self.held_until.is_some_and(|until| until > Instant::now())
    }

    fn free(&self, cap: u32) -> u32 {
        if self.is_held() { 0 } else { cap.saturating_sub(self.in_flight.saturating_add(self.waiting())) }
    }
}
