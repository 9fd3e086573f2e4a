//! What everything on one I/O thread works with: the poller, the clock, the buffer that all reads go to, and the
//! counters.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::connection::READ_SIZE;
use crate::error::Result;
use crate::poller::Poller;
use crate::shared::{Counters, Shared};

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
    /// The server stops: what is not over at this moment is cut off.
    pub stop: Option<Duration>,
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
            stop: None,
            counters: Arc::clone(&shared.counters[thread]),
            shared: Arc::clone(shared),
        })
    }

    /// Whether the server stops.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }
}
