//! What is diffed, and the plan as text and as JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| certsync_fuzz::plan::check(data));
