//! Four sets, each with a hook of its own and one hook for all; the hooks note whom they met, for what they ran and what they saw.

use crate::support::site::{Issued, Run, Site, issue};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

pub const SETS: [&str; 4] = ["a", "b", "c", "d"];

const SPEC: &str = "version: 1
hooks:
  a: { run: 'sh [DIR]/hook.sh a a' }
  b: { run: 'sh [DIR]/hook.sh b b' }
  c: { run: 'sh [DIR]/hook.sh c c' }
  d: { run: 'sh [DIR]/hook.sh d d' }
  all: { run: 'sh [DIR]/hook.sh all a b c d' }
defaults: { keep: 2 }
certs:
  a: { source: src/a, accept: [older], install: { dest: '[DIR]/dest/a', hooks: [a, all] } }
  b: { source: src/b, accept: [older], install: { dest: '[DIR]/dest/b', hooks: [b, all] } }
  c: { source: src/c, accept: [older], install: { dest: '[DIR]/dest/c', hooks: [c, all] } }
  d: { source: src/d, accept: [older], install: { dest: '[DIR]/dest/d', hooks: [d, all] } }
";

/// `inside` is made exclusively: whoever finds it there is not alone. `hold` keeps a hook where it is.
const HOOK: &str = r#"cd "$(dirname "$0")" || exit 1
hook=$1
shift
( set -C; echo $$ >inside ) 2>/dev/null || echo "$hook met another" >>overlaps
printf '%s ' "$hook" >>runs
tr -d '\n' <"$CERTSYNC_CHANGES" >>runs
echo >>runs
for set; do [ ! -e "dest/$set" ] || cp "dest/$set/privkey.pem" "seen.$hook.$set"; done
while [ -e hold ]; do sleep 0.02; done
sleep 0.01
rm -f inside
"#;

/// What was there to be done with some timing.
pub fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

pub fn pause(at_most: Duration) {
    let micros = u64::try_from(at_most.as_micros()).expect("a short time");
    std::thread::sleep(Duration::from_micros(random(micros.max(1))));
}

/// Bounded where `scripts/test` asks for it.
pub fn rounds(whole: usize, slice: usize) -> usize {
    if std::env::var_os("CERTSYNC_SLICE").is_some() { slice } else { whole }
}

pub struct Host {
    pub site: Site,
    pub pairs: Vec<Issued>,
}

impl Host {
    /// Every set has a source; nothing is installed.
    pub fn new() -> Host {
        let host = Host { site: Site::new(SPEC), pairs: (0..40).map(|_| issue(&["busy.test"], 5)).collect() };
        host.site.write("hook.sh", HOOK);
        for set in SETS {
            host.renew(set, 0);
        }
        host
    }

    pub fn installed() -> Host {
        let host = Host::new();
        host.site.apply(0);
        host
    }

    /// As an ACME client does it: one file after the other.
    pub fn renew(&self, set: &str, number: usize) {
        self.site.source(set, self.pair(set, number));
    }

    /// The same in one moment: nobody meets a certificate without its key.
    pub fn renew_at_once(&self, set: &str, number: usize) {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        let pair = self.pair(set, number);
        let new = format!("new/{set}-{number}");
        self.site.write(&format!("{new}/fullchain.pem"), &pair.chain);
        self.site.write(&format!("{new}/privkey.pem"), &pair.key);
        let (from, to) = (self.site.path(&new), self.site.path(&format!("src/{set}")));
        renameat2(AT_FDCWD, &from, AT_FDCWD, &to, RenameFlags::RENAME_EXCHANGE).expect("they are exchanged");
        fs::remove_dir_all(from).expect("the old one goes");
    }

    /// The `number`th renewal of a set; never the one before, nor one that another set has.
    fn pair(&self, set: &str, number: usize) -> &Issued {
        let offset = SETS.iter().position(|name| *name == set).expect("a set") * 10;
        &self.pairs[offset + number % 10]
    }

    pub fn lineage(set: &str) -> (String, String) {
        ("RENEWED_LINEAGE".into(), format!("[DIR]/src/{set}"))
    }

    /// `certsync deploy-hook` for a set, which must end well.
    pub fn deploy_hook(&self, set: &str) -> Run {
        let (name, value) = Host::lineage(set);
        self.site.call_with(&["deploy-hook", "--format", "json"], &[(&name, &value)]).ends(0)
    }

    /// Whatever rollback held, or did not.
    pub fn release(&self, set: &str) {
        let run = self.site.call(&["rollback", set, "--release"]);
        assert!(run.status == Some(0) || run.stderr.contains("is not held"), "{run:?}");
    }

    pub fn requests(&self) -> usize {
        fs::read_dir(self.site.path("state/requests")).map_or(0, Iterator::count)
    }

    /// The source's version is installed, and both hooks have seen it.
    #[track_caller]
    pub fn is_current(&self, set: &str, when: &str) {
        let source = self.site.read(&format!("src/{set}/privkey.pem"));
        for shown in [format!("dest/{set}/privkey.pem"), format!("seen.{set}.{set}"), format!("seen.all.{set}")] {
            assert!(self.site.read(&shown) == source, "{shown} is not what the source of {set} has, {when}");
        }
    }

    /// No hook met another, and every generation that was ever in place had each of its hooks exactly once.
    #[track_caller]
    pub fn hooks_ran_once(&self) {
        assert!(!self.site.has("overlaps"), "{}", self.site.read("overlaps"));
        assert!(!self.site.has("inside"));
        let mut runs: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
        for line in self.site.read("runs").lines() {
            let (hook, changes) = line.split_once(' ').expect("a hook and its changes");
            let changes: Value = serde_json::from_str(changes).expect("JSON");
            for change in changes["changes"].as_array().expect("a list") {
                let (set, generation) = (change["set"].as_str().expect("a set"), change["generation"].as_str().expect("a name"));
                runs.entry((hook.to_owned(), set.to_owned())).or_default().push(serial(generation));
            }
        }
        for set in SETS {
            let link = fs::read_link(self.site.path(&format!("dest/{set}/.certsync/{set}/current"))).expect("a link");
            let last = serial(&link.to_string_lossy());
            for hook in [set, "all"] {
                let mut seen = runs.remove(&(hook.to_owned(), set.to_owned())).expect("it ran");
                seen.sort_unstable();
                assert_eq!(seen, (1..=last).collect::<Vec<_>>(), "the generations of {set} that hook {hook} ran for");
            }
        }
        let others: BTreeSet<_> = runs.into_keys().collect();
        assert!(others.is_empty(), "{others:?}");
    }
}

fn serial(generation: &str) -> u64 {
    generation.split('-').next().and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{generation} has no number"))
}
