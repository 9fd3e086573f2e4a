//! What the I/O threads of one server and its handle know in common: the configuration, the counters, and a few figures
//! that are about all threads together.

use std::net::SocketAddrV4;
use std::num::NonZeroUsize;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed},
};
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;
use std::time::Duration;

use crate::faults::{Dealer, Faults};
use crate::log::Log;

/// The most threads that a server has if it is not told how many: for 1,000 clients that each wait for their answer two are enough to
/// be at the limit of two cores, and a server in a test is to leave cores to what is tested.
const MOST_BY_DEFAULT: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// How many threads a server has if it is not told: one for each CPU that the process may use, up to a limit.
pub fn default_threads() -> NonZeroUsize {
    available_parallelism().map_or(NonZeroUsize::MIN, |cpus| cpus.min(MOST_BY_DEFAULT))
}

/// How to start a server.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Where to listen. Port 0 takes any free port.
    pub address: SocketAddrV4,
    /// How many connections may wait to be accepted: the backlog of listen(2), cut to `net.core.somaxconn`.
    pub backlog: i32,
    /// More connections than this are turned away.
    pub max_connections: usize,
    /// Connections that are idle for so long are closed; zero never does.
    pub idle_timeout: Duration,
    /// How long to poll for the next event before sleeping, where that pays; zero never does.
    pub busy_poll: Duration,
    /// How many I/O threads share the connections.
    pub threads: NonZeroUsize,
    /// Whether to tell of connections from the first one on; see [`Log::set_observed`].
    pub observed: bool,
    /// How connections misbehave, from the first one on; see [`Dealer::set`].
    pub faults: Option<Faults>,
}

/// What a server has done since it started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Connections accepted, without the rejected ones.
    pub total_connections: u64,
    /// Bytes echoed.
    pub total_bytes: u64,
    /// Connections open now.
    pub active_connections: u64,
    /// Connections turned away: over `max_connections`, or no memory to serve them.
    pub rejected_connections: u64,
}

/// The counters of one I/O thread, on cache lines of their own.
///
/// That thread is the only writer, so an update is a load and a store, not a locked instruction. They are relaxed: a
/// client learns of an echo through the kernel, whose locks put the store before it. They wrap: alone, one may be below
/// zero, and the sum over all threads is right.
#[derive(Default)]
#[repr(align(128))]
pub struct Counters {
    /// Connections taken on.
    pub connections: Counter,
    /// Connections turned away.
    pub rejected: Counter,
    /// Bytes echoed. Counted before `write`, or a client that has them could find them not yet counted.
    pub bytes: Counter,
}

/// A number with one writer.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts up.
    pub fn add(&self, amount: usize) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount as u64), Relaxed);
    }

    /// Takes back what was counted.
    pub fn subtract(&self, amount: usize) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(amount as u64), Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What the threads of one server share.
pub struct Shared {
    /// How the server was started.
    pub config: Config,
    /// One for each thread.
    pub counters: Box<[Arc<Counters>]>,
    /// Connections open now: from their admission, after accept, until they are closed.
    pub open: AtomicUsize,
    /// Bytes kept for peers that do not read, by all connections together.
    pub unsent: AtomicUsize,
    /// What it tells about its connections.
    pub log: Log,
    /// How they misbehave.
    pub faults: Dealer,
    /// The message of the first panic on an I/O thread.
    pub panic: OnceLock<String>,
}

impl Shared {
    /// Zeros.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            counters: (0..config.threads.get()).map(|_| Arc::default()).collect(),
            open: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            log: Log::new(config.observed),
            faults: Dealer::default(),
            panic: OnceLock::new(),
        }
    }

    /// All figures at this moment.
    pub fn stats(&self) -> Stats {
        let sum = |counter: fn(&Counters) -> &Counter| {
            self.counters.iter().map(|counters| counter(counters).get()).fold(0, u64::wrapping_add)
        };
        // Read before the total: no one is to see more connections open than there ever were.
        let active_connections = self.open.load(Acquire) as u64;
        Stats {
            total_connections: sum(|counters| &counters.connections),
            total_bytes: sum(|counters| &counters.bytes),
            active_connections,
            rejected_connections: sum(|counters| &counters.rejected),
        }
    }
}
