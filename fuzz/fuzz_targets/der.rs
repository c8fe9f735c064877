//! X.509 and keys in DER, whole and as PEM blocks, alone and beside certificates that are right.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| certsync_fuzz::der::check(data));
