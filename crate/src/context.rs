//! What everything on one I/O thread works with: the poller, the clock, the buffer that all reads go to, and the
//! counters.

use std::sync::Arc;

use crate::clock::{Clock, Moment};
use crate::error::Result;
use crate::log::LogWriter;
use crate::poller::Poller;
use crate::read_again::ReadAgain;
use crate::shared::{Counters, Shared};

/// The most that one read takes. With messages of 4 MiB a buffer of 256 KiB costs half as much CPU time again; a larger
/// one saves little more, and would be what a client that never reads costs.
pub const READ_SIZE: usize = 1024 * 1024;

/// How much the reads for the events of one wait take together. Beside many bulk transfers a turn that is longer
/// makes every timer late.
const BYTES_PER_TURN: usize = 16 * 1024 * 1024;

/// The most that one read takes in a turn with so many events.
pub fn read_size(events: usize) -> usize {
    READ_SIZE.min(BYTES_PER_TURN / events.max(1))
}

/// The context of one I/O thread.
pub struct Context {
    /// Waits for every socket of the thread.
    pub poller: Poller,
    /// What its timers go by.
    pub clock: Clock,
    /// Its content means nothing between two calls.
    pub buffer: Box<[u8]>,
    /// How much of it one read may fill in this turn of the loop.
    pub read_size: usize,
    /// Whether to read again after an echo.
    pub read_again: ReadAgain,
    /// The server stops: what is not over at this moment is cut off.
    pub stop_deadline: Option<Moment>,
    /// What the thread tells about its connections.
    pub log: LogWriter,
    /// The thread's own counters.
    pub counters: Arc<Counters>,
    /// What it shares with the other threads.
    pub shared: Arc<Shared>,
}

impl Context {
    /// The context of the thread with this number, from 0. Fails as [`Poller::new`] does.
    pub fn new(shared: &Arc<Shared>, thread: usize) -> Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            clock: Clock::default(),
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            read_size: READ_SIZE,
            read_again: ReadAgain::default(),
            stop_deadline: None,
            log: LogWriter::new(shared, thread),
            counters: Arc::clone(&shared.counters[thread]),
            shared: Arc::clone(shared),
        })
    }

    /// Whether the server stops.
    pub fn is_stopping(&self) -> bool {
        self.stop_deadline.is_some()
    }
}
