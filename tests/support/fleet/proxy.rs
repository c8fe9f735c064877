//! What lies between two hosts: a proxy for one port that is late, stalls, cuts off or swallows what goes through it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// What becomes of a connection. Bytes are counted for each connection by itself, both ways together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It passes.
    Open,
    /// Everything comes so much later, each way.
    Late(Duration),
    /// After so many bytes what comes next waits for this time, once.
    Stalls(usize, Duration),
    /// After so many bytes it is closed.
    CutAfter(usize),
    /// After so many bytes nothing comes any more, and nobody is told.
    SilentAfter(usize),
    /// Nobody is there.
    Refused,
}

/// A proxy. Connections end with it; silent ones when the way changes as well.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    way: Mutex<Way>,
    changes: AtomicUsize,
    connections: AtomicUsize,
    ended: AtomicBool,
}

impl Shared {
    fn is_as_at(&self, change: usize) -> bool {
        !self.ended.load(Ordering::SeqCst) && self.changes.load(Ordering::SeqCst) == change
    }
}

impl Proxy {
    /// Before the loopback port `to`.
    pub fn before(to: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared {
            way: Mutex::new(Way::Open),
            changes: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let listener = spawn(move || {
            for from in listener.incoming().flatten() {
                if theirs.ended.load(Ordering::SeqCst) {
                    return;
                }
                let way = *theirs.way.lock().expect("the way");
                if way != Way::Refused
                    && let Ok(to) = TcpStream::connect((Ipv4Addr::LOCALHOST, to))
                {
                    theirs.connections.fetch_add(1, Ordering::SeqCst);
                    both_ways(&from, &to, way, &theirs);
                }
            }
        });
        Proxy { port, shared, listener: Some(listener) }
    }

    /// From now on connections go this way.
    pub fn set(&self, way: Way) {
        *self.shared.way.lock().expect("the way") = way;
        self.shared.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // It waits for a connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// One connection, as its four threads know it.
#[derive(Clone)]
struct Between {
    way: Way,
    moved: Arc<AtomicUsize>,
    has_stalled: Arc<AtomicBool>,
    change: usize,
    shared: Arc<Shared>,
}

fn both_ways(one: &TcpStream, other: &TcpStream, way: Way, shared: &Arc<Shared>) {
    let between = Between {
        way,
        moved: Arc::new(AtomicUsize::new(0)),
        has_stalled: Arc::new(AtomicBool::new(false)),
        change: shared.changes.load(Ordering::SeqCst),
        shared: Arc::clone(shared),
    };
    for (from, to) in [(one, other), (other, one)] {
        let _ = from.set_nodelay(true);
        let (from, to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
        let (sender, receiver) = channel();
        spawn(move || {
            let (mut from, mut buffer) = (from, [0; 16 << 10]);
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                if sender.send((Instant::now(), buffer[..read].to_vec())).is_err() {
                    return;
                }
            }
        });
        let between = between.clone();
        spawn(move || between.pass(&receiver, &to));
    }
}

impl Between {
    fn pass(&self, pieces: &Receiver<(Instant, Vec<u8>)>, mut to: &TcpStream) {
        while let Ok((came, piece)) = pieces.recv() {
            let before = self.moved.fetch_add(piece.len(), Ordering::SeqCst);
            let mut good = piece.len();
            match self.way {
                Way::Open | Way::Refused => {}
                Way::Late(time) => sleep((came + time).saturating_duration_since(Instant::now())),
                Way::Stalls(after, time) => {
                    if before + piece.len() > after && !self.has_stalled.swap(true, Ordering::SeqCst) {
                        sleep(time);
                    }
                }
                Way::CutAfter(after) | Way::SilentAfter(after) => good = good.min(after.saturating_sub(before)),
            }
            if to.write_all(&piece[..good]).is_err() {
                break;
            }
            if good < piece.len() {
                while matches!(self.way, Way::SilentAfter(_)) && self.shared.is_as_at(self.change) {
                    sleep(Duration::from_millis(20));
                }
                break;
            }
        }
        let whole = matches!(self.way, Way::CutAfter(_) | Way::SilentAfter(_));
        let _ = to.shutdown(if whole { Shutdown::Both } else { Shutdown::Write });
    }
}
