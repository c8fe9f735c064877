//! The binary cache.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| certsync_fuzz::cache::check(data));
