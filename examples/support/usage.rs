//! What a process and those it started have used, as Linux counts it.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// How long a tick of the kernel's count is, in microseconds (`USER_HZ` is 100 on every Linux).
const TICK: u64 = 10_000;

/// A process that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watched(u32);

impl Watched {
    /// The process of this id.
    #[must_use]
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The Postgres in a data folder.
    ///
    /// # Errors
    /// There runs none.
    pub fn postgres(data: &Path) -> anyhow::Result<Self> {
        let file = fs::read_to_string(data.join("pgdata/postmaster.pid"))?;
        Ok(Self(file.lines().next().context("an empty postmaster.pid")?.parse()?))
    }

    /// The processor time of the process, its children, and those of them that have ended, in microseconds.
    #[must_use]
    pub fn cpu(self) -> u64 {
        let own: u64 = ticks(self.0).iter().sum();
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.0)).unwrap_or_default();
        let theirs: u64 = children
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .map(|child| ticks(child).iter().take(2).sum::<u64>())
            .sum();
        (own + theirs) * TICK
    }

    /// Its resident memory now and at the most so far, in KiB.
    #[must_use]
    pub fn memory(self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        (field("VmRSS:").unwrap_or_default(), field("VmHWM:").unwrap_or_default())
    }
}

/// A process' user and system time, and those of its ended children.
fn ticks(process: u32) -> Vec<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in brackets may hold spaces; what follows it does not.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse().ok()).collect()
}
