//! One report: count, write, store, deliver.

use std::time::{Duration, Instant};

use anyhow::Context;
use kos_assembly::{Database, Role, now, repository, sender, surroundings};
use kos_delivery::{Engine, Settings as EngineSettings};
use kos_model::{EventId, Locale};
use kos_reports::{Figures, Kind, Period, Report};
use kos_repository::{Counted, DeliveryFilter, DeliveryRecord, DeliveryState, NewEvent, ReportClaim, Repository};
use tokio::time::sleep;

use crate::{Settings, Which};

/// Where reports are made: the settings, what is stored, and the engine that sends.
pub(crate) struct Desk {
    pub(crate) settings: Settings,
    pub(crate) repository: Repository,
    locale: Locale,
    engine: Engine,
    sent: Vec<Sent>,
}

/// A report that was stored just now.
struct Sent {
    title: String,
    event: EventId,
    webhooks: usize,
}

/// Deliveries of one report that are looked at.
const LOOK_AT: u32 = 1_000;

/// How long is waited for what an api-server or another reporter has in hand: longer than an attempt may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// How often is looked whether they are done.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Opens everything, does the work, delivers what it caused, and closes everything.
pub(crate) fn with_database(
    settings: Settings,
    work: impl AsyncFnOnce(&mut Desk) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let database = Database::open(&settings.storage, Role::Guest)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        database.ready().await?;
        let repository = repository(&database, &settings.storage).await?;
        let sender = sender(&settings.webhooks)?;
        let engine = Engine::new(repository.clone(), sender, EngineSettings::default(), surroundings()).await?;
        let locale = settings.place.locale.parse()?;
        let mut desk = Desk { settings, repository, locale, engine, sent: Vec::new() };
        let done = work(&mut desk).await;
        desk.engine.shutdown().await;
        done
    });
    drop(runtime);
    database.close()?;
    done
}

impl Desk {
    /// `reporter daily` and `reporter weekly`.
    pub(crate) async fn send(&mut self, kind: Kind, which: &Which) -> anyhow::Result<()> {
        let zone = self.settings.place.time_zone;
        let period = match which.date {
            Some(date) => Period::containing(kind, date, zone),
            None => Period::last_closed(kind, now(), zone),
        };
        anyhow::ensure!(period.is_closed(now()), "the {kind} period of {} is not over yet", period.first_day());
        if which.dry_run {
            println!("{}", self.shown(&period).await?);
            return Ok(());
        }
        self.emit(&period, which.force).await?;
        self.deliver().await
    }

    /// A report as it would be sent.
    pub(crate) async fn shown(&self, period: &Period) -> anyhow::Result<String> {
        Ok(self.report(period).await?.titled(self.locale))
    }

    /// Stores a report with its deliveries, if it was not stored before or is wanted again.
    pub(crate) async fn emit(&mut self, period: &Period, again: bool) -> anyhow::Result<()> {
        let kind = period.kind();
        let event = NewEvent::new(kind.event_type(), self.report(period).await?.payload(self.locale));
        let zone = period.time_zone().to_string();
        let claim = ReportClaim { kind: kind.as_str(), period_start: period.first_day(), time_zone: &zone, again };
        // Leased to nobody: `deliver` takes them, or an api-server that is quicker.
        let emitted = self.repository.report_emit(claim, event, &Default::default()).await?;
        let title = format!("the {kind} report of {}", period.first_day());
        match emitted {
            Some(emitted) => self.sent.push(Sent { title, event: emitted.event.id, webhooks: emitted.deliveries }),
            None => {
                let again = format!("reporter {kind} --date {} --force", period.first_day());
                println!("{title} was sent before; `{again}` sends it again");
            }
        }
        Ok(())
    }

    /// Delivers what is due now, and says what came of the reports; what fails is retried by the
    /// api-server, or by the next `reporter due`.
    pub(crate) async fn deliver(&self) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            self.engine.run_until_idle().await.context("the reports are stored, but not delivered yet")?;
            if !self.is_helped().await? || since.elapsed() > PATIENCE {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
        for sent in &self.sent {
            println!("{}", self.outcome(sent).await?);
        }
        Ok(())
    }

    /// Whether another process has a part of our reports in hand, which is neither delivered yet nor to be retried.
    async fn is_helped(&self) -> anyhow::Result<bool> {
        for sent in &self.sent {
            let open = self.deliveries(sent.event, false).await?;
            if open.iter().any(|delivery| delivery.state == DeliveryState::Sending) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `the daily report of 2025-11-24: delivered to 2 of 3 webhooks, 1 will be retried`
    async fn outcome(&self, sent: &Sent) -> anyhow::Result<String> {
        let Sent { title, event, webhooks } = sent;
        if *webhooks == 0 {
            return Ok(format!("{title}: stored; no webhook asked for it"));
        }
        let open = self.deliveries(*event, false).await?;
        let failed = self.deliveries(*event, true).await?;
        let delivered = webhooks.saturating_sub(open.len() + failed.len());
        let mut text = format!("{title}: delivered to {delivered} of {webhooks} webhooks");
        for then in [RETRIED, QUEUED, SENDING, PARKED] {
            let count = open.iter().filter(|delivery| future(delivery) == then).count();
            if count > 0 {
                text.push_str(&format!(", {count} {then}"));
            }
        }
        for delivery in failed {
            let reason = delivery.reason.unwrap_or_default();
            text.push_str(&format!("\n  webhook {} did not take it: {reason}", delivery.webhook_id));
        }
        Ok(text)
    }

    async fn deliveries(&self, event: EventId, ended: bool) -> anyhow::Result<Vec<DeliveryRecord>> {
        let filter = DeliveryFilter { event_id: Some(event), ended, webhook_id: None };
        Ok(self.repository.delivery_list(filter, None, LOOK_AT).await?)
    }

    async fn report(&self, period: &Period) -> anyhow::Result<Report> {
        let previous = period.previous();
        let current = self.repository.report_count(period.start(), period.end()).await?;
        let before = self.repository.report_count(previous.start(), previous.end()).await?;
        Ok(Report { period: period.clone(), current: figures(current), previous: figures(before) })
    }
}

const RETRIED: &str = "will be retried";
const QUEUED: &str = "wait for their turn";
const SENDING: &str = "still being sent by another process";
const PARKED: &str = "kept for webhooks that are switched off";

/// What becomes of a delivery that is still open.
fn future(delivery: &DeliveryRecord) -> &'static str {
    match delivery.state {
        DeliveryState::Sending => SENDING,
        DeliveryState::Parked => PARKED,
        DeliveryState::Waiting if delivery.attempts == 0 && delivery.waits_for.is_none() => QUEUED,
        DeliveryState::Waiting
        | DeliveryState::Delivered
        | DeliveryState::Dead
        | DeliveryState::Cancelled
        | DeliveryState::Skipped
        | DeliveryState::Expired => RETRIED,
    }
}

const fn figures(counted: Counted) -> Figures {
    Figures {
        new_knowledge: counted.new_knowledge,
        completed_tasks: counted.completed_tasks,
        interactions: counted.interactions,
        average_feedback: counted.average_feedback,
        feedback_count: counted.feedback_count,
        experts: counted.experts,
        domains: counted.domains,
    }
}
