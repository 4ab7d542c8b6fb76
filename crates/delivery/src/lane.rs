//! Lanes: for each webhook, how much is on its way, what waits in memory behind it, and whether it may be
//! sent to at all.
//!
//! A lane knows nothing of the database or of sending. It exists only while there is something to know.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kos_model::{DeliveryId, WebhookId};
use kos_repository::{Breaker, Claimed, Recipient, Tier, WaitingLane};

use crate::settings::{BreakerRule, Settings};
use crate::window::Window;

/// Of ten places that become free, those that go to what comes again, while something comes for the first time.
const TURNS_OF_AGAIN: [u8; 3] = [2, 5, 8];

/// A claimed delivery and the moment before its lease began.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) claimed: Claimed,
    pub(crate) since: Instant,
}

impl Leased {
    pub(crate) fn webhook(&self) -> WebhookId {
        self.claimed.recipient.webhook_id
    }

    fn bytes(&self) -> usize {
        self.claimed.event.payload.as_str().len()
    }

    /// Whether it must not overtake anything.
    pub(crate) fn is_ordered(&self) -> bool {
        self.claimed.recipient.policy.ordered
    }

    /// Where it queues. In an order, nothing comes before anything else.
    pub(crate) fn tier(&self) -> Tier {
        if self.is_ordered() { Tier::First } else { self.claimed.tier }
    }
}

/// All lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    backlog: u32,
    queued: (u32, usize),
    /// Messages on their way at the same time, at the most.
    most: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lanes: HashMap<WebhookId, Lane>,
    in_flight: u32,
    queued: u32,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Lane {
    in_flight: u32,
    /// Of those on their way, the ones that come again.
    again_in_flight: u32,
    first: VecDeque<Leased>,
    again: VecDeque<Leased>,
    cap: u32,
    turn: u8,
    gate: Gate,
    /// When the gate was last moved here, which the database may not know of yet.
    moved: Option<Moved>,
    window: Window,
    /// What was claimed before then must go back: something before it in the order has failed.
    not_before: Option<Instant>,
    /// The last claim left more of this lane in the database.
    hungry: bool,
    /// Of the webhook, when something last came for it.
    revision: i64,
}

/// How long a claim can be on its way from the database to its lane.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// Whether a lane may be sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    /// Not before then.
    Held(Instant),
    /// Not before the database says so.
    Broken,
    /// What the database hands out, one at a time.
    Probing,
}

#[derive(Clone, Copy, Debug)]
enum Moved {
    /// The database is being told.
    Unwritten,
    /// The database knows since then.
    Written(Instant),
}

/// What to do with a delivery that was offered.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Begin at once.
    Begin(Leased),
    /// It waits behind others.
    Queued,
    /// There is no room, or the lane is closed: give it back.
    Refused(Leased),
}

/// How an attempt bears on its lane's breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bearing {
    /// The receiver did its work.
    Well,
    /// The receiver failed.
    Ill,
    /// Neither: it asked for time, or the fault was ours.
    None,
}

impl Lanes {
    pub(crate) fn new(settings: &Settings) -> Self {
        let most = u32::try_from(settings.in_flight).unwrap_or(u32::MAX);
        Self { backlog: settings.backlog, queued: settings.queued, most, state: Mutex::default() }
    }

    /// How many of a lane's messages may be on their way, beside its cap. Once half of all places are taken
    /// each lane gets a hundredth of what is left, so that hundreds of receivers that hang leave one for
    /// the others.
    const fn share(&self, in_flight: u32) -> u32 {
        if in_flight < self.most / 2 {
            return u32::MAX;
        }
        let part = self.most.saturating_sub(in_flight) / 100;
        if part == 0 { 1 } else { part }
    }

    /// How much may wait in memory behind a lane's places: less and less once half of the memory is taken, so
    /// that no number of slow lanes takes all of it. A place that is free takes a delivery in any case.
    fn backlog(&self, state: &State) -> u32 {
        let (count, bytes) = self.queued;
        let of_count = part(self.backlog, u64::from(count), u64::from(state.queued));
        let wide = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        of_count.min(part(self.backlog, wide(bytes), wide(state.bytes)))
    }

    /// Offers a delivery to its lane. After [`Entry::Begin`] the caller owes a [`Self::next`].
    pub(crate) fn enter(&self, leased: Leased) -> Entry {
        let mut state = self.lock();
        let (share, backlog) = (self.share(state.in_flight), self.backlog(&state));
        let lane = state.lanes.entry(leased.webhook()).or_default();
        lane.cap = leased.claimed.recipient.policy.in_flight();
        lane.heed(leased.claimed.recipient.revision);
        if !lane.is_open() || lane.not_before.is_some_and(|failed| leased.since <= failed) {
            return Entry::Refused(leased);
        }
        let tier = leased.tier();
        if lane.may_begin(tier, share) {
            lane.begin(tier);
            state.in_flight += 1;
            return Entry::Begin(leased);
        }
        if lane.free(tier, backlog) > 0 {
            let bytes = leased.bytes();
            lane.queue(tier).push_back(leased);
            state.queued += 1;
            state.bytes += bytes;
            return Entry::Queued;
        }
        Entry::Refused(leased)
    }

    /// The next delivery of the lane, for a place that a delivery of this tier has left; without one the
    /// place is given up. The flag says that the lane wants more from the database.
    pub(crate) fn next(&self, webhook: WebhookId, left: Tier) -> (Option<Leased>, bool) {
        let mut state = self.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        let share = self.share(state.in_flight);
        let Some(lane) = state.lanes.get_mut(&webhook) else { return (None, false) };
        lane.leave(left);
        let next = lane.pick(share);
        let wants = lane.hungry && lane.waiting() <= self.backlog / 2;
        lane.hungry &= !wants;
        if let Some(leased) = &next {
            state.in_flight += 1;
            state.queued = state.queued.saturating_sub(1);
            state.bytes = state.bytes.saturating_sub(leased.bytes());
        } else if lane.is_forgettable() {
            state.lanes.remove(&webhook);
        }
        (next, wants)
    }

    /// Sends nothing to the webhook for `wait`; returns what was waiting for it. The caller owes a
    /// [`Self::written`] once the database knows.
    pub(crate) fn hold(&self, webhook: WebhookId, wait: Duration) -> Vec<Leased> {
        let until = Instant::now() + wait;
        self.close(webhook, |gate| match gate {
            Gate::Held(before) => Gate::Held(before.max(until)),
            Gate::Open | Gate::Probing => Gate::Held(until),
            Gate::Broken => Gate::Broken,
        })
    }

    /// Sends nothing to the webhook until the database says so; returns what was waiting for it. The
    /// caller owes a [`Self::written`] once the database knows.
    pub(crate) fn trip(&self, webhook: WebhookId) -> Vec<Leased> {
        self.close(webhook, |_| Gate::Broken)
    }

    /// The database knows of what was done to the webhook's gate, or will never know.
    pub(crate) fn written(&self, webhook: WebhookId) {
        if let Some(lane) = self.lock().lanes.get_mut(&webhook) {
            lane.moved = Some(Moved::Written(Instant::now()));
        }
    }

    fn close(&self, webhook: WebhookId, to: impl FnOnce(Gate) -> Gate) -> Vec<Leased> {
        let mut state = self.lock();
        let lane = state.lanes.entry(webhook).or_default();
        lane.gate = to(lane.gate);
        lane.moved = Some(Moved::Unwritten);
        lane.window.clear();
        state.drain(webhook)
    }

    /// What comes after a failure in an order: it waits in memory, or is on its way there.
    pub(crate) fn turn_back(&self, webhook: WebhookId) -> Vec<Leased> {
        let mut state = self.lock();
        state.lanes.entry(webhook).or_default().not_before = Some(Instant::now());
        state.drain(webhook)
    }

    /// What waits in memory for a webhook.
    pub(crate) fn drain(&self, webhook: WebhookId) -> Vec<Leased> {
        self.lock().drain(webhook)
    }

    /// Everything that has not begun.
    pub(crate) fn drain_all(&self) -> Vec<Leased> {
        let mut state = self.lock();
        let webhooks: Vec<_> = state.lanes.keys().copied().collect();
        webhooks.into_iter().flat_map(|webhook| state.drain(webhook)).collect()
    }

    /// Notes how an attempt went; says whether the breaker must open.
    pub(crate) fn fared(&self, webhook: WebhookId, bearing: Bearing, rule: &BreakerRule) -> bool {
        let mut state = self.lock();
        let Some(lane) = state.lanes.get_mut(&webhook) else { return false };
        match (bearing, lane.gate) {
            (Bearing::None, _) | (_, Gate::Broken) => false,
            // One failed probe is enough.
            (Bearing::Ill, Gate::Probing) => true,
            (_, Gate::Open | Gate::Held(_) | Gate::Probing) => {
                lane.window.note(bearing == Bearing::Well, Instant::now(), rule)
            }
        }
    }

    /// Sets the gates as the database has them, for what was asked of it after `since`.
    pub(crate) fn sync(&self, waiting: &[WaitingLane], since: Instant) {
        let mut state = self.lock();
        for seen in waiting {
            let gate = match (seen.breaker, seen.closed_for) {
                (Breaker::Open, _) => Gate::Broken,
                (_, Some(wait)) => Gate::Held(since + wait),
                (Breaker::HalfOpen, None) => Gate::Probing,
                (Breaker::Closed, None) => Gate::Open,
            };
            match state.lanes.get_mut(&seen.webhook_id) {
                Some(lane) if lane.knows_better(since) => {}
                Some(lane) => lane.gate = gate,
                None if gate != Gate::Open => {
                    state.lanes.insert(seen.webhook_id, Lane { gate, ..Lane::default() });
                }
                None => {}
            }
        }
        state.lanes.retain(|_, lane| !lane.is_forgettable());
    }

    /// How many more deliveries of a tier a lane takes.
    pub(crate) fn free(&self, recipient: &Recipient, tier: Tier) -> u32 {
        let state = self.lock();
        let (cap, backlog) = (recipient.policy.in_flight(), self.backlog(&state));
        match state.lanes.get(&recipient.webhook_id) {
            Some(lane) if !lane.is_open() => 0,
            Some(lane) => lane.free(tier, backlog),
            None => Lane { cap, ..Lane::default() }.free(tier, backlog),
        }
    }

    /// For how many newborn deliveries each lane has room, and for how many beyond its places one that is not named.
    pub(crate) fn room(&self) -> (HashMap<WebhookId, u32>, u32) {
        let state = self.lock();
        let backlog = self.backlog(&state);
        let room = |lane: &Lane| if lane.is_wide_open() { lane.free(Tier::First, backlog) } else { 0 };
        (state.lanes.iter().map(|(id, lane)| (*id, room(lane))).collect(), backlog)
    }

    /// What waits in memory for webhooks that are not wanted any more.
    pub(crate) fn drain_unless(&self, is_wanted: impl Fn(WebhookId) -> bool) -> Vec<Leased> {
        let mut state = self.lock();
        let is_unwanted = |(id, lane): &(&WebhookId, &Lane)| lane.waiting() > 0 && !is_wanted(**id);
        let unwanted: Vec<WebhookId> = state.lanes.iter().filter(is_unwanted).map(|(id, _)| *id).collect();
        unwanted.into_iter().flat_map(|webhook| state.drain(webhook)).collect()
    }

    /// Takes one delivery out of what waits in memory.
    pub(crate) fn take(&self, id: DeliveryId) -> Option<Leased> {
        let mut state = self.lock();
        let taken = state.lanes.values_mut().find_map(|lane| {
            [Tier::First, Tier::Again].into_iter().find_map(|tier| {
                let queue = lane.queue(tier);
                let place = queue.iter().position(|leased| leased.claimed.id == id)?;
                queue.remove(place)
            })
        })?;
        state.queued = state.queued.saturating_sub(1);
        state.bytes = state.bytes.saturating_sub(taken.bytes());
        Some(taken)
    }

    /// Notes which lanes the last claim left more of in the database.
    pub(crate) fn mark_hungry(&self, hungry: &HashSet<WebhookId>) {
        for (id, lane) in &mut self.lock().lanes {
            lane.hungry = hungry.contains(id);
        }
    }

    /// Messages on their way now.
    pub(crate) fn in_flight(&self) -> u32 {
        self.lock().in_flight
    }

    /// A panic while holding the lock leaves counters that are still sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of it while at least half of the room is free, and from then on as much less as there is less room.
fn part(all: u32, room: u64, taken: u64) -> u32 {
    let free = room.saturating_sub(taken).saturating_mul(2).min(room);
    let part = u64::from(all).saturating_mul(free).checked_div(room).unwrap_or_default();
    u32::try_from(part).unwrap_or(all)
}

impl State {
    fn drain(&mut self, webhook: WebhookId) -> Vec<Leased> {
        let Some(lane) = self.lanes.get_mut(&webhook) else { return Vec::new() };
        let drained: Vec<Leased> = lane.first.drain(..).chain(lane.again.drain(..)).collect();
        self.queued = self.queued.saturating_sub(u32::try_from(drained.len()).unwrap_or(u32::MAX));
        self.bytes = self.bytes.saturating_sub(drained.iter().map(Leased::bytes).sum());
        drained
    }
}

impl Lane {
    const fn queue(&mut self, tier: Tier) -> &mut VecDeque<Leased> {
        match tier {
            Tier::First => &mut self.first,
            Tier::Again => &mut self.again,
        }
    }

    /// What was seen of a webhook that has changed since says nothing of what it is now.
    fn heed(&mut self, revision: i64) {
        if self.revision != revision {
            self.revision = revision;
            self.window.clear();
        }
    }

    fn waiting(&self) -> u32 {
        u32::try_from(self.first.len() + self.again.len()).unwrap_or(u32::MAX)
    }

    /// Half of the places are kept free of what comes again, so that what comes first finds one.
    fn again_cap(&self) -> u32 {
        (self.cap / 2).max(1)
    }

    fn may_begin(&self, tier: Tier, share: u32) -> bool {
        self.in_flight < self.cap.min(share) && (tier == Tier::First || self.again_in_flight < self.again_cap())
    }

    fn begin(&mut self, tier: Tier) {
        self.in_flight += 1;
        self.again_in_flight += u32::from(tier == Tier::Again);
    }

    fn leave(&mut self, tier: Tier) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.again_in_flight = self.again_in_flight.saturating_sub(u32::from(tier == Tier::Again));
    }

    /// What goes next: mostly what comes for the first time.
    fn pick(&mut self, share: u32) -> Option<Leased> {
        let prefers_again = TURNS_OF_AGAIN.contains(&self.turn);
        let may = |tier: Tier, lane: &mut Self| lane.may_begin(tier, share) && !lane.queue(tier).is_empty();
        let order = if prefers_again { [Tier::Again, Tier::First] } else { [Tier::First, Tier::Again] };
        let tier = order.into_iter().find(|tier| may(*tier, self))?;
        self.turn = (self.turn + 1) % 10;
        self.begin(tier);
        self.queue(tier).pop_front()
    }

    fn is_open(&self) -> bool {
        match self.gate {
            Gate::Open | Gate::Probing => true,
            Gate::Broken => false,
            Gate::Held(_) => self.is_released(),
        }
    }

    fn is_released(&self) -> bool {
        matches!(self.gate, Gate::Held(until) if until <= Instant::now())
    }

    /// Whether anything may go, and not what the database hands out alone.
    fn is_wide_open(&self) -> bool {
        self.gate == Gate::Open || self.is_released()
    }

    /// Whether the gate was moved here after the database was asked.
    fn knows_better(&self, asked: Instant) -> bool {
        match self.moved {
            None => false,
            Some(Moved::Unwritten) => true,
            Some(Moved::Written(at)) => at >= asked,
        }
    }

    fn is_forgettable(&self) -> bool {
        let is_idle = self.in_flight == 0 && self.waiting() == 0;
        let is_settled = self.not_before.is_none_or(|failed| failed.elapsed() > UNDER_WAY);
        is_idle
            && self.is_wide_open()
            && is_settled
            && self.window.is_spotless()
            && !matches!(self.moved, Some(Moved::Unwritten))
    }

    fn free(&self, tier: Tier, backlog: u32) -> u32 {
        let places = self.cap.saturating_sub(self.in_flight);
        let waiting = |queue: &VecDeque<Leased>| u32::try_from(queue.len()).unwrap_or(u32::MAX);
        match tier {
            Tier::First => (places + backlog).saturating_sub(waiting(&self.first)),
            Tier::Again => {
                let places = places.min(self.again_cap().saturating_sub(self.again_in_flight));
                (places + backlog / 2).saturating_sub(waiting(&self.again))
            }
        }
    }
}
