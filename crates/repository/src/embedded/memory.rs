//! How much memory the server takes for the pages that it keeps.

use std::fs;
use std::path::Path;

/// Least and most, in MB: what Postgres takes by itself, and from where on the system's own cache does as well.
const RANGE: (u64, u64) = (128, 1_024);

/// A quarter of the machine's memory, or of what our group of processes may have of it; in MB.
pub(super) fn for_pages() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_bytes(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| {
        let limit = Path::new("/sys/fs/cgroup").join(group_path(&text)?).join("memory.max");
        fs::read_to_string(limit).ok()?.trim().parse().ok()
    });
    share(machine.into_iter().chain(group).min())
}

fn share(bytes: Option<u64>) -> u64 {
    let (least, most) = RANGE;
    bytes.map_or(least, |bytes| (bytes / 4 / 1_024 / 1_024).clamp(least, most))
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// Where the limits of our group stand, below the folder of all groups (cgroup v2).
fn group_path(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_memory_within_bounds() {
        let gib = 1_u64 << 30;
        assert_eq!(
            [Some(gib / 4), Some(gib), Some(2 * gib), Some(64 * gib), None].map(share),
            [128, 256, 512, 1_024, 128]
        );
    }

    #[test]
    fn what_linux_says_of_memory_is_read() {
        assert_eq!(machine_bytes("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2_097_152));
        assert_eq!(machine_bytes("MemFree: 1 kB\n"), None);
        assert_eq!(group_path("1:name=x:/y\n0::/system.slice/kos.service\n"), Some("system.slice/kos.service"));
    }
}
