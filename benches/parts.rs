//! What the parts of a run cost, each by itself: `cargo bench --bench parts`. Whole runs are measured by `compare`.

#[path = "compare/measure.rs"]
#[allow(dead_code, reason = "the comparison uses other parts of it")]
mod measure;
#[path = "../tests/install/pairs.rs"]
#[allow(dead_code, reason = "the tests use other parts of it")]
mod pairs;
#[path = "compare/tree.rs"]
#[allow(dead_code, reason = "the comparison uses other parts of it")]
mod tree;

use certsync::base::{AbsPath, ContentHash, Digest, Mode, RelPath, Secret, SetName};
use certsync::collect::{Accepted, Incoming};
use certsync::host::{Dir, Kind, Stat, clock, users, walk};
use certsync::material::{FileKind, Judging, Material, SetFacts, judge};
use certsync::observe::{Depth, How, observe};
use certsync::plan::{Detail, Diffed, Paint, Plan, Report, Situation, Tense, Wanted, diff, json, text};
use certsync::progress::ProgressChoice;
use certsync::spec::{Desired, SpecInput, load};
use certsync::state::requests::Scope;
use certsync::state::{Acl, Belief, Cache, Fresh, Known, Looked, State};
use certsync::survey::{Keep, Look, Retry, Sources, Survey, quiet_sets};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use pairs::Pair;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tree::{Source, Tree};

/// So many sets make a large host.
const MANY: usize = 10_000;
/// So many are rendered and surveyed.
const SOME: usize = 100;

criterion_group! {
    name = parts;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(50);
    targets = spec, material, survey_parts, state, cache
}
criterion_main!(parts);

fn spec(c: &mut Criterion) {
    let dir = TempDir::new().expect("a directory");
    let ten_lines = "version: 1\nhooks:\n  log:\n    run: [/bin/true]\ncerts:\n  site:\n    source: live/site\n    install:\n      dest: ssl\n      hooks: [log]\n";
    let mut many = "version: 1\ncerts:\n".to_owned();
    for number in 0..400 {
        let _ = write!(
            many,
            "  site{number}:\n    source: live/site{number}\n    install: {{ dest: ssl/site{number}, key_mode: -rw-r----- }}\n"
        );
    }
    let fleet = fleet_spec();
    let cases = [
        ("spec load, 10 lines", ten_lines, None),
        ("spec load, 400 sets", many.as_str(), None),
        ("spec load, 3000 servers and 100 sets, at the origin", fleet.as_str(), Some("hub")),
        ("spec load, 3000 servers and 100 sets, at the edge", fleet.as_str(), Some("s2999")),
    ];
    for (name, text, me) in cases {
        let file = dir.path().join("certsync.yaml");
        std::fs::write(&file, text).expect("the spec");
        let at = absolute(&file);
        c.bench_function(name, |b| b.iter(|| load(SpecInput::File(&at), me).expect("no fault")));
    }
}

/// Three tiers: an origin, 60 servers below it, the others below those; 20 groups, and sets that go to some of them or to all.
fn fleet_spec() -> String {
    let mut text = "version: 1\nservers:\n  hub: { address: hub.test }\n".to_owned();
    for server in 0..3000 {
        let upstream = if server < 60 { "hub".to_owned() } else { format!("s{}", server % 60) };
        let _ = writeln!(text, "  s{server}: {{ address: s{server}.test, upstream: {upstream}, delivery: push, from: 10.0.0.0/8 }}");
    }
    text.push_str("groups:\n");
    for group in 0..20 {
        let members: Vec<String> = (group..3000).step_by(20).map(|server| format!("s{server}")).collect();
        let _ = writeln!(text, "  g{group}: [{}]", members.join(", "));
    }
    text.push_str("certs:\n");
    for set in 0..100 {
        let targets = if set % 3 == 0 { "all".to_owned() } else { format!("[g{}, g{}, s{set}]", set % 20, set * 7 % 20) };
        let _ = writeln!(text, "  c{set}: {{ source: /srv/c{set}, targets: {targets}, install: /etc/ssl/c{set} }}");
    }
    text
}

fn material(c: &mut Criterion) {
    let pair = Pair::new("site.test", 1);
    let files = || pair.files().map(|(name, text)| (name.parse::<RelPath>().expect("a name"), Secret::new(text.into_bytes())));
    c.bench_function("digest, 4 files", |b| {
        b.iter(|| {
            let hashes = pair.files().map(|(name, text)| (name, ContentHash::of(text.as_bytes())));
            Digest::of(hashes.iter().map(|(name, hash)| (*name, hash)))
        });
    });
    c.bench_function("PEM and X.509 facts, 4 files", |b| b.iter_batched(|| Vec::from(files()), Material::new, BatchSize::SmallInput));
    let (accept, revoked) = (BTreeSet::new(), BTreeSet::new());
    let under =
        Judging { names: &["site.test".to_owned()], accept: &accept, revoked: &revoked, previous: None, now: clock::unix_seconds() };
    let read = Material::new(Vec::from(files()));
    c.bench_function("judgement, 4 files", |b| b.iter(|| judge(black_box(&read), &under).expect("it is right")));
}

/// A host with some sets, and what certsync knows of it.
struct Site {
    tree: Tree,
    desired: Desired,
    at: AbsPath,
    _dir: TempDir,
}

impl Site {
    fn new(sets: usize) -> Site {
        let dir = TempDir::new().expect("a directory");
        let tree = Tree::new(dir.path().join("tree"), sets, Source::Certbot);
        let desired = load(SpecInput::File(&absolute(&tree.dir().join("certsync.yaml"))), None).expect("no fault").desired;
        let at = absolute(&tree.dir().join("state"));
        Site { tree, desired, at, _dir: dir }
    }

    fn installed(sets: usize) -> Site {
        let site = Site::new(sets);
        site.tree.certsync("apply").arg("-q").run();
        site.tree.settle();
        site
    }

    fn dir(&self) -> Dir {
        walk::find_private(&self.at).expect("a directory").expect("the state directory")
    }

    fn state(&self) -> State {
        State::load(&self.dir(), &self.at, &self.desired.spec, []).expect("it is whole").expect("it is there")
    }

    fn cache(&self) -> Cache {
        let bytes = std::fs::read(self.tree.dir().join("state/cache")).unwrap_or_default();
        Cache::read(bytes, &clock::boot_id(), Belief::Metadata)
    }

    fn plan(&self, state: &mut State, cache: &mut Cache) -> Plan {
        let survey = Survey {
            desired: &self.desired,
            state,
            cache,
            store: None,
            look: Look {
                keep: Keep::InMemory,
                scope: Scope::All,
                sources: Sources::Read,
                once: Accepted::new(),
                retry: Retry::OnChange,
                because: None,
                progress: ProgressChoice::Nowhere,
            },
            named: None,
            quiet: &BTreeSet::new(),
            incoming: &mut Incoming::default(),
            us: self.at.to_string(),
            now: clock::unix_seconds(),
            fresh: Fresh::new(),
        };
        survey.run().plan
    }
}

fn survey_parts(c: &mut Criterion) {
    let site = Site::installed(SOME);
    let state = site.state();
    c.bench_function("close survey with nothing to do, 100 sets", |b| {
        b.iter_batched(|| (state.clone(), site.cache()), |(mut state, mut cache)| site.plan(&mut state, &mut cache), BatchSize::LargeInput);
    });
    nothing_to_do(c, &site, &state);
    let new = Site::new(SOME);
    let empty = State::empty("host".into(), new.desired.spec.clone());
    let report = Report::of_plan(&new.plan(&mut empty.clone(), &mut Cache::read(Vec::new(), "", Belief::Metadata)), None);
    assert_eq!(report.sets.len(), SOME, "every set is new");
    c.bench_function("plan as text, 100 new sets", |b| b.iter(|| text(&report, Tense::Plan, Paint::No, Detail::Changes)));
    c.bench_function("plan as JSON, 100 new sets", |b| b.iter(|| json(&report)));
}

/// One install: looked at, and compared with what is wanted.
fn nothing_to_do(c: &mut Criterion, site: &Site, state: &State) {
    let recorded = state.installs.first().expect("an install");
    let digest = state.sets[&recorded.set].digest;
    let (named, cache, us) = (certsync::collect::name_sets(&site.desired, state), site.cache(), site.at.to_string());
    let quiet = || quiet_sets(&site.desired, &named, &cache, clock::unix_seconds()).len();
    assert_eq!(quiet(), SOME, "every set is quiet");
    c.bench_function("glance at quiet sets, 100 sets", |b| b.iter(quiet));
    let set = named.sets.iter().find(|set| set.name == recorded.set).expect("the set");
    let current = recorded.current.as_ref().map(|current| current.name.as_str());
    let how = How { depth: Depth::Metadata, us: &us, recorded: current, largest: site.desired.limits.set };
    let mut contents = cache.contents(&recorded.set);
    let mut look = || {
        contents.trace.begin_place(0);
        observe(&recorded.dest, &recorded.set, &[], &mut contents, how).expect("it can be looked at")
    };
    let observed = look();
    c.bench_function("observe, 4 files", |b| b.iter(&mut look));
    let facts = std::sync::Arc::<SetFacts>::default();
    let made: Vec<_> = recorded.made.into_iter().collect();
    let situation = Situation {
        set: &set.name,
        install: &set.installs[0],
        wanted: &Wanted { digest, facts: &facts, files: None },
        recorded: Some(recorded),
        made: &made,
        observed: &observed,
        because: None,
        now: clock::unix_seconds(),
        user_name: users::user_name,
        group_name: users::group_name,
    };
    assert!(matches!(diff(&situation), Diffed::Plan(plan) if plan.steps.is_empty()), "nothing is to do");
    c.bench_function("diff of nothing to do, 4 files", |b| b.iter(|| diff(black_box(&situation))));
}

/// The state of one set, many times over.
fn state(c: &mut Criterion) {
    let site = Site::installed(1);
    let mut state = site.state();
    let (set, install) = (state.sets.pop_first().expect("a set").1, state.installs.remove(0));
    for number in 0..MANY {
        let name: SetName = tree::name(number).parse().expect("a name");
        let dest = format!("{}/{name}", site.tree.installed().display()).parse().expect("a path");
        state.installs.push(certsync::state::InstallState { set: name.clone(), dest, ..install.clone() });
        state.sets.insert(name, set.clone());
    }
    let dir = site.dir();
    state.save(&dir, &site.at).expect("it is written");
    let mut group = c.benchmark_group("state");
    group.sample_size(10);
    group.bench_function("load, 10,000 sets", |b| b.iter(|| site.state()));
    group.bench_function("save durably, 10,000 sets", |b| b.iter(|| state.save(&dir, &site.at)));
    group.finish();
}

/// Four files at the source and four that are installed, for each set.
fn cache(c: &mut Criterion) {
    let stat = |ino: u64| Stat {
        dev: 1,
        ino,
        kind: Kind::File,
        uid: 0,
        gid: 0,
        mode: Mode::from_bits(0o600),
        size: 1000,
        nlink: 1,
        mtime: 7,
        // Never a whole second: such a time is not believed.
        ctime: i128::from(ino) + 1,
    };
    let known = Known { sha256: ContentHash::of(b"content"), kind: FileKind::Certificates, acl: Acl::Plain };
    let mut full = Cache::read(Vec::new(), "boot", Belief::Metadata);
    let name = |number: u64| format!("site{number}.test").parse::<SetName>().expect("a name");
    for number in 0..MANY as u64 {
        let mut contents = full.contents(&name(number));
        (1..9).for_each(|ino| contents.record(&stat(8 * number + ino), known, i128::MAX));
        full.keep(&name(number), contents, Looked::Everywhere);
    }
    let bytes = full.bytes("boot", None);
    let mut group = c.benchmark_group("cache");
    group.sample_size(20);
    group.bench_function("load, 80,000 files", |b| {
        b.iter_batched(|| bytes.clone(), |bytes| Cache::read(bytes, "boot", Belief::Metadata), BatchSize::LargeInput)
    });
    group.bench_function("write, 80,000 files", |b| b.iter(|| full.bytes("boot", None)));
    let of_set = |cache: &Cache, number: u64| {
        let mut contents = cache.contents(&name(number));
        (1..9).filter(|ino| contents.find(&stat(8 * number + ino)).is_some()).count()
    };
    let look_up = |cache: Cache| (0..MANY as u64).map(|number| of_set(&cache, number)).sum::<usize>();
    let loaded = || Cache::read(bytes.clone(), "boot", Belief::Metadata);
    assert_eq!(look_up(loaded()), 8 * MANY);
    group.bench_function("look-ups, 80,000 files", |b| b.iter_batched(loaded, look_up, BatchSize::LargeInput));
    group.finish();
}

fn absolute(path: &Path) -> AbsPath {
    path.to_str().and_then(|path| path.parse().ok()).expect("an absolute path")
}
