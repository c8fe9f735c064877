//! The files of a set: described, judged, rendered.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| certsync_fuzz::material::check(data));
