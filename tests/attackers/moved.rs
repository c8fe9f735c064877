//! The owner of a `dest`'s parent, of a `dest` or of a generation moves what is root's into the place of what is certsync's.

use super::fortress::{Scene, held};
use super::him::HIM;
use super::host::is_root;
use std::fs::{self, rename};
use std::os::unix::fs::symlink;
use std::process::Output;

/// A directory of root's that lies in his: he may give it another name there, and no more.
fn in_his(scene: &Scene, name: &str, mode: u32) -> super::fortress::Held {
    fs::create_dir(scene.host.at(name)).expect("a directory");
    scene.keep(&format!("{name}/deeper"));
    scene.host.write(&format!("{name}/text"), "root's own words\n");
    scene.host.mode(name, mode);
    held(&scene.host.at(name))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_directory_of_roots_in_the_place_of_a_dest_is_not_adopted_for_who_moved_it() {
    if !is_root() {
        return;
    }
    for layout in ["generations", "flat"] {
        let scene = Scene::new(&format!("dest: his/ssl, layout: {layout}"));
        scene.keep("his/kept");
        let kept = held(&scene.host.at("his/kept"));
        rename(scene.host.at("his/kept"), scene.host.at("his/ssl")).expect("he moves it");
        let runs = [scene.run(&["apply"]), scene.run(&["plan"])];
        assert!(text(&runs[0]).contains("may not read it"), "{}", text(&runs[0]));
        scene.survives_as("his/kept", &kept, layout);
        scene.tells_nothing(&kept.into_iter().chain(scene.fortress()).collect(), &runs, layout);
    }
}

#[test]
fn a_directory_below_one_that_was_moved_there_is_not_given_away() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(&format!("dest: his/way/ssl, owner: {HIM}, group: {HIM}, dir_mode: drwxr-xr-x"));
    fs::create_dir(scene.host.at("his/kept")).expect("a directory");
    let kept = in_his(&scene, "his/kept/ssl", 0o700);
    rename(scene.host.at("his/kept"), scene.host.at("his/way")).expect("he moves it");
    let run = scene.run(&["apply"]);
    assert!(text(&run).contains("lies where others may exchange it"), "{}", text(&run));
    scene.survives_as("his/kept/ssl", &kept, "an ancestor was moved");
}

#[test]
fn a_link_of_roots_below_a_directory_that_was_moved_there_is_not_followed() {
    if !is_root() {
        return;
    }
    let scene = Scene::new("dest: his/way/ssl");
    fs::create_dir(scene.host.at("his/kept")).expect("a directory");
    symlink(scene.host.at("fortress/empty"), scene.host.at("his/kept/ssl")).expect("root's own link");
    rename(scene.host.at("his/kept"), scene.host.at("his/way")).expect("he moves it");
    let before = scene.fortress();
    let run = scene.run(&["apply"]);
    assert!(text(&run).contains("is not followed: others may exchange"), "{}", text(&run));
    scene.stands(&before, "a link below his directory");
}

#[test]
fn a_private_folder_of_roots_in_the_place_of_certsyncs_own_keeps_its_mode() {
    if !is_root() {
        return;
    }
    let scene = Scene::new("dest: his/ssl");
    assert_eq!(scene.run(&["apply"]).status.code(), Some(0));
    scene.give("his/ssl");
    let kept = in_his(&scene, "his/ssl/kept", 0o700);
    rename(scene.host.at("his/ssl/.certsync"), scene.host.at("his/ssl/away")).expect("he moves it");
    rename(scene.host.at("his/ssl/kept"), scene.host.at("his/ssl/.certsync")).expect("he moves it");
    let run = scene.run(&["apply"]);
    assert!(text(&run).contains("does not say that it is certsync's"), "{}", text(&run));
    scene.survives_as("his/ssl/kept", &kept, "in the place of .certsync");
}

#[test]
fn what_he_moved_into_a_generation_is_not_emptied_for_him() {
    if !is_root() {
        return;
    }
    let scene = Scene::new("dest: his/ssl, keep: 1");
    assert_eq!(scene.run(&["apply"]).status.code(), Some(0));
    let old = scene.host.current("his/ssl", "site");
    fs::create_dir(scene.host.at("his/box")).expect("a directory");
    let kept = in_his(&scene, "his/box/kept", 0o755);
    // A directory of his own may go anywhere, with what is root's in it.
    scene.give("his/box");
    rename(scene.host.at("his/box"), scene.host.at(&format!("his/ssl/.certsync/site/{old}/box"))).expect("he moves it");
    let mut warned = String::new();
    for number in 2..5 {
        scene.host.renew(number);
        warned += &text(&scene.run(&["apply"]));
    }
    assert!(warned.contains("could not be removed"), "{warned}");
    scene.survives(&kept, "a generation was swept");
    scene.host.spec("version: 1\ncerts: {}\n");
    let run = scene.run(&["remove", "site"]);
    assert_ne!(run.status.code(), Some(0), "{}", text(&run));
    scene.survives(&kept, "a set was removed");
}

#[test]
fn a_folder_of_roots_with_a_name_for_something_unfinished_keeps_what_is_in_it() {
    if !is_root() {
        return;
    }
    let scene = Scene::new("dest: his/ssl");
    fs::create_dir(scene.host.at("his/ssl")).expect("a directory");
    scene.host.write("his/ssl/kept/owner", "root's own words\n");
    scene.give("his/ssl");
    let kept = held(&scene.host.at("his/ssl/kept"));
    rename(scene.host.at("his/ssl/kept"), scene.host.at("his/ssl/.new-2147483647-2-3")).expect("he moves it");
    assert_eq!(scene.run(&["apply"]).status.code(), Some(0));
    scene.survives_as("his/ssl/kept", &kept, "swept");
}

#[test]
fn a_folder_in_the_place_of_a_file_that_was_just_adopted_stays() {
    if !is_root() {
        return;
    }
    let scene = Scene::new("dest: his/ssl");
    assert_eq!(scene.run(&["apply"]).status.code(), Some(0));
    let kept = in_his(&scene, "his/kept", 0o755);
    // Where an exchange leaves it that could not be taken back.
    rename(scene.host.at("his/kept"), scene.host.at("his/ssl/.certsync/site/.taken-1-2-3")).expect("a rename");
    scene.host.renew(2);
    let run = scene.run(&["apply"]);
    assert!(text(&run).contains("move it to where it belongs"), "{}", text(&run));
    scene.host.spec("version: 1\ncerts: {}\n");
    let run = scene.run(&["remove", "site"]);
    assert!(text(&run).contains("move it to where it belongs"), "{}", text(&run));
    scene.survives_as("his/kept", &kept, "an adoption was cut off");
}

#[test]
fn the_number_of_an_inode_does_not_make_a_directory_certsyncs() {
    if !is_root() {
        return;
    }
    let scene = Scene::new("dest: his/ssl");
    assert_eq!(scene.run(&["apply"]).status.code(), Some(0));
    let made = fs::metadata(scene.host.at("his/ssl")).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta)).expect("metadata");
    scene.host.remove("his/ssl");
    let kept = in_his(&scene, "his/ssl", 0o700);
    let now = fs::metadata(scene.host.at("his/ssl")).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta)).expect("metadata");
    let state = scene.host.read("state/state.json");
    assert!(state.contains(&format!("\"ino\":{made}")), "{state}");
    // The file system may give the number itself to the next directory; here it is given by hand.
    scene.host.write("state/state.json", state.replace(&format!("\"ino\":{made}"), &format!("\"ino\":{now}")));
    scene.run(&["apply"]);
    scene.survives_as("his/ssl", &kept, "a number came back");
}
