//! The clock.

/// Unix time in whole seconds.
pub fn unix_seconds() -> i64 {
    todo!()
}

/// Unix time in milliseconds.
pub fn unix_milliseconds() -> u64 {
    todo!()
}

/// CLOCK_REALTIME_COARSE in nanoseconds: what the kernel stamps on ctimes.
pub fn coarse_nanoseconds() -> i128 {
    todo!()
}
