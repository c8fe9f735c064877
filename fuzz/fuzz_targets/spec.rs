//! YAML, and what it includes: every fault at once, each within its file; what is right is written out and read back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| certsync_fuzz::spec::check(data));
