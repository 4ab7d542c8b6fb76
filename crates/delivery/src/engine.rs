//! The engine's frame: intake, claims, shutdown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kos_repository::{Claimed, LeaseTerms, Repository};
use kos_webhooks::Sender;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::lane::{Entry, Lanes, Leased};
use crate::recorder::{self, Chain, Note};
use crate::settings::{Settings, Surroundings};

/// Outcomes that may wait for the recorder before senders wait too.
const NOTES: usize = 1024;

/// Why the engine could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away.
    #[error("deliveries could not be claimed")]
    Claim(#[source] kos_repository::Error),
}

/// The running engine. Stop it with [`Self::shutdown`]; dropping it loses nothing either, but what
/// it holds then waits for its leases to run out.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    claims: Option<JoinHandle<()>>,
    recorder: JoinHandle<()>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) repository: Repository,
    pub(crate) sender: Sender,
    pub(crate) settings: Settings,
    pub(crate) surroundings: Surroundings,
    pub(crate) lanes: Lanes,
    pub(crate) notes: mpsc::Sender<Note>,
    pub(crate) wake: Notify,
    pub(crate) stop: CancellationToken,
    tasks: TaskTracker,
}

/// The engine as writers see it: what they commit, it sends at once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

/// One writer's promise to hand over what its change gives birth to.
#[derive(Debug)]
pub struct Intake {
    shared: Arc<Shared>,
    terms: LeaseTerms,
    since: Instant,
}

impl Handle {
    /// Ask for this before the write, pass [`Intake::terms`] along with it, and give what it claimed
    /// to [`Intake::take`].
    #[must_use]
    pub fn intake(&self) -> Intake {
        let shared = Arc::clone(&self.0);
        let stopping = shared.stop.is_cancelled();
        let lease = if stopping { Duration::ZERO } else { shared.settings.lease };
        let terms = LeaseTerms { lease, full: shared.lanes.full() };
        Intake { shared, terms, since: Instant::now() }
    }

    /// Messages on their way now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.0.lanes.in_flight()
    }

    /// Has the engine look at the database now, because something there may have become due.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// The guarded client, for messages that somebody tries out by hand.
    #[must_use]
    pub fn sender(&self) -> &Sender {
        &self.0.sender
    }
}

impl Intake {
    /// On what terms the database may lease deliveries to the engine.
    #[must_use]
    pub const fn terms(&self) -> &LeaseTerms {
        &self.terms
    }

    /// Sends what the write claimed.
    pub fn take(self, claimed: Vec<Claimed>) {
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
    #[must_use]
    pub fn new(repository: Repository, sender: Sender, settings: Settings, surroundings: Surroundings) -> Self {
        let (notes, inbox) = mpsc::channel(NOTES);
        let recorder = tokio::spawn(recorder::run(repository.clone(), inbox));
        let shared = Shared {
            repository,
            sender,
            lanes: Lanes::new(settings.in_flight, settings.backlog),
            settings,
            surroundings,
            notes,
            wake: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared), claims: None, recorder }
    }

    /// Has the engine look for due deliveries from now on, until it is shut down.
    pub fn start(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.claims.get_or_insert_with(|| tokio::spawn(async move { shared.claim_for_ever().await }));
    }

    /// The engine as writers see it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
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
        let Self { shared, claims, recorder } = self;
        shared.stop.cancel();
        if let Some(claims) = claims {
            // A claim that is under way must end: what it took has to be handed back.
            let _ = claims.await;
        }
        let queued = shared.lanes.take_queued();
        shared.release(&queued).await;
        shared.tasks.close();
        if timeout(shared.settings.drain, shared.tasks.wait()).await.is_err() {
            tracing::warn!(in_flight = shared.lanes.in_flight(), "messages still on their way; they will be repeated");
        }
        if timeout(shared.settings.drain, shared.flush()).await.is_err() {
            tracing::warn!("the database is away: the last outcomes are not written, those messages will be repeated");
        }
        recorder.abort();
    }
}

impl Shared {
    async fn claim_for_ever(self: Arc<Self>) {
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
                () = self.wake.notified() => sleep(shortest / 5).await,
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Takes what is due and there is room for; returns how many deliveries.
    async fn claim(self: &Arc<Self>) -> kos_repository::Result<usize> {
        let (rooms, cap) = self.lanes.rooms();
        let since = Instant::now();
        let claimed = self.repository.delivery_claim(&rooms, cap, self.settings.claim, self.settings.lease).await?;
        let count = claimed.len();
        let refused = self.enter(claimed, since);
        self.release(&refused).await;
        self.lanes.mark_hungry();
        Ok(count)
    }

    /// Starts or queues deliveries; returns those for which there is no room.
    fn enter(self: &Arc<Self>, claimed: Vec<Claimed>, since: Instant) -> Vec<Leased> {
        let mut refused = Vec::new();
        for claimed in claimed {
            let leased = Leased { claimed, since };
            if self.stop.is_cancelled() {
                refused.push(leased);
                continue;
            }
            match self.lanes.enter(leased) {
                Entry::Begin(first) => {
                    let shared = Arc::clone(self);
                    self.tasks.spawn(async move { shared.work(first).await });
                }
                Entry::Queued => {}
                Entry::Refused(leased) => refused.push(leased),
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
