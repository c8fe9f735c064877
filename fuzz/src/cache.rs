//! The cache: any file is either one that certsync wrote in this boot, or an empty one.

use certsync::base::SetName;
use certsync::state::{Belief, Cache};

const BOOT: &str = "3f6c1b1e-5d0f-4d6c-8e62-2f1f4b0c9a11";

/// Reads `data` as it is; and as what follows the tag and the boot, with a right sum after it: a fuzzer does not find SHA-256 sums.
pub fn check(data: &[u8]) {
    read(data);
    let empty = empty();
    let head = empty.windows(BOOT.len()).position(|bytes| bytes == BOOT.as_bytes()).map_or(0, |at| at + BOOT.len() + 1);
    let mut summed = [&empty[..head], data].concat();
    summed.extend_from_slice(certsync::base::ContentHash::of(&summed).as_bytes());
    read(&summed);
}

fn empty() -> Vec<u8> {
    Cache::read(Vec::new(), BOOT, Belief::Metadata).bytes(BOOT, None)
}

fn read(bytes: &[u8]) {
    let cache = Cache::read(bytes.to_vec(), BOOT, Belief::Metadata);
    let common = cache.common().cloned();
    let written = cache.bytes(BOOT, common.as_ref());
    let again = Cache::read(written.clone(), BOOT, Belief::Metadata);
    assert_eq!(again.bytes(BOOT, common.as_ref()), written, "what is written is read back");
    assert!(!again.is_changed(common.as_ref()), "nothing has changed");
    let name: SetName = "a.test".parse().unwrap_or_else(|_| unreachable!());
    assert_eq!(again.quiet(&name), cache.quiet(&name));
    // Whatever is in it, the files of a set are read without a fault.
    drop(cache.contents(&name));
    let other = Cache::read(bytes.to_vec(), "another boot", Belief::Metadata);
    assert!(other.common().is_none() && other.quiet(&name).is_none(), "nothing is believed in another boot");
    assert!(Cache::read(written, BOOT, Belief::Nothing).common().is_none(), "nothing is believed where everything is to be read");
}
