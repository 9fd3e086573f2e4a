//! Waits for descriptors to become ready, level-triggered. Each system has a way of its own, in a module with the same surface.

#[cfg(target_os = "linux")]
#[path = "poller/epoll.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "poller/kqueue.rs"]
mod system;

pub use system::{Poller, Waker};

/// Whom an event is about. A slot is an index into the thread's own table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The connection in this slot.
    Connection(usize),
    /// The socket in this slot, whose end is waited for.
    Lingering(usize),
    /// The send in this slot.
    Exchange(usize),
    /// The listener: a client waits in the backlog.
    Listener,
    /// The mailbox: another thread has posted a message.
    Waker,
}

/// How many events one wait takes; what does not fit stays ready for the next one. So many connections, too, a turn of the
/// loop accepts, drains or closes for idleness at most, so that every connection has its turn.
pub const PER_TURN: usize = 256;

/// What to wait for. The loss of a connection is always reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interest {
    /// Nothing more.
    Nothing,
    /// Input, or its end.
    Readable,
    /// Room for output.
    Writable,
    /// Either.
    Both,
}

/// In what the kernel keeps with a descriptor the kind of its source stands above these bits, the slot in them.
const SLOT_BITS: u32 = 32;

impl Source {
    /// What the kernel keeps.
    fn to_token(self) -> u64 {
        let (kind, slot) = match self {
            Self::Connection(slot) => (0, slot),
            Self::Lingering(slot) => (1, slot),
            Self::Exchange(slot) => (2, slot),
            Self::Listener => (3, 0),
            Self::Waker => (4, 0),
        };
        kind << SLOT_BITS | slot as u64
    }

    /// What the kernel gives back.
    #[inline]
    fn from_token(token: u64) -> Self {
        let slot = (token & ((1 << SLOT_BITS) - 1)) as usize;
        match token >> SLOT_BITS {
            0 => Self::Connection(slot),
            1 => Self::Lingering(slot),
            2 => Self::Exchange(slot),
            3 => Self::Listener,
            _ => Self::Waker,
        }
    }
}
