//! The engine's frame: what it is made of, how it begins, how it ends.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use kos_model::{DeliveryId, WebhookId};
use kos_repository::{Chain, Claimed, Emitted, Holder, LeaseTerms, NewEvent, Repository, TokenMint};
use kos_webhooks::Sender;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ailing::Ailing;
use crate::endpoint::Endpoints;
use crate::ingest::{self, Accepted, Offer};
use crate::lane::{Entry, Lanes, Leased};
use crate::recorder::{Note, Recorder};
use crate::settings::{Settings, Surroundings};

/// Outcomes that may wait for the recorder before senders wait too.
const NOTES: usize = 4_096;

/// Why the engine could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away.
    #[error("the engine cannot begin without its database")]
    Begin(#[source] kos_repository::Error),
    /// The database is away.
    #[error("deliveries could not be claimed")]
    Claim(#[source] kos_repository::Error),
    /// The engine has ended.
    #[error("the service is stopping")]
    Stopped,
    /// The event was not stored.
    #[error("the event could not be stored")]
    Ingest(#[source] Arc<kos_repository::Error>),
}

/// The running engine. Stop it with [`Self::shutdown`]; dropping it loses nothing either, but what
/// it holds then waits until another process notices.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    /// Ours until [`Self::start`]; then kept by a task of its own.
    holder: Option<Holder>,
    standing: Option<JoinHandle<Holder>>,
    claims: Option<JoinHandle<()>>,
    chores: Vec<JoinHandle<()>>,
    recorder: JoinHandle<()>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) repository: Repository,
    pub(crate) sender: Sender,
    pub(crate) settings: Settings,
    pub(crate) surroundings: Surroundings,
    pub(crate) lanes: Lanes,
    pub(crate) endpoints: Endpoints,
    pub(crate) ailing: Arc<Ailing>,
    pub(crate) permits: Semaphore,
    pub(crate) notes: mpsc::Sender<Note>,
    pub(crate) wake: Notify,
    pub(crate) stop: CancellationToken,
    mint: RwLock<TokenMint>,
    /// The webhook whose lane the last claim could not get to.
    pub(crate) next_lane: Mutex<Option<WebhookId>>,
    tasks: TaskTracker,
}

/// The engine as writers see it: what they commit, it sends at once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    offers: mpsc::Sender<Offer>,
}

/// One writer's promise to hand over what its change gives birth to.
#[derive(Debug)]
pub struct Intake {
    shared: Arc<Shared>,
    terms: LeaseTerms,
    since: Instant,
}

impl Handle {
    /// Stores an event with every delivery it causes, together with the events of others that come at
    /// the same time. Once this returns, it is on disk and on its way.
    ///
    /// # Errors
    /// The database is unavailable or refuses; then nothing is stored.
    pub async fn accept(&self, event: NewEvent) -> Result<Accepted, Error> {
        let (answer, stored) = oneshot::channel();
        self.offers.send(Offer { event, answer }).await.map_err(|_ended| Error::Stopped)?;
        stored.await.map_err(|_ended| Error::Stopped)?.map_err(Error::Ingest)
    }

    /// For a change of one's own: ask for this before the write, pass [`Intake::terms`] along with it,
    /// and give what it emitted to [`Intake::take`].
    #[must_use]
    pub fn intake(&self) -> Intake {
        self.shared.intake()
    }

    /// Messages on their way now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.shared.lanes.in_flight()
    }

    /// Has the engine look at the database now, because something there may have become due.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Gives up what waits in memory for a webhook, so that it is nobody's.
    pub async fn give_up(&self, webhook: WebhookId) {
        self.shared.release(&self.shared.lanes.drain(webhook)).await;
    }

    /// Gives up one delivery that waits in memory and is not begun; says whether it did.
    pub async fn give_up_one(&self, id: DeliveryId) -> bool {
        let Some(leased) = self.shared.lanes.take(id) else { return false };
        self.shared.release(&[leased]).await;
        true
    }

    /// The guarded client, for messages that somebody tries out by hand.
    #[must_use]
    pub fn sender(&self) -> &Sender {
        &self.shared.sender
    }

    /// The engine's numbers.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }
}

impl Intake {
    /// On what terms the database may lease deliveries to the engine.
    #[must_use]
    pub const fn terms(&self) -> &LeaseTerms {
        &self.terms
    }

    /// Sends what the write claimed.
    pub fn take(self, emitted: Emitted) {
        self.take_all([emitted]);
    }

    /// As [`Self::take`], for any number of events.
    pub fn take_all(self, emitted: impl IntoIterator<Item = Emitted>) {
        let mut all: Vec<Emitted> = emitted.into_iter().collect();
        self.take_from(&mut all);
    }

    pub(crate) fn take_from(self, emitted: &mut [Emitted]) {
        if emitted.iter().any(Emitted::leaves_some) {
            self.shared.wake.notify_one();
        }
        let claimed = emitted.iter_mut().flat_map(|emitted| std::mem::take(&mut emitted.claimed)).collect();
        let refused = self.shared.enter(claimed, self.since);
        if !refused.is_empty() {
            let shared = Arc::clone(&self.shared);
            self.shared.tasks.spawn(async move { shared.release(&refused).await });
        }
    }
}

impl Engine {
    /// An engine that sends what it is given. It looks at the database by itself only after
    /// [`Self::start`]. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn new(
        repository: Repository,
        sender: Sender,
        settings: Settings,
        surroundings: Surroundings,
    ) -> Result<Self, Error> {
        let holder = repository.holder_enlist().await.map_err(Error::Begin)?;
        repository.directory_refresh().await.map_err(Error::Begin)?;
        let (notes, inbox) = mpsc::channel(NOTES);
        let ailing = Arc::new(Ailing::default());
        ailing.replace(repository.webhook_ailing().await.map_err(Error::Begin)?);
        let closes_after = settings.breaker.closes_after;
        let recorder = Recorder { repository: repository.clone(), ailing: Arc::clone(&ailing), closes_after };
        let shared = Shared {
            repository,
            sender,
            lanes: Lanes::new(&settings),
            endpoints: Endpoints::default(),
            ailing,
            permits: Semaphore::new(settings.in_flight),
            settings,
            surroundings,
            notes,
            wake: Notify::new(),
            stop: CancellationToken::new(),
            mint: RwLock::new(holder.mint()),
            next_lane: Mutex::new(None),
            tasks: TaskTracker::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            holder: Some(holder),
            standing: None,
            claims: None,
            chores: Vec::new(),
            recorder: tokio::spawn(recorder.run(inbox)),
        })
    }

    /// Has the engine look for due deliveries, and see to everything else that is its business, from now
    /// on until it is shut down.
    pub fn start(&mut self) {
        let Some(holder) = self.holder.take() else { return };
        let shared = || Arc::clone(&self.shared);
        self.standing = Some(tokio::spawn(shared().stand(holder)));
        self.chores = vec![tokio::spawn(shared().see_to_the_urgent()), tokio::spawn(shared().see_to_the_rest())];
        self.claims = Some(tokio::spawn(shared().claim_for_ever()));
    }

    /// The engine as writers see it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        let (offers, inbox) = ingest::channel();
        tokio::spawn(ingest::run(Arc::clone(&self.shared), inbox));
        Handle { shared: Arc::clone(&self.shared), offers }
    }

    /// Delivers everything that is due now, and returns when nothing is left that is due.
    ///
    /// # Errors
    /// The database is away.
    pub async fn run_until_idle(&self) -> Result<(), Error> {
        loop {
            let claimed = self.shared.claim().await.map_err(Error::Claim)?;
            self.shared.tasks.close();
            self.shared.tasks.wait().await;
            self.shared.tasks.reopen();
            self.shared.flush().await;
            if claimed == 0 {
                return Ok(());
            }
        }
    }

    /// Stops claiming, lets finish what is on its way (as long as [`Settings::drain`] says), hands the
    /// rest back and writes down every outcome.
    pub async fn shutdown(self) {
        let Self { shared, holder, standing, claims, chores, recorder } = self;
        shared.stop.cancel();
        if let Some(claims) = claims {
            // A claim that is under way must end: what it took has to be handed back.
            let _ = claims.await;
        }
        let queued = shared.lanes.drain_all();
        shared.release(&queued).await;
        shared.tasks.close();
        if timeout(shared.settings.drain, shared.tasks.wait()).await.is_err() {
            tracing::warn!(in_flight = shared.lanes.in_flight(), "messages still on their way; they will be repeated");
        }
        if timeout(shared.settings.drain, shared.flush()).await.is_err() {
            tracing::warn!("the database is away: the last outcomes are not written, those messages will be repeated");
        }
        recorder.abort();
        for chore in chores {
            let _ = timeout(FAREWELL, chore).await;
        }
        let holder = match standing {
            Some(standing) => timeout(FAREWELL, standing).await.ok().and_then(Result::ok),
            None => holder,
        };
        if let Some(holder) = holder {
            // If it fails, others find our lock free, and nothing of ours.
            let _ = timeout(FAREWELL, holder.resign()).await;
        }
    }
}

/// How long a farewell to the database may take.
const FAREWELL: Duration = Duration::from_secs(2);

impl Shared {
    pub(crate) fn intake(self: &Arc<Self>) -> Intake {
        let mint = (!self.stop.is_cancelled()).then(|| self.mint());
        let (room, backlog) = self.lanes.room();
        let terms = LeaseTerms { mint, lease: self.settings.lease, room, backlog };
        Intake { shared: Arc::clone(self), terms, since: Instant::now() }
    }

    pub(crate) fn mint(&self) -> TokenMint {
        self.mint.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_mint(&self, mint: TokenMint) {
        *self.mint.write().unwrap_or_else(PoisonError::into_inner) = mint;
    }

    /// Starts or queues deliveries; returns those for which there is no room.
    pub(crate) fn enter(self: &Arc<Self>, claimed: Vec<Claimed>, since: Instant) -> Vec<Leased> {
        let mut refused: Vec<Leased> = Vec::new();
        // In an order nothing goes once something before it had to wait, even if there is room again.
        let mut closed = HashSet::new();
        for claimed in claimed {
            let leased = Leased { claimed, since };
            if self.stop.is_cancelled() || closed.contains(&leased.webhook()) {
                refused.push(leased);
                continue;
            }
            match self.lanes.enter(leased) {
                Entry::Begin(first) => {
                    let shared = Arc::clone(self);
                    self.tasks.spawn(async move { shared.work(first).await });
                }
                Entry::Queued => {}
                Entry::Refused(leased) => {
                    if leased.is_ordered() {
                        closed.insert(leased.webhook());
                    }
                    refused.push(leased);
                }
            }
        }
        refused
    }

    /// Hands deliveries back. If that fails, their leases run out.
    pub(crate) async fn release(&self, leased: &[Leased]) {
        if leased.is_empty() {
            return;
        }
        let held: Vec<_> = leased.iter().map(|leased| (leased.claimed.id, leased.claimed.lease_token)).collect();
        if let Err(error) = self.repository.delivery_release(&held).await {
            tracing::warn!(error = %Chain(&error), deliveries = held.len(), "deliveries wait for their leases to end");
        }
    }

    async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.notes.send(Note::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    }
}
