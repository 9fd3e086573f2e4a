//! The counters, each written by one thread and read by any.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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

/// The counters of one I/O thread.
///
/// That thread is the only writer, so an update is a load and a store, not a locked instruction. They are relaxed: a
/// client learns of an echo through the kernel, whose locks put the store before it.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    closed: AtomicU64,
    rejected: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    /// One more connection is served.
    pub fn opened(&self) {
        add(&self.accepted, 1);
    }

    /// A connection is about to be closed. Said before `close`, or a client that saw the end would find it still counted.
    pub fn closing(&self) {
        add(&self.closed, 1);
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

    /// Connections open now.
    #[must_use]
    pub fn active(&self) -> u64 {
        // Closed first: a connection that opens and closes between the two loads must not make the difference negative.
        let closed = self.closed.load(Relaxed);
        self.accepted.load(Relaxed).saturating_sub(closed)
    }

    /// All counters at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Stats {
        Stats {
            active_connections: self.active(),
            total_connections: self.accepted.load(Relaxed),
            total_bytes: self.bytes.load(Relaxed),
            rejected_connections: self.rejected.load(Relaxed),
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}
