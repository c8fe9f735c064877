//! The same while certsync works: he exchanges at full speed, and certsync is stopped for a moment around each call, so that every gap
//! between a look and a deed is as wide as he could wish for.

use super::fortress::{Held, Scene, held};
use super::him::{Attack, HIM, Swapper, in_full};
use super::host::is_root;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Output;

/// What is exchanged with what, relative to the host; what is planted before, and how the host begins.
struct Race {
    name: &'static str,
    install: &'static str,
    one: &'static str,
    other: &'static str,
    begin: fn(&Scene),
}

fn link_to_fortress(scene: &Scene) {
    symlink(scene.host.at("fortress"), scene.host.at("his/decoy")).expect("a link");
    scene.give("his/decoy");
}

fn link_to_key(scene: &Scene) {
    symlink(scene.host.at("fortress/set/privkey.pem"), scene.host.at("his/decoy")).expect("a link");
    scene.give("his/decoy");
}

fn roots_directory(scene: &Scene) {
    scene.keep("his/decoy");
}

fn roots_empty_directory(scene: &Scene) {
    fs::create_dir(scene.host.at("his/decoy")).expect("a directory");
    scene.host.mode("his/decoy", 0o700);
}

/// `dest` is his, as a pre-made one may be.
fn his_dest(scene: &Scene, plant: fn(&Scene)) {
    fs::create_dir(scene.host.at("his/ssl")).expect("a directory");
    scene.give("his/ssl");
    plant(scene);
    fs::rename(scene.host.at("his/decoy"), scene.host.at("his/ssl/decoy")).expect("a rename");
}

fn his_source(scene: &Scene, plant: fn(&Scene)) {
    scene.give_all("live");
    fs::rename(scene.host.at("live"), scene.host.at("his/live")).expect("a rename");
    let spec = scene.host.read("certsync.yaml").replace("source: live", "source: his/live");
    scene.host.spec(&spec);
    plant(scene);
}

fn installed_and_his(scene: &Scene, plant: fn(&Scene)) {
    assert_eq!(scene.run(&["apply"]).status.code(), Some(0));
    scene.give("his/ssl");
    plant(scene);
    fs::rename(scene.host.at("his/decoy"), scene.host.at("his/ssl/decoy")).expect("a rename");
}

fn sticky(scene: &Scene) {
    fs::create_dir_all(scene.host.at("open/ssl")).expect("a directory");
    scene.host.mode("open", 0o1777);
    scene.give("open/ssl");
    link_to_fortress(scene);
    fs::rename(scene.host.at("his/decoy"), scene.host.at("open/decoy")).expect("a rename");
}

fn in_his_generation(scene: &Scene) {
    assert_eq!(scene.run(&["apply"]).status.code(), Some(0));
    scene.host.renew(2);
    link_to_key(scene);
    fs::rename(scene.host.at("his/decoy"), scene.host.at("his/ssl/.certsync/site/current/decoy")).expect("a rename");
}

const NEW: &str = "*new*";

const RACES: [Race; 18] = [
    Race { name: "dest for a link", install: "dest: his/ssl", one: "his/ssl", other: "his/decoy", begin: link_to_fortress },
    Race { name: "dest for root's", install: "dest: his/ssl", one: "his/ssl", other: "his/decoy", begin: roots_directory },
    Race {
        name: "dest for root's, with an owner",
        install: "dest: his/ssl, owner: 12345, dir_mode: drwxrwxr-x",
        one: "his/ssl",
        other: "his/decoy",
        begin: roots_empty_directory,
    },
    Race { name: "a parent for a link", install: "dest: his/sub/ssl", one: "his/sub", other: "his/decoy", begin: link_to_fortress },
    Race { name: "a parent for root's", install: "dest: his/sub/ssl", one: "his/sub", other: "his/decoy", begin: roots_directory },
    Race { name: "a new dest for root's empty one", install: "dest: his/ssl", one: "his", other: NEW, begin: roots_empty_directory },
    Race {
        name: "a new .certsync for root's empty one",
        install: "dest: his/ssl",
        one: "his/ssl",
        other: NEW,
        begin: |scene| his_dest(scene, roots_empty_directory),
    },
    Race {
        name: "a new .certsync for root's full one",
        install: "dest: his/ssl",
        one: "his/ssl",
        other: NEW,
        begin: |scene| his_dest(scene, roots_directory),
    },
    Race {
        name: ".certsync for root's",
        install: "dest: his/ssl",
        one: "his/ssl/.certsync",
        other: "his/ssl/decoy",
        begin: |scene| installed_and_his(scene, roots_directory),
    },
    Race {
        name: ".certsync for a link",
        install: "dest: his/ssl, layout: flat",
        one: "his/ssl/.certsync",
        other: "his/ssl/decoy",
        begin: |scene| installed_and_his(scene, link_to_fortress),
    },
    Race {
        name: "an adopted file for a link",
        install: "dest: his/ssl",
        one: "his/ssl/privkey.pem",
        other: "his/ssl/decoy",
        begin: |scene| his_dest(scene, link_to_key),
    },
    Race {
        name: "an adopted file for root's directory",
        install: "dest: his/ssl",
        one: "his/ssl/privkey.pem",
        other: "his/ssl/decoy",
        begin: |scene| his_dest(scene, roots_directory),
    },
    Race {
        name: "a flat file for a link",
        install: "dest: his/ssl, layout: flat",
        one: "his/ssl/privkey.pem",
        other: "his/ssl/decoy",
        begin: |scene| installed_and_his(scene, link_to_key),
    },
    Race {
        name: "a file of his source for a link",
        install: "dest: his/ssl",
        one: "his/live/privkey.pem",
        other: "his/decoy",
        begin: |scene| his_source(scene, link_to_key),
    },
    Race {
        name: "his source for root's directory",
        install: "dest: his/ssl",
        one: "his/live",
        other: "his/decoy",
        begin: |scene| his_source(scene, roots_directory),
    },
    Race { name: "a dest of his in a sticky directory", install: "dest: open/ssl", one: "open/ssl", other: "open/decoy", begin: sticky },
    Race {
        name: "a file of his generation for a link",
        install: "dest: his/ssl",
        one: "his/ssl/.certsync/site/current/privkey.pem",
        other: "his/ssl/.certsync/site/current/decoy",
        begin: in_his_generation,
    },
    Race {
        name: "a file of his generation for a link, flat",
        install: "dest: his/ssl, layout: flat",
        one: "his/ssl/.certsync/site/current/privkey.pem",
        other: "his/ssl/.certsync/site/current/decoy",
        begin: in_his_generation,
    },
];

/// How many runs each race has, and how many of them are slowed down.
fn rounds() -> (u32, u32) {
    if in_full() { (60, 40) } else { (3, 2) }
}

fn race(race: &Race) {
    let (all, slow) = rounds();
    for round in 0..all {
        let scene = Scene::new(race.install);
        (race.begin)(&scene);
        let decoy = if race.other == NEW { format!("{}/decoy", race.one) } else { race.other.to_owned() };
        let (fortress, roots) = (scene.fortress(), held(&scene.host.at(&decoy)));
        let attack = match race.other {
            NEW => Attack::Chase { folder: scene.host.at(race.one), decoy: scene.host.at(&decoy) },
            other => Attack::Exchange(scene.host.at(race.one), scene.host.at(other)),
        };
        let swapper = Swapper::start(&attack);
        let runs: Vec<Output> = if round < slow {
            vec![scene.run_slowly(400, &["apply"])]
        } else {
            (0..4)
                .map(|number| {
                    if scene.host.has("live") {
                        scene.host.renew(2 + number);
                    }
                    scene.run(&["apply"])
                })
                .collect()
        };
        drop(swapper);
        let when = format!("{}, round {round}", race.name);
        scene.stands(&fortress, &when);
        if roots.values().any(|inode| inode.is_roots()) {
            scene.survives_as(&decoy, &roots, &when);
        }
        scene.tells_nothing(&roots.into_iter().chain(fortress).collect::<Held>(), &runs, &when);
    }
}

#[test]
fn nothing_of_roots_is_touched_or_told_while_he_exchanges_steps() {
    if !is_root() {
        return;
    }
    for one in &RACES {
        race(one);
    }
    let (all, slow) = rounds();
    println!("{} races as uid {HIM}, {all} rounds each, {slow} of them slowed down", RACES.len());
}
