//! A master, and servers that come by cron and tell docker: `examples/pull-by-cron` beside `scripts/pull.sh`.

crate::failures! { "pull":
    killed_in_the_middle: "the server dies in the middle of the transfer",
    killed_before_the_command: "the server dies after the transfer, before the command",
    unreachable_master: "the master cannot be reached",
    command_fails_once: "the command fails once",
    deleted_at_the_master: "a file is deleted at the master",
    key_deleted_at_the_master: "the key is deleted at the master, then the certificate is renewed",
    mode_changed: "the key is made readable for all on the server",
    swapped_one_by_one: "the master gets the new key later than the new certificate, and a server comes in between",
    read_meanwhile: "a service starts while a renewal comes in",
    not_for_this_server: "a certificate that is not for this server",
    stolen_key: "the ssh key of a server is stolen",
}

mod play {
    use super::super::pairs::Pair;
    use super::super::table::Observed;
    use super::super::world::{
        By, Held, KILLED, Ran, Reader, SLOWLY, any_of, befriend, fleet_of, held, loads, root_script, script, sh, thief, write,
    };
    use crate::support::{Fleet, Node};
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    const SET: &str = "example.com";
    const INTERN: &str = "intern.example.com";

    /// The master and two servers, which have the first certificate from both sides.
    struct World {
        fleet: Fleet,
        /// Every renewal so far.
        pairs: Vec<Pair>,
    }

    impl World {
        fn new() -> World {
            let fleet = fleet_of("pull-by-cron");
            let mut world = World { fleet, pairs: Vec::new() };
            let intern = Pair::new(INTERN, 0);
            write(&world.master().path("home/ushio/ssl").join(INTERN), &intern);
            sh(world.master(), "chown -R ushio:ssl /srv/home/ushio; chmod 755 /srv/home/ushio; chmod 750 /srv/home/ushio/ssl");
            for node in [world.fleet.node("node1"), world.fleet.node("node2")] {
                befriend(node, "ushio", world.master(), "ssl");
                for by in [By::Script, By::Certsync] {
                    sh(node, &format!("install -d -o ushio /srv/{0}", by.name()));
                    let tls = World::tls(by);
                    sh(node, &format!("install -d -o ushio -g ssl -m 750 /srv/{tls}"));
                    loads(node, by, World::docker(by), &format!("/srv/{tls}/{SET}"));
                }
            }
            world.renew();
            world.both_come("node1");
            world.both_come("node2");
            world
        }

        fn master(&self) -> &Node {
            self.fleet.node("master")
        }

        fn node(&self) -> &Node {
            self.fleet.node("node1")
        }

        fn docker(by: By) -> &'static str {
            if by == By::Script { "docker-of-the-script" } else { "docker" }
        }

        fn tls(by: By) -> String {
            format!("home/ushio/{}", if by == By::Script { "by-script" } else { "ssl" })
        }

        fn source(&self) -> PathBuf {
            self.master().path("home/ushio/ssl").join(SET)
        }

        /// The master has a new pair, and certsync there is told, as by a deploy hook.
        fn renew(&mut self) {
            let pair = Pair::new(SET, u8::try_from(self.pairs.len()).expect("few"));
            write(&self.source(), &pair);
            self.pairs.push(pair);
            self.master_applies().ok();
        }

        fn master_applies(&self) -> crate::support::node::Answer {
            sh(self.master(), "chown -R ushio:ssl /srv/home/ushio/ssl; find /srv/home/ushio/ssl -type f -exec chmod 640 {} +");
            self.master().certsync(&["apply"])
        }

        fn newest(&self) -> usize {
            self.pairs.len() - 1
        }

        fn come_to(&self, name: &str, port: u16, by: By, under: &[&str]) -> Ran {
            let node = self.fleet.node(name);
            if by == By::Script {
                let (to, port) = (format!("/srv/{}", World::tls(by)), port.to_string());
                let args = ["pull.sh", "ssl@127.0.0.1:/srv/home/ushio/ssl", &to, &port, "/srv/bin/docker-of-the-script", "restart", "web"];
                return script(node, under, &args);
            }
            root_script(node, under, &["/opt/certsync", "apply"])
        }

        /// One run of the crontab of node1.
        fn come(&self, by: By) -> Ran {
            self.come_to("node1", self.master().port, by, &[])
        }

        #[track_caller]
        fn both_come(&self, name: &str) {
            for by in [By::Script, By::Certsync] {
                let ran = self.come_to(name, self.master().port, by, &[]);
                assert_eq!(ran.status, Some(0), "{}", ran.said);
                assert_eq!(held(&self.fleet.node(name).path(&World::tls(by)).join(SET), &self.pairs), Held::Whole(self.newest()));
                assert_eq!(held(&self.fleet.node(name).path(by.name()).join("loaded"), &self.pairs), Held::Whole(self.newest()));
            }
        }

        fn folder(&self, by: By) -> PathBuf {
            self.node().path(&World::tls(by)).join(SET)
        }

        fn has(&self, by: By) -> Held {
            held(&self.folder(by), &self.pairs)
        }

        fn has_words(&self, by: By) -> &'static str {
            self.has(by).words(self.newest())
        }

        /// What the container has read.
        fn loaded(&self, by: By) -> &'static str {
            held(&self.node().path(by.name()).join("loaded"), &self.pairs).words(self.newest())
        }

        fn calls(&self, by: By) -> usize {
            fs::read_to_string(self.node().path(by.name()).join("calls")).unwrap_or_default().lines().count()
        }

        /// For both sides.
        fn observe(&self, mut observe: impl FnMut(&World, By) -> String) -> Observed {
            Observed { script: observe(self, By::Script), certsync: observe(self, By::Certsync) }
        }
    }

    pub fn killed_in_the_middle() -> Observed {
        let mut world = World::new();
        world.renew();
        let die = |world: &World, by, nth: u32| {
            let under = KILLED.replace("NTH", &nth.to_string());
            world.come_to("node1", world.master().port, by, &under.split(' ').collect::<Vec<_>>())
        };
        // The third file that is new is the key.
        let ran = die(&world, By::Script, 3);
        assert_eq!(ran.exit(), "exit 0", "it does not look: {}", ran.said);
        let left = world.has_words(By::Script);
        world.come(By::Script);
        let script = format!("leaves {left}; the next run brings {}", world.has_words(By::Script));
        // certsync at every moment at which it names a file.
        let (mut left, mut after, mut deaths) = (BTreeSet::new(), BTreeSet::new(), 0);
        loop {
            let ran = die(&world, By::Certsync, deaths + 1);
            if ran.status == Some(0) {
                break;
            }
            deaths += 1;
            assert!(deaths < 25, "{}", ran.said);
            left.insert(match world.has(By::Certsync) {
                Held::Whole(number) if number < world.newest() => Held::Whole(0),
                Held::Whole(_) => Held::Whole(usize::MAX),
                other => other,
            });
            assert_eq!(world.come(By::Certsync).status, Some(0));
            after.insert((world.has_words(By::Certsync), world.loaded(By::Certsync)));
            world.renew();
        }
        assert!(deaths >= 4, "it was killed {deaths} times");
        assert_eq!(after, BTreeSet::from([("the new pair", "the new pair")]));
        let certsync = format!("leaves {}; the next run brings the new pair", any_of(&left, usize::MAX));
        Observed { script, certsync }
    }

    pub fn killed_before_the_command() -> Observed {
        let mut world = World::new();
        world.renew();
        world.node().write("deadly", "");
        for by in [By::Script, By::Certsync] {
            world.come(by);
            assert_eq!((world.has_words(by), world.loaded(by)), ("the new pair", "the old pair"));
        }
        fs::remove_file(world.node().path("deadly")).expect("it is there");
        world.observe(|world, by| {
            let ran = world.come(by);
            format!("the next run ends with {}; the container has {}", ran.exit(), world.loaded(by))
        })
    }

    pub fn unreachable_master() -> Observed {
        let mut world = World::new();
        world.renew();
        let nobody = crate::support::process::free_port();
        let spec = world.node().read("certsync.yaml");
        world.node().write("certsync.yaml", &spec.replace(&format!("port: {}", world.master().port), &format!("port: {nobody}")));
        for by in [By::Script, By::Certsync] {
            fs::remove_file(world.folder(by).join("fullchain.pem")).expect("it is there");
        }
        world.observe(|world, by| {
            let ran = world.come_to("node1", nobody, by, &[]);
            let said = match ran.said.lines().any(|line| line == "nothing is new") {
                true => "says that nothing is new",
                false if ran.said.contains("certsync: error: master: ") => "names the master",
                false => panic!("{ran:?}"),
            };
            format!("{said}, {}; of a file that somebody deleted on the server there is then {}", ran.exit(), world.has_words(by))
        })
    }

    pub fn command_fails_once() -> Observed {
        let mut world = World::new();
        world.renew();
        world.node().write("down", "");
        let first = [By::Script, By::Certsync].map(|by| world.come(by).exit());
        fs::remove_file(world.node().path("down")).expect("it is there");
        world.observe(|world, by| {
            let calls = world.calls(by);
            world.come(by);
            let again = if world.calls(by) > calls { "calls it again" } else { "does not call it" };
            format!("{}; the next run {again}, the container has {}", first[by as usize], world.loaded(by))
        })
    }

    pub fn deleted_at_the_master() -> Observed {
        let world = World::new();
        fs::remove_file(world.source().join("fullchain.pem")).expect("it is there");
        world.master_applies();
        world.observe(|world, by| {
            let ran = world.come(by);
            format!("{}; the server keeps {}", ran.exit(), world.has_words(by))
        })
    }

    pub fn key_deleted_at_the_master() -> Observed {
        let mut world = World::new();
        let pair = Pair::new(SET, 9);
        write(&world.source(), &pair);
        fs::remove_file(world.source().join("privkey.pem")).expect("it is there");
        world.pairs.push(pair);
        world.master_applies();
        world.observe(|world, by| {
            let ran = world.come(by);
            format!("{}; the server has {}", ran.exit(), world.has_words(by))
        })
    }

    pub fn mode_changed() -> Observed {
        let world = World::new();
        for by in [By::Script, By::Certsync] {
            let key = world.folder(by).join("privkey.pem");
            fs::set_permissions(key, fs::Permissions::from_mode(0o644)).expect("its mode");
        }
        world.observe(|world, by| {
            let calls = world.calls(by);
            let ran = world.come(by);
            let mode = fs::metadata(world.folder(by).join("privkey.pem")).expect("a key").permissions().mode() & 0o777;
            let called = if world.calls(by) > calls { "the command is called" } else { "the command is not called" };
            format!("{}; the key is {mode:04o}; {called}", ran.exit())
        })
    }

    pub fn swapped_one_by_one() -> Observed {
        let mut world = World::new();
        let pair = Pair::new(SET, 9);
        for (name, text) in pair.files().iter().filter(|(name, _)| *name != "privkey.pem") {
            fs::write(world.source().join(name), text).expect("a file");
        }
        world.pairs.push(pair.clone());
        let refused = world.master_applies();
        assert!(refused.status == Some(1) && refused.stderr.contains("privkey.pem"), "{refused:?}");
        let meanwhile = [By::Script, By::Certsync].map(|by| {
            world.come(by);
            format!("{}, the container has {}", world.has_words(by), world.loaded(by))
        });
        fs::write(world.source().join("privkey.pem"), &pair.key).expect("the key");
        world.master_applies().ok();
        world.observe(|world, by| {
            world.come(by);
            format!("in between {}; then {}, the container has {}", meanwhile[by as usize], world.has_words(by), world.loaded(by))
        })
    }

    pub fn read_meanwhile() -> Observed {
        let mut world = World::new();
        world.renew();
        world.observe(|world, by| {
            let reader = Reader::start(world.folder(by), world.pairs.clone());
            let ran = world.come_to("node1", world.master().port, by, &SLOWLY.split(' ').collect::<Vec<_>>());
            let seen = reader.seen();
            assert_eq!(ran.status, Some(0), "{}", ran.said);
            format!("reads {}", any_of(&seen, world.newest()))
        })
    }

    pub fn not_for_this_server() -> Observed {
        let world = World::new();
        world.observe(|world, by| {
            let node = world.fleet.node("node2");
            let key = fs::read_to_string(world.master().path("home/ushio/ssl").join(INTERN).join("privkey.pem")).expect("a key");
            let line = key.lines().nth(1).expect("a line of the key");
            let places = if by == By::Script { "/srv/home/ushio/by-script" } else { "/srv/home/ushio/ssl /srv/state" };
            let found = sh(node, &format!("grep -rlF -e '{line}' {places} || true"));
            if found.is_empty() { "no copy of its key is there".into() } else { "its key is there".into() }
        })
    }

    pub fn stolen_key() -> Observed {
        let world = World::new();
        world.observe(|world, by| {
            let (key, account) =
                if by == By::Script { ("home/ushio/.ssh/id_ed25519", "ssl") } else { ("state/keys/id_ed25519", "certsync") };
            let wanted = format!("cat /srv/home/ushio/ssl/{INTERN}/privkey.pem");
            let all = thief(&world.fleet.node("node2").path(key), world.master(), account, &wanted).contains("PRIVATE KEY");
            if all {
                "opens a shell on the master, and every key there".into()
            } else {
                "opens no shell; the keys of other servers stay closed".into()
            }
        })
    }
}
