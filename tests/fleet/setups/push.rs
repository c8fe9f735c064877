//! certbot on a management host, which brings renewals to nginx on three servers: `examples/push-to-nginx` beside `scripts/push.sh` and, on each
//! server, `scripts/take.sh`.

crate::failures! { "push":
    certbot_renews: "certbot renews",
    server_dies_in_the_middle: "a server dies in the middle of the transfer",
    management_dies_in_the_middle: "the management host dies in the middle of the transfer",
    unreachable_server: "a server cannot be reached",
    command_fails_once: "the configuration of nginx is broken at that moment",
    deleted_at_the_origin: "a file is deleted at the management host",
    mode_changed: "the key is made readable for all on a server",
    swapped_one_by_one: "the new key comes later than the new certificate",
    nothing_new: "there is nothing new for a day",
    stolen_key: "the ssh key of the management host is stolen",
}

const SET: &str = "example.com";

pub mod play {
    use super::super::certbot::Certbot;
    use super::super::pairs::Pair;
    use super::super::table::Observed;
    use super::super::web::Nginx;
    use super::super::world::{
        By, KILLED, Ran, befriend, fleet_of, gate_through, group_killed, program, root_script, sh, sudo_for, thief, write,
    };
    use super::SET;
    use crate::support::{Fleet, Node};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    const WEB: [&str; 3] = ["web1", "web2", "web3"];

    /// A management host and three servers with nginx, which serve the first certificate.
    struct World {
        fleet: Fleet,
        /// Of each server, in the order of [`By`].
        nginx: Vec<[Nginx; 2]>,
        new: Pair,
        renewals: u8,
    }

    impl World {
        fn new() -> World {
            let fleet = fleet_of("push-to-nginx");
            let (mgmt, new) = (fleet.node("mgmt"), wildcard(0));
            let nginx = WEB.map(|name| {
                let node = fleet.node(name);
                befriend(mgmt, "root", node, "ssl");
                sh(node, "install -d -o ssl /srv/certsync /srv/certsync/live; echo example.com >/srv/names");
                sudo_for(node);
                let started = [By::Script, By::Certsync].map(|by| {
                    write(&folder(node, by), &new);
                    Nginx::start(node, by, &format!("/srv/{}/{SET}", World::tls(by)))
                });
                // Each has its own port here.
                let spec = node.read("certsync.yaml").replace("127.0.0.1:443", &format!("127.0.0.1:{}", started[1].port));
                node.write("certsync.yaml", &spec);
                node.certsync(&["apply"]);
                // What may come between sshd and the two programs.
                gate_through(node, "/srv/bin/through");
                program(node, "through", "#!/bin/sh\nexec /opt/certsync \"$@\"\n");
                sh(node, "mkdir -m 1777 /srv/once; cp /usr/bin/rsync /srv/bin/real-rsync");
                started
            });
            let mut world = World { fleet, nginx: nginx.into(), new, renewals: 0 };
            world.list(|node| node.port);
            write(&world.lineage(), &world.new);
            let first = world.deliver(By::Certsync);
            assert_eq!(first.status, Some(0), "{}", first.said);
            world.deliver(By::Script);
            world.day(By::Script);
            assert_eq!(world.serving(By::Certsync) + world.serving(By::Script), 6);
            world.renewals = 1;
            world
        }

        fn tls(by: By) -> &'static str {
            if by == By::Script { "etc/letsencrypt/live" } else { "etc/nginx/tls" }
        }

        fn mgmt(&self) -> &Node {
            self.fleet.node("mgmt")
        }

        fn lineage(&self) -> PathBuf {
            self.mgmt().path("etc/letsencrypt/live").join(SET)
        }

        /// The script's list of servers.
        fn list(&self, port: impl Fn(&Node) -> u16) {
            let lines: String = WEB.iter().map(|name| format!("127.0.0.1 {}\n", port(self.fleet.node(name)))).collect();
            self.mgmt().write(&format!("lists/{SET}"), &lines);
        }

        fn renew(&mut self) {
            self.new = wildcard(self.renewals);
            self.renewals += 1;
            write(&self.lineage(), &self.new);
        }

        /// What certbot's deploy hook does.
        fn deliver(&self, by: By) -> Ran {
            root_script(self.mgmt(), &[], &deployed(by))
        }

        /// What happens in a day without a renewal: the crontabs of all hosts.
        fn day(&self, by: By) {
            if by == By::Certsync {
                self.mgmt().certsync(&["apply"]);
            }
            for name in WEB {
                let node = self.fleet.node(name);
                match by {
                    By::Certsync => drop(node.certsync(&["apply"])),
                    By::Script => drop(root_script(
                        node,
                        &[],
                        &["take.sh", "/srv/names", "/srv/certsync/live", "/srv/etc/letsencrypt/live", "/srv/bin/restart-nginx"],
                    )),
                }
            }
        }

        fn nginx(&self, server: usize, by: By) -> &Nginx {
            &self.nginx[server][by as usize]
        }

        /// How many servers have the new one for their clients.
        fn serving(&self, by: By) -> usize {
            (0..WEB.len()).filter(|server| self.nginx(*server, by).serves_pair(&self.new) == "serves the new one").count()
        }

        /// How nginx on a server does, in words.
        fn serves(&self, server: usize, by: By) -> &'static str {
            self.nginx(server, by).serves_pair(&self.new)
        }

        fn observe(&self, mut observe: impl FnMut(&World, By) -> String) -> Observed {
            Observed { script: observe(self, By::Script), certsync: observe(self, By::Certsync) }
        }
    }

    fn wildcard(number: u8) -> Pair {
        Pair::of(&[SET, "*.example.com"], number)
    }

    fn folder(node: &Node, by: By) -> PathBuf {
        node.path(World::tls(by)).join(SET)
    }

    /// The words of a deploy hook; the script has its own folder of lineages, which is the same here.
    fn deployed(by: By) -> Vec<&'static str> {
        match by {
            By::Script => vec!["push.sh", "/srv/lists", "/srv/staging", "/srv/certsync/live"],
            By::Certsync => vec!["/opt/certsync", "apply"],
        }
    }

    /// How it ended, and whether it told of a server.
    fn told(ran: &Ran, name: &str) -> String {
        let names = if ran.said.contains(&format!("certsync: error: {name}: ")) { format!(", names {name}") } else { String::new() };
        ran.exit() + &names
    }

    pub fn certbot_renews() -> Observed {
        let world = World::new();
        let certbot = Certbot::start(world.mgmt());
        sh(world.mgmt(), "rm -r /srv/etc/letsencrypt; mkdir -p /srv/etc/letsencrypt");
        let push = deployed(By::Script);
        root_script(world.mgmt(), &[], &["push.sh", "/dev", "/srv/staging", "/"]);
        program(world.mgmt(), "hook", &format!("#!/bin/sh\n/opt/certsync deploy-hook\n/srv/bin/{}\n", push.join(" ")));
        certbot.obtain(SET, &[SET, "*.example.com"], "/srv/bin/hook");
        let mut observed = None;
        for _ in 0..2 {
            let new = fs::read_to_string(world.lineage().join("cert.pem")).expect("what certbot has");
            let count = |by: By| (0..WEB.len()).filter(|at| world.nginx(*at, by).serves(&new) == "serves the new one").count();
            observed = Some(world.observe(|world, by| {
                let (at_once, all) = (count(by), WEB.len());
                world.day(by);
                format!("{at_once} of {all} servers serve it when certbot ends, {} of {all} a day later", count(by))
            }));
            certbot.renew();
        }
        observed.expect("twice")
    }

    pub fn server_dies_in_the_middle() -> Observed {
        let mut world = World::new();
        world.renew();
        let web1 = world.fleet.node("web1");
        // The fourth file that rsync names is the key. The gate names what was brought once.
        let deadly = |rename: u32, real: &str| {
            let strace = KILLED.replace("NTH", &rename.to_string());
            format!("#!/bin/sh\nmkdir /srv/once/died 2>/dev/null && exec {strace} {real} \"$@\"\nexec {real} \"$@\"\n")
        };
        program(web1, "deadly-rsync", &deadly(4, "/srv/bin/real-rsync"));
        sh(web1, "mount --bind /srv/bin/deadly-rsync /usr/bin/rsync");
        program(web1, "through", &deadly(1, "/opt/certsync"));
        world.observe(|world, by| {
            let ran = world.deliver(by);
            let died = world.fleet.node("web1").path("once/died");
            fs::remove_dir(died).expect("it has died");
            let after = told(&ran, "web1");
            let at_once = world.serves(0, by);
            world.day(by);
            format!("{after}; nginx there {at_once}, a day later it {}", world.serves(0, by))
        })
    }

    pub fn management_dies_in_the_middle() -> Observed {
        let mut world = World::new();
        world.renew();
        let web2 = world.fleet.node("web2");
        let waits = |real: &str| {
            format!(
                "#!/bin/sh\nif [ -e /srv/wait ]; then touch /srv/once/waiting; while [ -e /srv/wait ]; do sleep 0.05; done; fi\nexec {real} \"$@\"\n"
            )
        };
        program(web2, "waiting-rsync", &waits("/srv/bin/real-rsync"));
        sh(web2, "mount --bind /srv/bin/waiting-rsync /usr/bin/rsync");
        program(web2, "through", &waits("/opt/certsync"));
        world.observe(|world, by| {
            web2_waits(world, by);
            world.day(by);
            let words: Vec<String> = (0..WEB.len()).map(|server| format!("{} {}", WEB[server], world.serves(server, by))).collect();
            format!("a day later {}", words.join(", "))
        })
    }

    /// Kills all that the delivery has started, as a host does that goes down, when web2 has been logged in to.
    fn web2_waits(world: &World, by: By) {
        let web2 = world.fleet.node("web2");
        web2.write("wait", "");
        let waiting = web2.path("once/waiting");
        group_killed(world.mgmt(), &deployed(by), || waiting.exists());
        fs::remove_file(web2.path("wait")).expect("it is there");
        fs::remove_file(waiting).expect("it is there");
    }

    pub fn unreachable_server() -> Observed {
        let mut world = World::new();
        world.renew();
        let (nobody, web2) = (crate::support::process::free_port(), world.fleet.node("web2").port);
        world.list(|node| if node.port == web2 { nobody } else { node.port });
        let spec = world.mgmt().read("certsync.yaml");
        world.mgmt().write("certsync.yaml", &spec.replace(&format!("port: {web2}"), &format!("port: {nobody}")));
        let first = [By::Script, By::Certsync].map(|by| {
            let ran = world.deliver(by);
            let at = told(&ran, "web2");
            if by == By::Certsync {
                assert_eq!(world.serving(by), 2, "{}", ran.said);
            }
            at
        });
        world.list(|node| node.port);
        world.mgmt().write("certsync.yaml", &spec);
        world.observe(|world, by| {
            world.day(by);
            format!("{}; it is back, and a day later nginx there {}", first[by as usize], world.serves(1, by))
        })
    }

    pub fn command_fails_once() -> Observed {
        let mut world = World::new();
        world.renew();
        let web1 = world.fleet.node("web1");
        world.observe(|world, by| {
            world.nginx(0, by).break_config(web1);
            let ran = world.deliver(by);
            if by == By::Script {
                world.day(by);
            }
            let meanwhile = world.serves(0, by);
            world.nginx(0, by).repair_config(web1);
            let repaired = world.serves(0, by);
            world.day(by);
            format!("{}; nginx there {meanwhile}; it is repaired: {repaired}, a day later {}", told(&ran, "web1"), world.serves(0, by))
        })
    }

    pub fn deleted_at_the_origin() -> Observed {
        let world = World::new();
        fs::remove_file(world.lineage().join("fullchain.pem")).expect("it is there");
        world.observe(|world, by| {
            let ran = world.deliver(by);
            world.day(by);
            let there = folder(world.fleet.node("web1"), by).join("fullchain.pem").exists();
            format!("{}; the servers {}", ran.exit(), if there { "keep it" } else { "lose it" })
        })
    }

    pub fn mode_changed() -> Observed {
        let world = World::new();
        world.observe(|world, by| {
            let web1 = world.fleet.node("web1");
            let key = folder(web1, by).join("privkey.pem");
            fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("its mode");
            world.day(by);
            format!("a day later it is {:04o}", fs::metadata(&key).expect("a key").permissions().mode() & 0o777)
        })
    }

    pub fn swapped_one_by_one() -> Observed {
        let mut world = World::new();
        let former = fs::read_to_string(world.lineage().join("privkey.pem")).expect("a key");
        world.renew();
        fs::write(world.lineage().join("privkey.pem"), former).expect("a key");
        world.observe(|world, by| {
            let ran = world.deliver(by);
            world.day(by);
            let does = world.serves(0, by);
            let many = (0..WEB.len()).filter(|server| world.serves(*server, by) == does).count();
            format!("{}; a day later nginx {does} on {many} of {} servers", ran.exit(), WEB.len())
        })
    }

    pub fn nothing_new() -> Observed {
        let world = World::new();
        world.observe(|world, by| {
            let calls = || fs::read_to_string(world.fleet.node("web1").path(by.name()).join("calls")).unwrap_or_default().lines().count();
            let before = calls();
            world.day(by);
            if calls() > before { "nginx is started again".into() } else { "nothing happens".into() }
        })
    }

    pub fn stolen_key() -> Observed {
        let world = World::new();
        world.observe(|world, by| {
            let (key, account) =
                if by == By::Script { ("home/root/.ssh/id_ed25519", "ssl") } else { ("state/keys/id_ed25519", "certsync") };
            let id = thief(&world.mgmt().path(key), world.fleet.node("web1"), account, "id");
            if id.contains("uid=") { "opens a shell on every server".into() } else { "opens no shell".into() }
        })
    }
}
