//! `keygen`, `authorized-keys` and `known-hosts` on the command line.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use support::Test;

const MGMT: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINfYTpiLH8pQzcYlyt2N5Mwp2086vuAhroIng6h9lpzW";
const MGMT_ID: &str = "SHA256:mAdGgnYO7MnPS44RV9M+M2F2qg5IeL0Cak8aJ2yblN0";
const WEB1: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBCyIoKc2oO4uyu0B/eBCuktAy/c2c09VkZYab7vbAN13I/svYP5pQhFX416vHXHX9OeOqFJyQSjqXE45bXD+0RM=";
const WEB1_ID: &str = "SHA256:LPQXfsDdRmirKzPPoq+4P+jbT+pIAPhvk4xv4H1jsUs";
const EDGE: &str =
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAINfYTpiLH8pQzcYlyt2N5Mwp2086vuAhroIng6h9lpzWAAAABHNzaDo=";
const EDGE_ID: &str = "SHA256:Wp71HhcJg0v0rZbR0U5oRuZdi6K8pNqPURaA1aqvrAQ";
const OLD1: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFLJp2n5lWMY8SX+BE5EuCA7VsNUyq3hSykKy4S8KA2M";
const OLD1_ID: &str = "SHA256:QorxSD8ztlaRoF/JoQNc0OAaAtxt/ry1f3g45B19JW0";

/// mgmt, web1 below it, edge below web1; old1 below mgmt has no certsync.
fn spec() -> String {
    format!(
        "\
version: 1
servers:
  mgmt: {{ address: ssl.example.com, port: 2222, public_key: \"{MGMT} root@mgmt\", host_key: \"{MGMT}\" }}
  web1: {{ address: 10.0.0.11, upstream: mgmt, delivery: push, public_key: \"{WEB1}\", host_key: [\"{WEB1}\", \"{EDGE}\"] }}
  \"Edge 1\": {{ address: 10.0.0.12, upstream: web1, public_key: \"{EDGE}\", host_key: \"{EDGE}\", from: [10.0.0.0/8, \"!10.1.*\"] }}
  old1: {{ address: 10.0.0.99, upstream: mgmt, delivery: push, public_key: \"{OLD1}\", host_key: \"{OLD1}\", via: {{ rsync: /live }} }}
certs:
  example.com: {{ source: /srv/certs/example.com, targets: all, install: /etc/ssl/example.com }}
"
    )
}

/// The program that runs, which its lines name.
fn program() -> String {
    assert_cmd::cargo::cargo_bin("certsync").display().to_string()
}

fn line(name: &str, id: &str, me: &str, key: &str) -> String {
    let name_word = if name.contains(' ') { format!("'{name}'") } else { name.to_owned() };
    let me = if me.contains(' ') { format!("'{me}'") } else { me.to_owned() };
    let program = program();
    format!(
        "command=\"{program} gate --peer {name_word} --key {id} --spec [DIR]/certsync.yaml --state-dir [DIR]/state --as {me}\" {key} {name}\n"
    )
}

#[test]
fn exactly_the_hosts_directly_above_and_below_are_let_in() {
    let test = Test::new().spec(&spec()).args(["authorized-keys", "--as", "mgmt"]);
    let answer = test.stdout(&format!("restrict,{}", line("web1", WEB1_ID, "mgmt", WEB1))).run();
    let of_web1 = format!(
        "restrict,{}restrict,from=\"10.0.0.0/8,!10.1.*\",{}",
        line("mgmt", MGMT_ID, "web1", MGMT),
        line("Edge 1", EDGE_ID, "web1", EDGE)
    );
    answer.again().args(["authorized-keys", "--as", "web1"]).stdout(&of_web1).run();
    answer.again().args(["authorized-keys", "--as", "Edge 1"]).stdout(&format!("restrict,{}", line("web1", WEB1_ID, "Edge 1", WEB1))).run();
}

#[test]
fn sshd_is_answered_for_one_key() {
    let wanted = format!("restrict,{}", line("web1", WEB1_ID, "mgmt", WEB1));
    let answer = Test::new().spec(&spec()).args(["authorized-keys", "--as", "mgmt", "--for-key", WEB1_ID]).stdout(&wanted).run();
    let (kind, blob) = WEB1.split_once(' ').expect("two words");
    answer.again().args(["authorized-keys", "--as", "mgmt", "--for-key", kind, blob]).stdout(&wanted).run();
    answer.again().args(["authorized-keys", "--as", "mgmt", "--for-key", WEB1]).stdout(&wanted).run();
    // Known, but not directly above or below, or without certsync; unknown; of a kind that is never let in.
    for key in [EDGE_ID, MGMT_ID, OLD1_ID, "ssh-dss AAAAB3NzaC1kc3MAAACB", "nonsense"] {
        answer.again().args(["authorized-keys", "--as", "mgmt", "--for-key", key]).run();
    }
    answer.again().args(["authorized-keys", "--as", "mgmt", "--for-key", "SHA256:short"]).stderr_has("not the fingerprint").status(1).run();
}

#[test]
fn a_block_in_a_file_is_kept_and_other_lines_stay() {
    let answer =
        Test::new().spec(&spec()).file("keys", "# mine\n\tssh-rsa AAAA me\r\nlast").args(["validate", "--as", "mgmt"]).any_stdout().run();
    let file = answer.dir().join("keys");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
    let write = |dir: &str| answer.again().args(["authorized-keys", "--as", "mgmt", "--write", dir]);
    write("keys").stdout("[DIR]/keys: changed\n").run();
    let first = fs::read_to_string(&file).expect("text");
    let dir = answer.dir().display().to_string();
    let wanted = format!(
        "# mine\n\tssh-rsa AAAA me\r\nlast\n# BEGIN certsync: certsync authorized-keys --write keeps these lines\nrestrict,{}# END certsync\n",
        line("web1", WEB1_ID, "mgmt", WEB1).replace("[DIR]", &dir)
    );
    assert_eq!(first, wanted);
    let before = fs::metadata(&file).expect("it is there");
    assert_eq!(before.mode() & 0o7777, 0o600);
    write("keys").stdout("[DIR]/keys: unchanged\n").run();
    assert_eq!(fs::metadata(&file).expect("it is there").ino(), before.ino(), "nothing was written");
    // The key of a host that left the spec goes; what was added behind the block stays.
    fs::write(&file, format!("{first}added later")).expect("written");
    let gone = spec()
        .replace("upstream: web1", "upstream: mgmt")
        .replace(&format!("public_key: \"{WEB1}\""), &format!("public_key: \"{WEB1_OTHER}\""));
    answer.again().spec(&gone).args(["authorized-keys", "--as", "mgmt", "--write", "keys", "-q"]).run();
    let then = fs::read_to_string(&file).expect("text");
    assert!(!then.contains(WEB1) && then.contains(WEB1_OTHER) && then.contains(EDGE), "{then}");
    assert!(then.starts_with("# mine\n\tssh-rsa AAAA me\r\nlast\n") && then.ends_with("# END certsync\nadded later"), "{then}");
}

const WEB1_OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINVl+zv5A11gDeOz4UN0HgOjWTm44YyH0qzfBIcVUQc2";

#[test]
fn a_file_that_sshd_would_not_read_is_left_alone() {
    let answer = Test::new().spec(&spec()).file("keys", "mine\n").args(["validate", "--as", "mgmt"]).any_stdout().run();
    let file = answer.dir().join("keys");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("its mode");
    let write = |name: &str| answer.again().args(["authorized-keys", "--as", "mgmt", "--write", name]).status(1);
    write("keys").stderr_has("[DIR]/keys: others may write to it (-rw-rw-rw-)").stderr_has("chmod go-w [DIR]/keys").run();
    std::os::unix::fs::symlink("keys", answer.dir().join("link")).expect("a link");
    write("link").stderr_has("[DIR]/link: is a link").run();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
    fs::write(&file, "# BEGIN certsync\nmine\n").expect("written");
    write("keys").stderr_has("[DIR]/keys: line 1: the block of certsync's that begins here has no end").run();
    assert_eq!(fs::read_to_string(&file).expect("text"), "# BEGIN certsync\nmine\n");
}

#[test]
fn known_hosts_has_the_hosts_that_are_connected_to() {
    let of_web1 = format!("mgmt,[ssl.example.com]:2222 {MGMT}\nedge-1-951a05210072,10.0.0.12 {EDGE}\n");
    let answer = Test::new().spec(&spec()).args(["known-hosts", "--as", "web1"]).stdout(&of_web1).run();
    answer
        .again()
        .args(["known-hosts", "--as", "mgmt"])
        .stdout(&format!("web1,10.0.0.11 {WEB1}\nweb1,10.0.0.11 {EDGE}\nold1,10.0.0.99 {OLD1}\n"))
        .run();
    answer.again().args(["known-hosts", "--as", "web1", "--write", "known"]).stdout("[DIR]/known: changed\n").run();
    let text = fs::read_to_string(answer.dir().join("known")).expect("text");
    assert_eq!(text, format!("# BEGIN certsync: certsync known-hosts --write keeps these lines\n{of_web1}# END certsync\n"));
    answer.again().args(["known-hosts", "--as", "web1", "--write", "known"]).stdout("[DIR]/known: unchanged\n").run();
}

#[test]
fn without_servers_there_is_nothing_to_print() {
    let alone = "version: 1\ncerts:\n  a: { source: /srv/a, install: /etc/a }\n";
    for args in [&["authorized-keys"][..], &["authorized-keys", "--for-key", WEB1_ID], &["known-hosts"]] {
        Test::new().spec(alone).args(args).stderr_has("certsync.yaml: has no `servers:`").status(1).run();
    }
    Test::new().args(["authorized-keys", "--write", "x", "--for-key", "y"]).stderr_has("cannot be used with").status(1).run();
}

#[test]
fn a_key_pair_is_made_once_and_rotated() {
    let first = Test::new().args(["keygen"]).any_stdout().run();
    assert!(first.stdout.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI") && first.stdout.lines().count() == 1, "{}", first.stdout);
    let told = "certsync: this host has its key already\n";
    first.again().args(["keygen"]).stdout(&first.stdout).stderr(told).run();
    first.again().args(["keygen", "-q"]).stdout(&first.stdout).run();
    first.again().args(["keygen", "--activate"]).stderr_has("there is no next key").status(1).run();
    let next = first.again().args(["keygen", "--next"]).any_stdout().run().stdout;
    assert_ne!(next, first.stdout);
    first.again().args(["keygen", "--next"]).stdout(&next).stderr("certsync: there is a next key already\n").run();
    first.again().args(["keygen", "-q"]).stdout(&first.stdout).run();
    first.again().args(["keygen", "--activate"]).stdout(&next).run();
    first.again().args(["keygen", "--activate"]).stdout(&next).stderr("certsync: the next key is in use already\n").run();
    first.again().args(["keygen", "-q"]).stdout(&next).run();
    first.again().args(["keygen", "--next", "--activate"]).stderr_has("cannot be used with").status(1).run();
}
