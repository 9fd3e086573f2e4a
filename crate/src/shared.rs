//! What the I/O threads of one server and its handle know in common: the counters, and a few figures that are about all
//! threads together.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What a server has done since it started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Connections accepted, without the rejected ones.
    pub total_connections: u64,
    /// Bytes echoed.
    pub total_bytes: u64,
    /// Connections open now.
    pub active_connections: u64,
    /// Connections refused: over `max_connections`, or no memory to serve them.
    pub rejected_connections: u64,
}

/// The counters of one I/O thread, on cache lines of their own.
///
/// That thread is the only writer, so an update is a load and a store, not a locked instruction. They are relaxed: a
/// client learns of an echo through the kernel, whose locks put the store before it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    connections: AtomicU64,
    rejected: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    /// One more connection is served.
    pub fn opened(&self) {
        add(&self.connections, 1);
    }

    /// One that was counted, here or by the first thread, is not served after all: alone, this counter may be below zero.
    pub fn not_opened(&self) {
        add(&self.connections, 1_u64.wrapping_neg());
    }

    /// One more connection was refused.
    pub fn rejected(&self) {
        add(&self.rejected, 1);
    }

    /// Bytes are about to be written. Said before `write`, or a client that has them would find them not yet counted.
    pub fn writing(&self, bytes: usize) {
        add(&self.bytes, bytes as u64);
    }

    /// Takes back what `write` did not take.
    pub fn unwritten(&self, bytes: usize) {
        self.bytes.store(self.bytes.load(Relaxed).wrapping_sub(bytes as u64), Relaxed);
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

/// The figures of one server.
#[derive(Debug)]
pub struct Shared {
    counters: Box<[Counters]>,
    /// Connections open now, from accept on.
    pub open: AtomicUsize,
    /// Bytes that all connections together owe their peers.
    pub unsent: AtomicUsize,
    /// No connection can be accepted for want of descriptors or memory: whoever closes one says so.
    pub accept_paused: AtomicBool,
}

impl Shared {
    /// Zeros, for so many threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            counters: (0..threads).map(|_| Counters::default()).collect(),
            open: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            accept_paused: AtomicBool::new(false),
        }
    }

    /// The counters of the thread with this number, from 0.
    #[must_use]
    pub fn counters(&self, thread: usize) -> &Counters {
        &self.counters[thread]
    }

    /// All figures at this moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let sum = |figure: fn(&Counters) -> &AtomicU64| {
            self.counters.iter().map(|counters| figure(counters).load(Relaxed)).fold(0, u64::wrapping_add)
        };
        let active_connections = self.open.load(Relaxed) as u64;
        Stats {
            total_connections: sum(|counters| &counters.connections),
            total_bytes: sum(|counters| &counters.bytes),
            active_connections,
            rejected_connections: sum(|counters| &counters.rejected),
        }
    }
}
