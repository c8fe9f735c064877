//! Files that are gone from the source.

use super::host::Host;

const LAYOUTS: [&str; 2] = ["generations", "flat"];

/// Installed with `extra.txt`, which is then gone from the source.
fn without_extra(rest: &str) -> Host {
    let (host, _) = Host::one(rest);
    host.write("live/extra.txt", "text");
    host.apply().has_status(2);
    host.quiet();
    host.forget_hooks();
    host.remove("live/extra.txt");
    host
}

#[test]
fn a_file_gone_from_the_source_stays_and_owes_no_hook() {
    for layout in LAYOUTS {
        let host = without_extra(&format!("layout: {layout}"));
        host.apply().has_status(0);
        assert_eq!((host.read("ssl/extra.txt").as_str(), host.hooks()), ("text", 0));
        host.quiet();
        let pair = host.renew(2);
        host.planned_and_applied("installed", "renewed");
        host.shows("ssl", &pair);
        assert_eq!(host.read("ssl/extra.txt"), "text", "carried into the next generation");
    }
}

#[test]
fn a_carried_file_is_repaired_like_any_other() {
    for layout in LAYOUTS {
        let host = without_extra(&format!("layout: {layout}"));
        host.apply();
        host.mode("ssl/extra.txt", 0o666);
        host.planned_and_applied("repaired", "drift");
        assert_eq!((host.mode_of("ssl/extra.txt").as_str(), host.read("ssl/extra.txt").as_str()), ("0600", "text"));
        host.remove("ssl/extra.txt");
        host.planned_and_applied("repaired", "drift");
        assert_eq!(host.read("ssl/extra.txt"), "text");
    }
}

/// Where only the generation in place holds it, there is nothing to restore it from.
#[test]
fn a_carried_file_that_was_changed_is_restored_or_said_to_be_changed_and_hooks_run() {
    for (layout, text) in [("generations", "changed"), ("flat", "text")] {
        let host = without_extra(&format!("layout: {layout}"));
        host.apply();
        host.write("ssl/extra.txt", "changed");
        let run = host.planned_and_applied("repaired", "drift");
        assert_eq!((host.read("ssl/extra.txt").as_str(), host.hooks()), (text, 1), "{layout}");
        let notes = &run.json["sets"][0]["installs"][0]["notes"];
        assert_eq!(notes.as_array().map_or(0, Vec::len), usize::from(layout == "generations"), "{notes}");
    }
}

#[test]
fn a_file_that_reappears_is_the_sources_again() {
    for layout in LAYOUTS {
        let host = without_extra(&format!("layout: {layout}"));
        host.apply();
        host.write("live/extra.txt", "other");
        host.planned_and_applied("installed", "renewed");
        assert_eq!(host.read("ssl/extra.txt"), "other");
        assert_eq!(host.state()["installs"][0]["current"]["carried"], serde_json::json!([]));
    }
}

#[test]
fn with_prune_a_file_gone_from_the_source_goes() {
    for layout in LAYOUTS {
        let host = without_extra(&format!("layout: {layout}, prune: true"));
        host.write("ssl/foreign.txt", "mine");
        let run = host.planned_and_applied("installed", "renewed");
        assert_eq!(run.paths(), ["extra.txt"]);
        assert!(!host.has("ssl/extra.txt"));
        assert_eq!((host.read("ssl/foreign.txt").as_str(), host.hooks()), ("mine", 1));
    }
}

#[test]
fn with_prune_a_file_that_somebody_changed_meanwhile_stays() {
    let host = without_extra("layout: flat, prune: true");
    host.write("ssl/extra.txt", "mine now");
    host.apply().has_status(2);
    assert_eq!(host.read("ssl/extra.txt"), "mine now");
    host.quiet();
}

#[test]
fn pruning_can_be_turned_on_later() {
    for layout in LAYOUTS {
        let host = without_extra(&format!("layout: {layout}"));
        host.apply();
        host.spec_one(&format!("layout: {layout}, prune: true"));
        host.planned_and_applied("installed", "spec");
        assert!(!host.has("ssl/extra.txt"));
    }
}
