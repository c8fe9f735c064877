//! Servers as children of the test: found ready by their port, ended with the test.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A running program; ended by its process id when dropped.
pub struct Server {
    child: Child,
    name: String,
}

impl Server {
    /// Starts `program` with `arguments`, its output in `log`. It gets a SIGTERM if this thread dies without dropping it.
    pub fn start(program: &str, arguments: &[&str], log: &Path) -> Server {
        Server::spawn(Command::new("setpriv").args(["--pdeathsig", "TERM", program]).args(arguments), program, log)
    }

    /// Starts a prepared command.
    pub fn spawn(command: &mut Command, name: &str, log: &Path) -> Server {
        let out = File::create(log).expect("a log file");
        let err = out.try_clone().expect("a second handle of the log");
        let child =
            command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Server { child, name: name.to_owned() }
    }

    /// Its process id: what reload hooks signal.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it listens on `port`.
    pub fn wait_for(mut self, port: u16, log: &Path) -> Server {
        let end = Instant::now() + Duration::from_secs(120);
        while !listens(port) {
            let ended = self.child.try_wait().expect("a child's status");
            assert!(ended.is_none() && Instant::now() < end, "{} is not on port {port}: {ended:?}\n{}", self.name, read(log));
            std::thread::sleep(Duration::from_millis(20));
        }
        self
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether something accepts connections on a loopback port.
pub fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Duration::from_millis(200)).is_ok()
}

/// A loopback port that nobody uses and that no other test of this run was given.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        if GIVEN.lock().expect("the list of given ports").insert(port) {
            return port;
        }
    }
}

/// Runs a program to its end; panics with its output if it fails. Answers with its stdout.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program to its end, whatever that is.
pub fn output(command: &mut Command) -> std::process::Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"))
}

/// Tries until it is true, at most ten seconds.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}
