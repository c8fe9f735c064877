//! Random moments that can be had again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Numbers that a seed makes (splitmix64).
pub struct Chance(u64);

impl Chance {
    /// From `$CERTSYNC_SEED`, or the clock; told, so that they can be had again.
    pub fn new(test: &str) -> Chance {
        let given = std::env::var("CERTSYNC_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos().into());
        let seed = given.unwrap_or_else(clock);
        eprintln!("{test}: CERTSYNC_SEED={seed}");
        Chance(seed)
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    /// A moment in this time.
    pub fn moment(&mut self, whole: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(whole.as_micros()).expect("a short time")))
    }
}

/// `whole` in a proof (`$CERTSYNC_FLEET_WHOLE`), otherwise `slice`.
pub fn whole_or<T>(whole: T, slice: T) -> T {
    if std::env::var_os("CERTSYNC_FLEET_WHOLE").is_some() { whole } else { slice }
}
