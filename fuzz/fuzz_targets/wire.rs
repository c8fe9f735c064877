//! What two hosts say to each other, heard by either end.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| certsync_fuzz::wire::check(data));
