//! Daily and weekly reports: which period, when it is due, what it says.
//!
//! Pure: the figures are counted by the caller, the clock is the caller's, and how a report is sent is
//! nobody's business here. Days are those of a time zone and last 23, 24 or 25 hours.

mod crontab;
mod local;
mod period;
mod report;
mod schedule;
mod words;

pub use crontab::crontab_line;
pub use period::{Kind, Owed, Period, UnknownKind, due};
pub use report::{Figures, Report};
pub use schedule::{DAILY, Schedule, ScheduleError, WEEKLY};
