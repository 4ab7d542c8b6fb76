//! `reporter due`: what the schedule asked for and was not sent yet.

use kos_assembly::now;
use kos_reports::{Kind, Owed, Period, due};

use crate::send::Desk;

/// Sends every report that is due, oldest first, and whatever else waits to be delivered.
pub(crate) async fn send(desk: &mut Desk, dry_run: bool) -> anyhow::Result<()> {
    let mut shown = Vec::new();
    for kind in [Kind::Daily, Kind::Weekly] {
        let Owed { periods, left_out } = owed(desk, kind).await?;
        for (first, last) in &left_out {
            println!("{}", notice(kind, first, last));
        }
        for period in periods {
            if dry_run {
                shown.push(desk.shown(&period).await?);
            } else {
                desk.emit(&period, false).await?;
            }
        }
    }
    if !dry_run {
        return desk.deliver().await;
    }
    println!("{}", if shown.is_empty() { "nothing is due".to_owned() } else { shown.join("\n\n") });
    Ok(())
}

/// What is left out, and what sends it all the same.
fn notice(kind: Kind, first: &Period, last: &Period) -> String {
    let (from, to) = (first.first_day(), last.first_day());
    if first == last {
        format!("the {kind} report of {from} is left out, it is too old: `reporter {kind} --date {from}` sends it")
    } else {
        format!(
            "the {kind} reports of {from} to {to} are left out, they are too old: `reporter {kind} --date {from}` \
             sends the first of them"
        )
    }
}

async fn owed(desk: &Desk, kind: Kind) -> anyhow::Result<Owed> {
    let schedule = match kind {
        Kind::Daily => &desk.settings.daily,
        Kind::Weekly => &desk.settings.weekly,
    };
    let made = desk.repository.report_made(kind.as_str()).await?;
    Ok(due(kind, schedule, now(), &made))
}
