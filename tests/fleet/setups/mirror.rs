//! Three tiers that are signalled: `examples/mirror-tiers` beside `scripts/mirror.sh`.

crate::failures! { "mirror":
    renewed: "a renewal",
    renewed_twice: "a second renewal while a server still works at the first",
    unreachable_hub: "a hub cannot be reached",
    dies_in_the_middle: "a server dies in the middle of the transfer",
    command_fails_once: "the command fails once",
    deleted_at_the_origin: "a file is deleted at the origin",
    mode_changed: "the key is made readable for all on a server",
    swapped_one_by_one: "the new key comes later than the new certificate",
    stolen_key: "the ssh key of a server is stolen",
}

mod play {
    use super::super::pairs::Pair;
    use super::super::table::Observed;
    use super::super::world::{
        By, Held, KILLED, Ran, any_of, awaited, befriend, fleet_of, held, loads, program, script, sh, sudo_for, thief, write,
    };
    use crate::support::{Fleet, Node};
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::time::Instant;

    const SET: &str = "mirrors.example.com";
    /// The script's way; certsync has hub2 as well.
    const WAY: [&str; 4] = ["origin", "hub1", "mirror1", "edge1"];
    const SERVING: [&str; 2] = ["mirror1", "edge1"];

    /// All tiers, which have the first certificate.
    struct World {
        fleet: Fleet,
        pairs: Vec<Pair>,
    }

    impl World {
        fn new() -> World {
            let fleet = fleet_of("mirror-tiers");
            let mut world = World { fleet, pairs: Vec::new() };
            for (at, name) in WAY.iter().enumerate() {
                world.prepare(name, at.checked_sub(1).map(|above| WAY[above]), WAY.get(at + 1).copied());
            }
            for name in ["hub1", "hub2", "mirror1", "edge1"] {
                let node = world.fleet.node(name);
                sudo_for(node);
                node.certsync(&["apply"]);
            }
            world.renew();
            for by in [By::Script, By::Certsync] {
                assert_eq!(world.send(by).status, Some(0));
                assert!(world.all_have(by, "the new pair"), "{by:?}");
                world.quiet(by);
            }
            world
        }

        /// The script on one server of its way, and the service there.
        fn prepare(&self, name: &str, above: Option<&str>, below: Option<&str>) {
            let node = self.fleet.node(name);
            let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fleet/scripts/mirror.sh")).expect("the script");
            program(node, "mirror.sh", &text);
            for by in [By::Script, By::Certsync] {
                sh(node, &format!("install -d -o ushio /srv/{0}", by.name()));
                loads(node, by, if by == By::Script { "reload" } else { "systemctl" }, &format!("/srv/{}", there(by)));
            }
            sh(node, &format!("install -d -o ushio -g ssl -m 750 /srv/{}; cp /usr/bin/rsync /srv/bin/real-rsync", tls(By::Script)));
            sh(node, "mkdir -m 1777 /srv/once");
            node.write("below", &below.map(|below| format!("127.0.0.1 {}\n", self.fleet.node(below).port)).unwrap_or_default());
            let from = above.map_or("- -".to_owned(), |above| {
                let folder = if above == WAY[0] { "etc/letsencrypt/live/mirrors.example.com" } else { tls(By::Script) };
                format!("ssl@127.0.0.1:/srv/{folder} {}", self.fleet.node(above).port)
            });
            let service = if SERVING.contains(&name) { "/srv/bin/reload" } else { "true" };
            program(node, "mirror", &format!("#!/bin/sh\nexec /srv/bin/mirror.sh {from} /srv/{} /srv/below {service}\n", tls(By::Script)));
            let Some(above) = above.map(|above| self.fleet.node(above)) else { return };
            befriend(node, "ushio", above, "ssl");
            // The signal has a key of its own, which starts the script and nothing else.
            let signal = above.path("home/ushio/.ssh/signal");
            sh(above, "ssh-keygen -q -t ed25519 -N '' -f /srv/home/ushio/.ssh/signal");
            sh(
                above,
                "printf 'Host *\\n BatchMode yes\\n StrictHostKeyChecking accept-new\\n LogLevel ERROR\\n' >/srv/home/ushio/.ssh/config",
            );
            sh(above, "chown -R ushio: /srv/home/ushio/.ssh; chmod 700 /srv/home/ushio/.ssh");
            let key = fs::read_to_string(signal.with_extension("pub")).expect("a key");
            node.write("home/ushio/.ssh/authorized_keys", &format!("restrict,command=\"/srv/bin/mirror >/dev/null 2>&1 &\" {key}"));
            sh(node, "chown -R ushio: /srv/home/ushio/.ssh; chmod 700 /srv/home/ushio/.ssh");
        }

        fn origin(&self) -> &Node {
            self.fleet.node("origin")
        }

        fn source(&self) -> PathBuf {
            self.origin().path("etc/letsencrypt/live").join(SET)
        }

        fn renew(&mut self) {
            let pair = Pair::new(SET, u8::try_from(self.pairs.len()).expect("few"));
            write(&self.source(), &pair);
            sh(self.origin(), "chown -R ushio:ssl /srv/etc; find /srv/etc -type f -exec chmod 640 {} +");
            self.pairs.push(pair);
        }

        /// What the deploy hook at the origin does.
        fn send(&self, by: By) -> Ran {
            match by {
                By::Script => script(self.origin(), &[], &["/srv/bin/mirror"]),
                By::Certsync => super::super::world::root_script(self.origin(), &[], &["/opt/certsync", "apply"]),
            }
        }

        /// The crontabs; the script has none.
        fn day(&self, by: By) {
            if by == By::Certsync {
                for node in self.fleet.nodes() {
                    node.certsync(&["apply"]);
                }
            }
        }

        fn folder(&self, name: &str, by: By) -> PathBuf {
            self.fleet.node(name).path(&there(by))
        }

        fn has(&self, name: &str, by: By) -> Held {
            held(&self.folder(name, by), &self.pairs)
        }

        /// What is there, in words.
        fn words(&self, name: &str, by: By) -> &'static str {
            self.has(name, by).words(self.pairs.len() - 1)
        }

        /// What the service there has read, in words.
        fn loaded(&self, name: &str, by: By) -> &'static str {
            held(&self.fleet.node(name).path(by.name()).join("loaded"), &self.pairs).words(self.pairs.len() - 1)
        }

        /// Waits until all services have this.
        fn all_have(&self, by: By, what: &str) -> bool {
            awaited(|| SERVING.iter().all(|name| self.loaded(name, by) == what))
        }

        /// Waits until the script is through on its whole way, and certsync has said so.
        fn quiet(&self, by: By) {
            match by {
                By::Script => {
                    assert!(awaited(|| WAY.iter().all(|name| !self.fleet.node(name).path("home/ushio/lock").exists())));
                }
                By::Certsync => drop(self.origin().certsync(&["trigger", "--wait"])),
            }
        }

        fn observe(&self, mut observe: impl FnMut(&World, By) -> String) -> Observed {
            Observed { script: observe(self, By::Script), certsync: observe(self, By::Certsync) }
        }
    }

    fn tls(by: By) -> &'static str {
        if by == By::Script { "home/ushio/by-script" } else { "etc/ssl" }
    }

    /// The folder with the files.
    fn there(by: By) -> String {
        if by == By::Certsync { format!("{}/{SET}", tls(by)) } else { tls(by).to_owned() }
    }

    pub fn renewed() -> Observed {
        let mut world = World::new();
        world.renew();
        let observed = world.observe(|world, by| {
            let begun = Instant::now();
            let ran = world.send(by);
            assert!(world.all_have(by, "the new pair"));
            eprintln!("{by:?}: {:.1} s from the renewal to the last of three tiers", begun.elapsed().as_secs_f64());
            format!("{}; the last tier has {}", ran.exit(), world.words("edge1", by))
        });
        let told = world.origin().certsync(&["trigger", "--wait"]).ok();
        assert!(["hub1", "hub2", "mirror1", "edge1"].iter().all(|name| told.contains(&format!("\n{name} "))), "{told}");
        let told = world.origin().certsync(&["status", "--fleet", "--crit", "1d"]);
        assert!(told.status == Some(0) && told.stdout.starts_with("OK - "), "{told:?}");
        observed
    }

    pub fn renewed_twice() -> Observed {
        let mut world = World::new();
        world.renew();
        world.fleet.node("mirror1").write("wait", "");
        for by in [By::Script, By::Certsync] {
            world.send(by);
            assert!(awaited(|| world.fleet.node("mirror1").path(by.name()).join("waiting").exists()), "the first is at work");
        }
        world.renew();
        for by in [By::Script, By::Certsync] {
            world.send(by);
            // The hub has it, and has signalled.
            let hub = || match by {
                By::Script => world.words("hub1", by) == "the new pair" && !world.fleet.node("hub1").path("home/ushio/lock").exists(),
                By::Certsync => {
                    fs::read_dir(world.fleet.node("mirror1").path("state/inbox")).expect("the inbox").flatten().count() > 0
                        || fs::read_dir(world.fleet.node("mirror1").path("state"))
                            .expect("the state")
                            .flatten()
                            .any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"request"))
                }
            };
            assert!(awaited(hub), "{by:?}: the second signal was given");
        }
        fs::remove_file(world.fleet.node("mirror1").path("wait")).expect("it is there");
        world.observe(|world, by| {
            let wanted = if by == By::Script { "the old pair" } else { "the new pair" };
            assert!(awaited(|| world.loaded("edge1", by) == wanted));
            world.quiet(by);
            format!("the last tier has {}", world.words("edge1", by))
        })
    }

    pub fn unreachable_hub() -> Observed {
        let mut world = World::new();
        world.renew();
        let (port, nobody) = (world.fleet.node("hub1").port, crate::support::process::free_port());
        let spec = world.origin().read("certsync.yaml");
        let away = |away: bool| {
            let swap = |text: &str| if away { text.replace(&port.to_string(), &nobody.to_string()) } else { text.to_owned() };
            world.origin().write("certsync.yaml", &swap(&spec));
            world.origin().write("below", &swap(&format!("127.0.0.1 {port}\n")));
        };
        away(true);
        let first = [By::Script, By::Certsync].map(|by| {
            let ran = world.send(by);
            if by == By::Certsync {
                assert!(world.all_have(by, "the new pair"), "by the other hub");
            }
            let names = if ran.said.contains("certsync: error: hub1: ") { ", names hub1" } else { "" };
            format!("{}{names}; the last tier has {}", ran.exit(), world.words("edge1", by))
        });
        away(false);
        world.observe(|world, by| {
            world.day(by);
            let hub = match by {
                By::Script => world.words("hub1", by),
                By::Certsync if world.fleet.node("hub1").certsync(&["apply", "--detailed-exitcode"]).status == Some(0) => "the new pair",
                By::Certsync => "not everything",
            };
            format!("{}; the hub is back, and a day later has {hub}", first[by as usize])
        })
    }

    pub fn dies_in_the_middle() -> Observed {
        let mut world = World::new();
        world.renew();
        let mirror = world.fleet.node("mirror1");
        // The host goes down as rsync names the last of four files: the key. So does the script.
        let deadly = format!(
            "#!/bin/sh\nif mkdir /srv/once/died 2>/dev/null; then {} /srv/bin/real-rsync \"$@\"; kill -9 $PPID; exit 1; fi\n\
             exec /srv/bin/real-rsync \"$@\"\n",
            KILLED.replace("NTH", "4")
        );
        program(mirror, "deadly-rsync", &deadly);
        sh(mirror, "mount --bind /srv/bin/deadly-rsync /usr/bin/rsync");
        world.send(By::Script);
        assert!(awaited(|| matches!(world.has("mirror1", By::Script), Held::Mixed(..))), "{:?}", world.has("mirror1", By::Script));
        let script = world.words("mirror1", By::Script);
        // certsync at each of its first moments, by cron, since nobody else may start it there.
        sh(mirror, "echo 'root ALL=(ALL) ALL' >/srv/sudoers");
        world.send(By::Certsync);
        let mut left = BTreeSet::new();
        for nth in 1..=6 {
            let under = KILLED.replace("NTH", &nth.to_string());
            super::super::world::root_script(mirror, &under.split(' ').collect::<Vec<_>>(), &["/opt/certsync", "apply"]);
            left.insert(world.has("mirror1", By::Certsync));
        }
        let certsync = any_of(&left, world.pairs.len() - 1);
        sudo_for(mirror);
        world.renew();
        let then = [By::Script, By::Certsync].map(|by| {
            world.send(by);
            if by == By::Script {
                assert!(awaited(|| world.words("hub1", by) == "the new pair"));
                assert!(awaited(|| !world.fleet.node("hub1").path("home/ushio/lock").exists()), "it has signalled");
            } else {
                assert!(world.all_have(by, "the new pair"));
            }
            world.words("mirror1", by)
        });
        let [script, certsync] = [(script, then[0]), (&certsync, then[1])].map(|(left, then)| {
            let then = if then == "the new pair" { "brings the new pair" } else { "does not come there any more" };
            format!("leaves {left}; the next renewal {then}")
        });
        Observed { script, certsync }
    }

    pub fn command_fails_once() -> Observed {
        let mut world = World::new();
        world.renew();
        let edge = world.fleet.node("edge1");
        edge.write("down", "");
        for by in [By::Script, By::Certsync] {
            world.send(by);
            assert!(awaited(|| world.words("edge1", by) == "the new pair"));
            world.quiet(by);
        }
        let told = world.origin().certsync(&["trigger", "--wait"]);
        assert!(told.status == Some(1) && told.stderr.contains("certsync: error: edge1: "), "{told:?}");
        fs::remove_file(edge.path("down")).expect("it is there");
        world.observe(|world, by| {
            let before = world.loaded("edge1", by);
            world.day(by);
            format!("the service has {before}, a day later {}", world.loaded("edge1", by))
        })
    }

    pub fn deleted_at_the_origin() -> Observed {
        let world = World::new();
        fs::remove_file(world.source().join("fullchain.pem")).expect("it is there");
        world.observe(|world, by| {
            world.send(by);
            if by == By::Script {
                awaited(|| !world.folder("edge1", by).join("fullchain.pem").exists());
            } else {
                world.quiet(by);
                world.day(by);
            }
            let there = world.folder("edge1", by).join("fullchain.pem").exists();
            if there { "the servers keep it".into() } else { "it is deleted on every server".into() }
        })
    }

    pub fn mode_changed() -> Observed {
        let world = World::new();
        world.observe(|world, by| {
            let key = world.folder("edge1", by).join("privkey.pem");
            fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("its mode");
            world.day(by);
            format!("a day later it is {:04o}", fs::metadata(&key).expect("a key").permissions().mode() & 0o777)
        })
    }

    pub fn swapped_one_by_one() -> Observed {
        let mut world = World::new();
        let former = fs::read_to_string(world.source().join("privkey.pem")).expect("a key");
        world.renew();
        fs::write(world.source().join("privkey.pem"), former).expect("a key");
        let seen = [By::Script, By::Certsync].map(|by| {
            let ran = world.send(by);
            if by == By::Script {
                assert!(awaited(|| world.loaded("edge1", by) != "the old pair"));
            } else {
                world.quiet(by);
            }
            format!("{}; the last tier has {}", ran.exit(), world.loaded("edge1", by))
        });
        world.observe(|_, by| seen[by as usize].clone())
    }

    pub fn stolen_key() -> Observed {
        let world = World::new();
        world.observe(|world, by| {
            let (key, account) =
                if by == By::Script { ("home/ushio/.ssh/id_ed25519", "ssl") } else { ("state/keys/id_ed25519", "certsync") };
            let id = thief(&world.fleet.node("edge1").path(key), world.fleet.node("mirror1"), account, "id");
            if id.contains("uid=") { "opens a shell on the server above".into() } else { "opens no shell".into() }
        })
    }
}
