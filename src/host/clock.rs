//! The clock.

use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock set before 1970 reads as 1970: everything certsync compares it with is later.
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Unix time in whole seconds.
pub fn unix_seconds() -> i64 {
    i64::try_from(since_epoch().as_secs()).unwrap_or(i64::MAX)
}

/// Unix time in milliseconds.
pub fn unix_milliseconds() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// CLOCK_REALTIME_COARSE in nanoseconds: what the kernel stamps on ctimes.
///
/// Where that clock cannot be read, 0: earlier than every stamp, so that nothing is taken for settled.
pub fn coarse_nanoseconds() -> i128 {
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or(0, |t| i128::from(t.tv_sec()) * 1_000_000_000 + i128::from(t.tv_nsec()))
}

/// Waits until the coarse clock has passed what it showed before, whatever the kernel's tick.
pub fn let_a_tick_pass() {
    std::thread::sleep(Duration::from_millis(12));
}

/// What distinguishes this boot from every other (random(4)); empty where it cannot be told.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{coarse_nanoseconds, unix_milliseconds, unix_seconds};

    #[test]
    fn the_clocks_agree() {
        let coarse = coarse_nanoseconds() / 1_000_000;
        let fine = i128::from(unix_milliseconds());
        assert!((fine - coarse).abs() < 1_000, "{fine} and {coarse}");
        assert!((i128::from(unix_seconds()) - fine / 1000).abs() <= 1);
    }
}
