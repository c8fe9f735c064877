//! `certsync status` on a host: what it sees, what it writes, what it leaves alone.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use support::site::{Site, Wanted, issue, issue_with};

const SPEC: &str = "version: 1
hooks: { h: { check: '! cmp -s [DIR]/bad [DIR]/dest/a/privkey.pem', run: 'test -e [DIR]/fine' } }
certs:
  a: { source: src/a, install: { dest: '[DIR]/dest/a', hooks: [h] } }
  b: { source: src/b, install: '[DIR]/dest/b' }
";

fn site() -> Site {
    let site = Site::new(SPEC);
    site.write("fine", "");
    site.source("a", &issue(&["a.test", "www.a.test"], 5));
    site.source("b", &issue(&["b.test"], 5));
    site.apply(0);
    site
}

/// The answer's first install, which is that of `a`.
fn a(site: &Site) -> serde_json::Value {
    site.call(&["status", "--format", "json"]).json["installs"][0].clone()
}

/// Every path below, with what tells that it was touched.
fn everything(root: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut rest = vec![root.to_owned()];
    while let Some(path) = rest.pop() {
        let meta = fs::symlink_metadata(&path).expect("it is there");
        found.insert(path.display().to_string(), (meta.ino(), meta.ctime(), meta.ctime_nsec()));
        if meta.is_dir() {
            rest.extend(fs::read_dir(&path).expect("it is read").flatten().map(|entry| entry.path()));
        }
    }
    found
}

/// The keys of the value are those that the schema has for it, no less and no more.
fn assert_fits(value: &serde_json::Value, schema: &serde_json::Value) {
    let keys = |value: &serde_json::Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let mut required: Vec<_> = schema["required"].as_array().expect("an array").iter().filter_map(|key| key.as_str()).collect();
    required.sort_unstable();
    assert_eq!(keys(value), required);
    assert_eq!(keys(value), keys(&schema["properties"]));
}

#[test]
fn the_answer_is_what_the_schema_says_and_names_this_host() {
    let site = site();
    let status = site.call(&["status", "--format", "json"]).json;
    assert_eq!(status["server"], serde_json::Value::Null);
    let schema: serde_json::Value = serde_json::from_str(include_str!("../schema/status.schema.json")).expect("json");
    assert_fits(&status, &schema);
    assert_fits(&status["installs"][0], &schema["$defs"]["InstallStatus"]);
    site.spec(
        &SPEC
            .replace("certs:", "servers: { hub: { address: hub.test } }\ncerts:")
            .replace("{ source", "{ targets: all, origin: hub, source"),
    );
    let status = site.call(&["status", "--as", "hub", "--format", "json"]).ends(0).json;
    assert_eq!(status["server"], "hub");
}

#[test]
fn a_healthy_host() {
    let site = site();
    let text = site.call(&["status"]).ends(0).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("SET") && lines[1].starts_with("a    [DIR]/dest/a") && lines[3].starts_with("last run 2"), "{text}");
    let install = a(&site);
    assert_eq!(
        (install["days_left"].as_i64(), install["drift"].as_str(), install["result"].as_str()),
        (Some(60), Some("no"), Some("unchanged"))
    );
    assert_eq!(install["names"], serde_json::json!(["a.test", "www.a.test"]));
    assert_eq!(install["hooks"], serde_json::json!([{ "name": "h", "owed": "no" }]));
}

#[test]
fn nothing_is_written_even_where_there_is_work() {
    let site = site();
    site.source("a", &issue(&["a.test"], 4));
    site.remove("dest/b/privkey.pem");
    let before = everything(site.dir());
    for format in ["text", "json", "prometheus"] {
        site.call(&["status", "--format", format]).ends(0);
    }
    assert_eq!(everything(site.dir()), before);
}

#[test]
fn without_a_state_directory_nothing_is_installed_and_nothing_is_made() {
    let site = Site::new(SPEC);
    site.source("a", &issue(&["a.test"], 5));
    let install = a(&site);
    assert_eq!((install["generation"].as_str(), install["result"].as_str()), (None, Some("waiting")));
    assert!(!site.has("state"));
    let run = site.call(&["status", "--warn", "21d"]).ends(2);
    assert!(run.stdout.starts_with("CRITICAL - a at [DIR]/dest/a: not installed"), "{}", run.stdout);
}

#[test]
fn drift_is_seen_and_a_renewed_source_is_none() {
    let site = site();
    site.source("a", &issue(&["a.test"], 4));
    assert_eq!(a(&site)["drift"], "no");
    site.remove("dest/a/privkey.pem");
    assert_eq!(a(&site)["drift"], "yes");
    let run = site.call(&["status", "--crit", "7d"]).ends(1);
    assert!(run.stdout.starts_with("WARNING - a at [DIR]/dest/a: drift\n"), "{}", run.stdout);
    fs::remove_dir_all(site.path("dest/a")).expect("it goes");
    assert_eq!(a(&site)["drift"], "yes");
}

#[test]
fn owed_hooks_are_told() {
    let site = site();
    site.remove("fine");
    site.source("a", &issue(&["a.test"], 4));
    site.apply(1);
    assert_eq!(a(&site)["hooks"][0]["owed"], "run");
    let run = site.call(&["status", "--warn", "21d"]).ends(1);
    assert!(run.stdout.starts_with("WARNING - a at [DIR]/dest/a: owed: h\n"), "{}", run.stdout);
}

#[test]
fn a_returned_version_is_told_until_it_is_over() {
    let site = site();
    let bad = issue(&["a.test"], 4);
    site.source("a", &bad);
    site.write("bad", &bad.key);
    site.apply(1);
    let install = a(&site);
    assert_eq!(
        (install["returned"].as_bool(), install["result"].as_str(), install["drift"].as_str()),
        (Some(true), Some("rolled_back"), Some("no"))
    );
    let run = site.call(&["status", "--warn", "21d"]).ends(1);
    assert!(run.stdout.starts_with("WARNING - a at [DIR]/dest/a: newer version rolled back\n"), "{}", run.stdout);
    let text = site.call(&["status", "--format", "prometheus"]).ends(0).stdout;
    assert!(
        text.contains("certsync_set_failed{set=\"a\"} 1\n") && text.contains("certsync_returned{set=\"a\",dest=\"[DIR]/dest/a\"} 1\n"),
        "{text}"
    );
    site.source("a", &issue(&["a.test"], 3));
    site.apply(0);
    assert_eq!(a(&site)["returned"], false);
}

#[test]
fn orphans_holds_and_revoked_keys_are_told() {
    let site = site();
    let newer = issue(&["a.test"], 4);
    site.source("a", &newer);
    site.apply(0);
    site.call(&["rollback", "a"]).ends(0);
    assert_eq!(a(&site)["held"], true);
    site.call(&["rollback", "a", "--release"]).ends(0);
    site.spec(&format!("{SPEC}revoked_keys: ['{}']\n", newer.fingerprint()));
    assert_eq!(a(&site)["revoked"], true);
    let run = site.call(&["status", "--warn", "1d"]).ends(2);
    assert!(run.stdout.starts_with("CRITICAL - a at [DIR]/dest/a: revoked key"), "{}", run.stdout);
    site.spec("version: 1\ncerts: { b: { source: src/b, install: '[DIR]/dest/b' } }\n");
    let run = site.call(&["status", "--format", "json"]).ends(0);
    assert_eq!((run.json["installs"][1]["set"].as_str(), run.json["installs"][1]["orphaned"].as_bool()), (Some("a"), Some(true)));
    site.call(&["status", "--warn", "21d"]).ends(1);
}

#[test]
fn the_ends_of_validity_decide_the_exit_status_of_a_monitoring_plugin() {
    let site = site();
    let ok = site.call(&["status", "--warn", "21d", "--crit", "7d"]).ends(0);
    assert!(ok.stdout.starts_with("OK - 2 installs, the first ends in 60 days (a at [DIR]/dest/a)\n"), "{}", ok.stdout);
    site.call(&["status", "--warn", "70d", "--crit", "7d"]).ends(1);
    let critical = site.call(&["status", "--warn", "90d", "--crit", "70d"]).ends(2);
    assert!(critical.stdout.starts_with("CRITICAL - a at [DIR]/dest/a: 60 days left; b at"), "{}", critical.stdout);
    site.write("certsync.yaml", "version: 1\nnonsense: 1\n");
    let unknown = site.call(&["status", "--warn", "21d"]).ends(3);
    assert!(unknown.stdout.starts_with("UNKNOWN - "), "{}", unknown.stdout);
    site.call(&["status"]).ends(3);
}

#[test]
fn an_expired_certificate_is_critical() {
    let site = Site::new("version: 1\ncerts: { a: { source: src/a, accept: [expired], install: '[DIR]/dest/a' } }\n");
    site.source("a", &issue_with(&Wanted { names: &["a.test"], from: -9, to: -1 }));
    site.apply(0);
    let run = site.call(&["status", "--warn", "21d"]).ends(2);
    assert!(run.stdout.starts_with("CRITICAL - a at [DIR]/dest/a: expired\n"), "{}", run.stdout);
}

#[test]
fn a_missing_source_is_a_matter_of_plan_and_apply() {
    let site = site();
    site.remove("src/a");
    assert_eq!(a(&site)["result"], "unchanged");
    // Times are told in seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    site.apply(1);
    let run = site.call(&["status", "--warn", "21d"]).ends(1);
    assert!(run.stdout.starts_with("WARNING - the last run failed\n"), "{}", run.stdout);
}

/// What a scrape reads: (name, labels) and value, with each metric's type told once, before its samples, and without gaps.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let (mut families, mut now) = (Vec::new(), String::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            now = help.split(' ').next().expect("a name").to_owned();
            assert!(!families.contains(&now), "{now} comes twice");
            families.push(now.clone());
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert_eq!(kind, format!("{now} gauge"));
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let name = series.split('{').next().expect("a name");
        assert_eq!(name, now, "{line}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        if let Some((_, labels)) = series.split_once('{') {
            labels_are_right(labels.strip_suffix('}').expect("a closed brace"));
        }
        assert!(samples.insert(series.to_owned(), value.parse().expect("a number")).is_none(), "{line} comes twice");
    }
    samples
}

fn labels_are_right(mut rest: &str) {
    loop {
        let (name, after) = rest.split_once("=\"").expect("a quoted value");
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()), "{rest}");
        let mut escaped = false;
        let end = after.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        rest = &after[end.expect("an end") + 1..];
        if rest.is_empty() {
            return;
        }
        rest = rest.strip_prefix(',').expect("a comma");
    }
}

#[test]
fn prometheus_text_is_read_by_a_scrape() {
    let site = site();
    site.remove("fine");
    site.source("a", &issue(&["a.test"], 4));
    site.apply(1);
    site.remove("dest/b/privkey.pem");
    let text = site.call(&["status", "--format", "prometheus"]).ends(0).stdout;
    let samples = parse(&text);
    let place = |set: &str| format!("{{set=\"{set}\",dest=\"[DIR]/dest/{set}\"}}");
    assert_eq!(samples[&format!("certsync_drift{}", place("b"))], 1.0);
    assert_eq!(samples[&format!("certsync_drift{}", place("a"))], 0.0);
    let owed = samples.iter().find(|(series, _)| series.starts_with("certsync_hook_owed{") && series.contains("hook=\"h\""));
    assert_eq!(owed.map(|(_, value)| *value), Some(1.0));
    let now = site.call(&["status", "--format", "json"]).json["now"].as_f64().expect("a time");
    let end = samples[&format!("certsync_certificate_not_after_seconds{}", place("a"))];
    assert!((end - now - 60.0 * 86_400.0).abs() < 7200.0);
    assert!(samples["certsync_last_run_timestamp_seconds"] >= samples["certsync_last_success_timestamp_seconds"]);
}

#[test]
fn a_strange_name_is_escaped_for_a_scrape() {
    let site = Site::new("version: 1\ncerts: { a: { source: src/a, install: '[DIR]/de\"st\\x' } }\n");
    site.source("a", &issue(&["a.test"], 4));
    site.apply(0);
    let text = site.call(&["status", "--format", "prometheus"]).ends(0).stdout;
    assert!(parse(&text).keys().any(|series| series.contains("de\\\"st\\\\x")), "{text}");
}

#[test]
fn the_output_file_is_replaced_whole() {
    let site = site();
    fs::create_dir(site.path("collector")).expect("a directory");
    site.write("collector/certsync.prom", "old");
    let old = fs::metadata(site.path("collector/certsync.prom")).map(|meta| meta.ino()).expect("it is there");
    let run = site.call(&["status", "--format", "prometheus", "--output", "collector/certsync.prom"]).ends(0);
    assert_eq!(run.stdout, "");
    parse(&site.read("collector/certsync.prom"));
    let meta = fs::metadata(site.path("collector/certsync.prom")).expect("it is there");
    assert!(meta.ino() != old && meta.permissions().mode() & 0o777 == 0o644);
    assert_eq!(fs::read_dir(site.path("collector")).expect("it is read").count(), 1);
    let run = site.call(&["status", "--format", "prometheus", "--output", "collector/certsync.prom", "--warn", "21d"]).ends(0);
    assert!(run.stdout.starts_with("OK - "), "{}", run.stdout);
    site.call(&["status", "--output", "nowhere/x"]).ends(3).says("no such directory");
}
