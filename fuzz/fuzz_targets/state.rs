//! `state.json`, what `status` makes of it, and requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| certsync_fuzz::state::check(data));
