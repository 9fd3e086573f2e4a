//! What everything on one I/O thread works with: the poller, the clock, the buffer that all reads go to, and the counters.

use std::sync::Arc;
use std::time::Instant;

use crate::clock::Clock;
use crate::connection::READ_SIZE;
use crate::error::Result;
use crate::poller::{Poller, Token};
use crate::shared::{Counters, Shared};

/// The context of one I/O thread.
pub struct Context {
    /// Waits for every socket of the thread.
    pub poller: Poller,
    /// What its timers go by.
    pub clock: Clock,
    /// Its content means nothing between two calls.
    pub buffer: Box<[u8]>,
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
            clock: Clock::new(Instant::now()),
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            counters: Arc::clone(&shared.counters[thread]),
            shared: Arc::clone(shared),
        })
    }
}

/// Whom an event is about: what a token of the poller stands for. A slot is an index into the thread's own table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The listener: a client waits in the backlog.
    Listener,
    /// The mailbox: another thread has posted a command.
    Waker,
    /// The connection in this slot.
    Connection(usize),
    /// The socket in this slot, whose end is waited for.
    Lingering(usize),
    /// The send in this slot.
    Exchange(usize),
}

/// The kind stands above these bits, the slot in them.
const SLOT_BITS: u32 = 32;
const SLOT_MASK: Token = (1 << SLOT_BITS) - 1;

impl From<Source> for Token {
    fn from(source: Source) -> Self {
        let (kind, slot) = match source {
            Source::Connection(slot) => (0, slot),
            Source::Lingering(slot) => (1, slot),
            Source::Exchange(slot) => (2, slot),
            Source::Listener => (3, 0),
            Source::Waker => (4, 0),
        };
        kind << SLOT_BITS | slot as Self
    }
}

impl From<Token> for Source {
    fn from(token: Token) -> Self {
        let slot = usize::try_from(token & SLOT_MASK).expect("a slot that was an index before");
        match token >> SLOT_BITS {
            0 => Self::Connection(slot),
            1 => Self::Lingering(slot),
            2 => Self::Exchange(slot),
            3 => Self::Listener,
            _ => Self::Waker,
        }
    }
}
