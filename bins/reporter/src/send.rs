//! One report: count, write, store, deliver.

use anyhow::Context;
use kos_assembly::{Database, now, repository, sender, surroundings};
use kos_delivery::{Engine, Settings as EngineSettings};
use kos_model::Locale;
use kos_reports::{Figures, Kind, Period, Report};
use kos_repository::{Counted, NewEvent, ReportClaim, Repository};

use crate::{Settings, Which};

/// Where reports are made: the settings, what is stored, and the engine that sends.
pub(crate) struct Desk {
    pub(crate) settings: Settings,
    pub(crate) repository: Repository,
    locale: Locale,
    engine: Engine,
}

/// Opens everything, does the work, delivers what it caused, and closes everything.
pub(crate) fn with_database(
    settings: Settings,
    work: impl AsyncFnOnce(&Desk) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let database = Database::open(&settings.storage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        database.migrate().await?;
        let repository = repository(database.url(), &settings.storage).await?;
        let sender = sender(&settings.webhooks)?;
        let engine = Engine::new(repository.clone(), sender, EngineSettings::default(), surroundings()).await?;
        let locale = settings.place.locale.parse()?;
        let desk = Desk { settings, repository, locale, engine };
        let done = work(&desk).await;
        desk.engine.shutdown().await;
        done
    });
    drop(runtime);
    database.close()?;
    done
}

impl Desk {
    /// `reporter daily` and `reporter weekly`.
    pub(crate) async fn send(&self, kind: Kind, which: &Which) -> anyhow::Result<()> {
        let zone = self.settings.place.time_zone;
        let period = match which.date {
            Some(date) => Period::containing(kind, date, zone),
            None => Period::last_closed(kind, now(), zone),
        };
        anyhow::ensure!(period.is_closed(now()), "the {kind} period of {} is not over yet", period.first_day());
        if which.dry_run {
            return self.print(&period).await;
        }
        self.emit(&period, which.force).await?;
        self.deliver().await
    }

    /// Shows a report as it would be sent.
    pub(crate) async fn print(&self, period: &Period) -> anyhow::Result<()> {
        println!("{}", self.report(period).await?.text(self.locale));
        Ok(())
    }

    /// Stores a report with its deliveries, if it was not stored before or is wanted again.
    pub(crate) async fn emit(&self, period: &Period, again: bool) -> anyhow::Result<()> {
        let kind = period.kind();
        let event = NewEvent::new(kind.event_type(), self.report(period).await?.payload(self.locale));
        let zone = period.time_zone().to_string();
        let claim = ReportClaim { kind: kind.as_str(), period_start: period.first_day(), time_zone: &zone, again };
        // Leased to nobody: `deliver` takes them, or an api-server that is quicker.
        let emitted = self.repository.report_emit(claim, event, &Default::default()).await?;
        match emitted {
            Some(emitted) => {
                println!("the {kind} report of {} goes to {} webhooks", period.first_day(), emitted.deliveries);
            }
            None => println!("the {kind} report of {} was sent before; --force sends it again", period.first_day()),
        }
        Ok(())
    }

    /// Delivers what is due now; what fails is retried by the api-server, or by the next `reporter due`.
    pub(crate) async fn deliver(&self) -> anyhow::Result<()> {
        self.engine.run_until_idle().await.context("the report is stored, but not delivered yet")
    }

    async fn report(&self, period: &Period) -> anyhow::Result<Report> {
        let previous = period.previous();
        let current = self.repository.report_count(period.start(), period.end()).await?;
        let before = self.repository.report_count(previous.start(), previous.end()).await?;
        Ok(Report { period: period.clone(), current: figures(current), previous: figures(before) })
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
