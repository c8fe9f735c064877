//! Who runs apply for a gate: the gate itself where it runs as the user who owns the state directory, otherwise sudo by its rule, or
//! whoever watches the inbox (a systemd path unit, a timer).

use crate::base::{AbsPath, Error, ErrorKind, Result};
use crate::host::background::{Answering, Background, Stands, start};
use crate::host::lock::is_held;
use crate::host::{Dir, users};
use crate::state::Standing;
use crate::state::answers::{Answer, answered};
use crate::state::inbox::{Inbox, Wanted, request_at};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often an answer is looked for.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a request may lie before nobody is thought to take it: a path unit starts a run within that.
const UNTAKEN: Duration = Duration::from_secs(5);
/// Held by whoever serves the hosts below.
pub const DELIVERING: &str = "deliver.lock";
/// No peer waits longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// The last word of a run that a gate starts: it leaves where another run has served the request. So many signals make few runs.
const IF_REQUESTED: &str = "--if-requested";
/// The last word of a plan with what a host above brings.
const BROUGHT: &str = "--brought";

/// How apply is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    certsync: PathBuf,
    through: Through,
    state_dir: AbsPath,
    /// What stands behind the command.
    behind: Vec<OsString>,
}

/// Who starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    /// The gate: it is the same user.
    Itself,
    /// sudo, as root.
    Sudo,
}

/// What came of asking for a run.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// How the host and those below it stand.
    Answered(Vec<Standing>),
    /// Nobody has taken the request yet.
    Later,
}

impl Runner {
    /// For a state directory that belongs to the user `owner`: `certsync` is the program itself, `name` what `--as` says, if anything.
    pub fn new(certsync: &Path, owner: u32, spec: &AbsPath, state_dir: &AbsPath, name: Option<&str>) -> Runner {
        let mut behind: Vec<OsString> = vec!["--format".into(), "json".into(), "--state-dir".into(), state_dir.as_str().into()];
        behind.extend(name.into_iter().flat_map(|name| ["--as".into(), name.into()]));
        behind.push(spec.as_str().into());
        let through = if users::running_user().uid == owner { Through::Itself } else { Through::Sudo };
        Runner { certsync: certsync.to_owned(), through, state_dir: state_dir.clone(), behind }
    }

    /// Whether apply is run by this same user.
    pub fn is_ours(&self) -> bool {
        self.through == Through::Itself
    }

    fn line(&self, command: &str, last: &[&str]) -> Vec<OsString> {
        let first = [self.certsync.clone().into_os_string(), command.into()].into_iter();
        first.chain(self.behind.iter().cloned()).chain(last.iter().map(OsString::from)).collect()
    }

    /// The command lines that rules of sudo have to allow: to apply, and to plan.
    pub fn command_lines(&self) -> [Vec<OsString>; 2] {
        [self.line("apply", &[IF_REQUESTED]), self.line("plan", &[BROUGHT])]
    }

    /// Starts a run for the request of this name and does not wait for it; whether somebody else must take what lies in the inbox is not
    /// known then.
    pub fn start(&self, id: &str) -> Option<Background> {
        let (program, arguments) = match self.through {
            Through::Itself => (self.certsync.as_path(), self.line("apply", &[IF_REQUESTED]).split_off(1)),
            Through::Sudo => {
                // A rule of before has not the last word. sudo has logged that it refused the new one; what came is applied all the same.
                let script = format!("sudo -n -- \"$@\" {IF_REQUESTED} || {{ test -e \"$0\" && sudo -n -- \"$@\"; }}");
                let words = [OsString::from("-c"), script.into(), request_at(&self.state_dir, id).into()].into_iter();
                (Path::new("/bin/sh"), words.chain(self.line("apply", &[])).collect())
            }
        };
        match start(program, &arguments) {
            Ok(started) => Some(started),
            Err(error) => {
                tracing::warn!("{}: cannot be started: {error}", program.display());
                None
            }
        }
    }

    /// Starts a run and waits until it, or another that took the request, has answered `wanted`, or the peer `is_gone`. Where those below
    /// are waited for as well, after `patience` the answer is taken as it is by then: one of them that hangs does not make it seem that this
    /// host does.
    ///
    /// # Errors
    /// Kind `State`: the inbox cannot be read; kind `Peer`: the run there ended without an answer.
    pub fn run_and_wait(&self, dir: &Dir, wanted: &Wanted, patience: Duration, mut is_gone: impl FnMut() -> bool) -> Result<Asked> {
        let mut started = self.start(&wanted.id);
        let begun = Instant::now();
        let mut untaken_since = None;
        while begun.elapsed() < LONGEST && !is_gone() {
            let is_enough = |answer: &Answer| answer.whole || !wanted.what.is_about_the_tree() || begun.elapsed() >= patience;
            if let Some(answer) = answered(dir, &wanted.id).filter(is_enough) {
                return told(dir, wanted, answer);
            }
            let ours = started.as_mut().map_or(Stands::EndedBadly, Background::stands);
            let waits = Inbox::open(dir)?.is_some_and(|inbox| inbox.holds_request(&wanted.id));
            match (ours, waits) {
                (Stands::Running, _) => untaken_since = None,
                // It lies there, and nobody of ours is about to take it.
                (Stands::EndedWell | Stands::EndedBadly, true) => {
                    let since: &mut Instant = untaken_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= UNTAKEN {
                        return Ok(Asked::Later);
                    }
                }
                // It was served just now, or served and could not be answered.
                (Stands::EndedWell | Stands::EndedBadly, false) => {
                    if let Some(answer) = answered(dir, &wanted.id) {
                        // Another run has taken it, and still serves those below; one that was killed there says no more.
                        let since: &mut Instant = untaken_since.get_or_insert_with(Instant::now);
                        if answer.whole || since.elapsed() >= UNTAKEN && !is_held(dir, DELIVERING) {
                            return told(dir, wanted, answer);
                        }
                        sleep(PAUSE);
                        continue;
                    }
                    let cause = "the run there ended without an answer";
                    return Err(Error::new(ErrorKind::Peer, "certsync apply", cause).hint("run certsync apply on that host"));
                }
            }
            sleep(PAUSE);
        }
        Ok(Asked::Later)
    }

    /// Starts `certsync plan`, which is told on its standard input what a host above brings, and answers with a report in JSON.
    ///
    /// # Errors
    /// Kind `Permission`: it cannot be started.
    pub fn plan(&self) -> Result<Answering> {
        let before: &[&str] = if self.is_ours() { &[] } else { &["sudo", "-n", "--"] };
        let mut line = before.iter().map(OsString::from).chain(self.line("plan", &[BROUGHT]));
        let program = PathBuf::from(line.next().unwrap_or_default());
        Answering::start(&program, &line.collect::<Vec<_>>()).map_err(|error| cannot_plan(error.to_string()))
    }

    /// The answer of one that was told all.
    ///
    /// # Errors
    /// Kind `Permission`: the gate may not run it; or it prints what is no plan, or more than `most` bytes.
    pub fn planned(started: Answering, most: u64) -> Result<Vec<u8>> {
        let json = started.answer(most).map_err(|error| cannot_plan(error.to_string()))?;
        if json.iter().all(u8::is_ascii_whitespace) { Err(cannot_plan("may not be run by the gate".into())) } else { Ok(json) }
    }
}

fn told(dir: &Dir, wanted: &Wanted, answer: Answer) -> Result<Asked> {
    let gone = || Error::new(ErrorKind::Peer, "certsync apply", "the answer of the run there is not whole");
    answer.all(dir, &wanted.id).map(Asked::Answered).ok_or_else(|| gone().hint("ask again"))
}

fn cannot_plan(cause: String) -> Error {
    let hint = "the gate's user may not plan there: a second rule for sudo lets it, see docs/fleet.md";
    Error::new(ErrorKind::Permission, "certsync plan", cause).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::{Asked, Runner, Through};
    use crate::base::{AbsPath, ContentHash, Error, ErrorKind, Result, ServerName, SshKeyId};
    use crate::host::users;
    use crate::state::Standing;
    use crate::state::answers::{Answer, answer};
    use crate::state::inbox::{From, Wanted, What};
    use crate::state::test_dir::with_dir;
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn who_asks_for_the_tree_waits_for_the_run_that_took_the_request_when_the_one_of_the_gate_has_ended() -> Result<()> {
        with_dir(|dir, path| {
            std::fs::create_dir(path.join("answers")).map_err(|error| Error::io(ErrorKind::State, "the test", &error))?;
            let name = |text: &str| -> ServerName { text.parse().unwrap_or_else(|error| unreachable!("{text}: {error}")) };
            let key = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
            let key: SshKeyId = key.parse().unwrap_or_else(|error| unreachable!("{key}: {error}"));
            let from = From { peer: name("mgmt"), key };
            let wanted = Wanted { from, what: What::TriggerTree, id: "0123456789abcdef".into() };
            let nowhere = "/nowhere".parse().unwrap_or_else(|error| unreachable!("{error}"));
            let ended = Runner { certsync: "true".into(), through: Through::Itself, state_dir: nowhere, behind: Vec::new() };
            let told = |whole, servers: &[Standing]| answer(dir, &wanted.id, Answer::new(whole, servers.to_vec()));
            let below = Standing {
                server: name("edge1"),
                at: 0,
                certsync: String::new(),
                spec: ContentHash::from_bytes([0; 32]),
                sets: BTreeMap::new(),
                hooks: Vec::new(),
                errors: Vec::new(),
            };
            let whole = [below];
            told(false, &[])?;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(300));
                    told(true, &whole)
                });
                let heard = ended.run_and_wait(dir, &wanted, Duration::from_secs(60), || false)?;
                assert_eq!(heard, Asked::Answered(whole.to_vec()));
                Ok(())
            })?;
            told(false, &[])?;
            let heard = ended.run_and_wait(dir, &wanted, Duration::from_millis(50), || false)?;
            assert_eq!(heard, Asked::Answered(Vec::new()), "not for ever");
            Ok(())
        })
    }

    #[test]
    fn the_rule_for_sudo_that_is_documented_allows_just_what_is_run() {
        let path = |text: &str| -> AbsPath { text.parse().unwrap_or_else(|error| unreachable!("{text}: {error}")) };
        let (spec, state_dir) = (path("/etc/certsync/certsync.yaml"), path("/var/lib/certsync"));
        let another = users::running_user().uid + 1;
        let line = |name| {
            let runner = Runner::new(Path::new("/usr/bin/certsync"), another, &spec, &state_dir, name);
            runner.command_lines().map(|line| line.join(std::ffi::OsStr::new(" ")).into_string().unwrap_or_default())
        };
        for line in line(None) {
            let rule = format!("\ncertsync ALL=(root) NOPASSWD: {line}\n");
            assert!(include_str!("../../docs/fleet.md").contains(&rule), "{rule}");
        }
        assert_eq!(line(Some("web1")), line(None).map(|line| line.replace("/var/lib/certsync ", "/var/lib/certsync --as web1 ")));
    }
}
