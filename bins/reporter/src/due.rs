//! `reporter due`: what the schedule asked for and was not sent yet.

use kos_assembly::now;
use kos_reports::{Kind, due};

use crate::send::Desk;

/// Sends every report that is due, oldest first, and whatever else waits to be delivered.
pub(crate) async fn send(desk: &Desk, dry_run: bool) -> anyhow::Result<()> {
    for (kind, schedule) in [(Kind::Daily, &desk.settings.daily), (Kind::Weekly, &desk.settings.weekly)] {
        let newest = desk.repository.report_newest(kind.as_str()).await?;
        for period in due(kind, schedule, now(), newest) {
            if dry_run {
                desk.print(&period).await?;
            } else {
                desk.emit(&period, false).await?;
            }
        }
    }
    if dry_run { Ok(()) } else { desk.deliver().await }
}
