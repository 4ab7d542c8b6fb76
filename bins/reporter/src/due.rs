//! `reporter due`: what the schedule asked for and was not sent yet.

use kos_assembly::now;
use kos_reports::{Kind, Owed, due};

use crate::send::Desk;

/// Sends every report that is due, oldest first, and whatever else waits to be delivered.
pub(crate) async fn send(desk: &mut Desk, dry_run: bool) -> anyhow::Result<()> {
    for kind in [Kind::Daily, Kind::Weekly] {
        let Owed { periods, left_out } = owed(desk, kind).await?;
        if let Some((first, last)) = left_out {
            println!(
                "the {kind} reports of {} to {} are too old and left out; `reporter {kind} --date …` sends one",
                first.first_day(),
                last.first_day()
            );
        }
        for period in periods {
            if dry_run {
                desk.print(&period).await?;
            } else {
                desk.emit(&period, false).await?;
            }
        }
    }
    if dry_run { Ok(()) } else { desk.deliver().await }
}

async fn owed(desk: &Desk, kind: Kind) -> anyhow::Result<Owed> {
    let schedule = match kind {
        Kind::Daily => &desk.settings.daily,
        Kind::Weekly => &desk.settings.weekly,
    };
    let made = desk.repository.report_made(kind.as_str()).await?;
    Ok(due(kind, schedule, now(), &made))
}
