//! What the tests share: a server under test, and clients that are not made of the code under test.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::cell::RefCell;
use std::env;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpStream};
use std::num::NonZeroUsize;
use std::process;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use echo_node::faults::Faults;
use echo_node::server::{Report, Server};
use echo_node::shared::{Config, Stats};

/// How long a condition may take to come true. It takes milliseconds; this is for a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Any free port of 127.0.0.1, no limits, one thread.
pub const DEFAULTS: Config = Config {
    address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
    backlog: 511,
    max_connections: usize::MAX,
    idle_timeout: Duration::ZERO,
    busy_poll: Duration::from_micros(50),
    threads: NonZeroUsize::MIN,
    observed: false,
    faults: None,
};

/// Connections behave.
pub const NO_FAULTS: Faults =
    Faults { delay: (Duration::ZERO, Duration::ZERO), rate: 0, chunk: 0, fate: None, share: 1.0, seed: 1 };

thread_local! {
    /// Kept for as long as the test runs.
    static RUNS: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// A test that runs, and the thread that waits for its end.
struct Run {
    sender: Option<Sender<()>>,
    waiting: Option<JoinHandle<()>>,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.sender = None;
        // Left alone it might outlive the program's end, and its memory with it, which valgrind takes for lost.
        let _ = self.waiting.take().unwrap().join();
    }
}

/// Fails the program if the test that calls this takes longer than a minute from here, or so many seconds as the environment
/// variable `TEST_SECONDS` says. It takes a few: one that takes longer is blocked in a call without a time-out, or in a loop.
pub fn bound() {
    let seconds = env::var("TEST_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let (sender, is_over) = channel();
    let waiting = thread::spawn(move || {
        if is_over.recv_timeout(Duration::from_secs(seconds)) == Err(RecvTimeoutError::Timeout) {
            // Not by `eprintln`, which the harness would keep for the end.
            let _ = writeln!(io::stderr(), "{name} is not over after {seconds} s");
            process::exit(101);
        }
    });
    RUNS.set(Some(Run { sender: Some(sender), waiting: Some(waiting) }));
}

/// A server and what it says.
pub struct Running {
    pub server: Server,
    pub events: Receiver<Report>,
}

pub fn start(config: &Config) -> Running {
    bound();
    let (sender, events) = channel();
    let server = Server::start(config, move |report| drop(sender.send(report))).expect("the server starts");
    Running { server, events }
}

/// A server whose I/O thread blocks in its first event until it is told to go on.
pub fn start_stalling(config: &Config) -> (Running, Sender<()>) {
    bound();
    let (sender, events) = channel();
    let (go_on, stall) = channel();
    let stall = Mutex::new(stall);
    let server = Server::start(config, move |report| {
        sender.send(report).unwrap();
        // Fails when there is no one who will stall it any more.
        let _ = stall.lock().unwrap().recv();
    });
    (Running { server: server.unwrap(), events }, go_on)
}

impl Running {
    /// Has the I/O thread block.
    pub fn stall(&self) {
        assert!(self.server.send(u64::MAX, Vec::new(), PATIENCE));
        assert!(matches!(self.events.recv_timeout(PATIENCE), Ok(Report::Settled(_))));
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address.to_string()).expect("the server listens");
        // Fails on macOS if the server has reset it by now.
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_write_timeout(Some(PATIENCE));
        stream
    }

    pub fn stats(&self) -> Stats {
        self.server.stats()
    }

    pub fn wait_for(&self, what: &str, condition: impl Fn(Stats) -> bool) {
        wait_until(what, || condition(self.stats()));
    }

    /// Waits until so many sends are settled, each with what was sent.
    pub fn wait_for_sends(&self, count: usize, sent: &[u8]) {
        let mut settled = 0;
        while settled < count {
            let Ok(Report::Settled(sends)) = self.events.recv_timeout(PATIENCE) else {
                panic!("{settled} of {count} sends are settled, and no more");
            };
            for send in &sends {
                assert_eq!(send.result.as_deref(), Ok(sent));
            }
            settled += sends.len();
        }
    }

    /// Waits for the server's last word.
    pub fn wait_for_end(&self) -> Option<String> {
        loop {
            if let Report::Ended(failure) = self.events.recv_timeout(PATIENCE).expect("the server ends") {
                return failure;
            }
        }
    }
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Bytes without a pattern that a mistake could repeat: a linear congruential generator (the multiplier of Knuth's MMIX).
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut data = vec![0; length];
    for piece in data.chunks_mut(4) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        piece.copy_from_slice(&state.to_be_bytes()[..piece.len()]);
    }
    data
}

/// Writes one message and reads it back.
pub fn echo(mut stream: &TcpStream, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer == message, "what came back is not what was sent");
}

/// Writes all and ends that side, on a thread of its own, so that the caller can read meanwhile.
pub fn write_and_end(stream: &TcpStream, data: Vec<u8>) -> thread::JoinHandle<()> {
    let mut stream = stream.try_clone().unwrap();
    thread::spawn(move || {
        stream.write_all(&data).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    })
}

/// Writes until the connection is stuck: the kernel's buffers are full, and nobody empties them. Returns how much it took.
pub fn write_until_blocked(mut stream: &TcpStream, most: usize) -> usize {
    let piece = vec![b'x'; 64 * 1024];
    let mut written = 0;
    stream.set_write_timeout(Some(Duration::from_millis(250))).unwrap();
    while written < most {
        match stream.write(&piece) {
            Ok(count) => written += count,
            Err(_) => break,
        }
    }
    written
}

/// Resident memory of this process, in bytes: `VmRSS` of proc(5).
pub fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
