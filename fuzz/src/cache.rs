//! The cache: any file is either one that certsync wrote in this boot, or an empty one.

use certsync::state::{Belief, Cache};

const BOOT: &str = "3f6c1b1e-5d0f-4d6c-8e62-2f1f4b0c9a11";

/// Reads `data` as it is, and once more with a right sum at its end: a fuzzer does not find SHA-256 sums.
pub fn check(data: &[u8]) {
    read(data);
    let mut summed = data.to_vec();
    summed.extend_from_slice(&sha256(data));
    read(&summed);
}

fn read(bytes: &[u8]) {
    let mut cache = Cache::read(bytes, BOOT, Belief::Metadata);
    cache.keep_unused();
    let written = cache.bytes(BOOT);
    let mut again = Cache::read(&written, BOOT, Belief::Metadata);
    again.keep_unused();
    assert_eq!(again.bytes(BOOT), written, "what is written is read back");
    let empty = Cache::read(b"", BOOT, Belief::Metadata).bytes(BOOT);
    if written != empty {
        assert!(written.len() <= bytes.len(), "what was not there is known");
        let other = Cache::read(bytes, "another boot", Belief::Metadata);
        assert!(!other.is_changed(), "nothing is believed in another boot");
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    *certsync::base::ContentHash::of(bytes).as_bytes()
}
