//! Waits for descriptors to become ready, level-triggered: the only module that knows epoll(7) and eventfd(2).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use libc::epoll_event;

use crate::error::Result;
use crate::syscalls;

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

/// In what the kernel keeps with a descriptor the kind of its source stands above these bits, the slot in them.
const SLOT_BITS: u32 = 32;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

/// How many events one wait takes; what does not fit stays ready for the next one. So many connections, too, a turn of the
/// loop accepts, drains or closes for idleness at most, so that every connection has its turn.
pub const PER_TURN: usize = 256;

/// What to wait for. Errors and hang-ups are always reported (`epoll_ctl(2)`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Interest {
    /// Nothing more.
    Nothing = 0,
    /// Input, or its end.
    Readable = libc::EPOLLIN.cast_unsigned(),
    /// Room for output.
    Writable = libc::EPOLLOUT.cast_unsigned(),
    /// Either.
    Both = (libc::EPOLLIN | libc::EPOLLOUT).cast_unsigned(),
}

fn event(source: Source, interest: Interest) -> epoll_event {
    let (kind, slot) = match source {
        Source::Connection(slot) => (0, slot),
        Source::Lingering(slot) => (1, slot),
        Source::Exchange(slot) => (2, slot),
        Source::Listener => (3, 0),
        Source::Waker => (4, 0),
    };
    epoll_event { events: interest as u32, u64: kind << SLOT_BITS | slot as u64 }
}

/// An epoll instance, and the events of its last wait.
///
/// A descriptor is removed before it is closed. Closing alone would not do it while a forked child holds a copy: the
/// events about it would wake the loop without end, under a source that may be something else by then.
pub struct Poller {
    epoll: OwnedFd,
    events: Box<[epoll_event; PER_TURN]>,
}

impl Poller {
    /// A poller that waits for nothing yet.
    pub fn new() -> Result<Self> {
        Ok(Self { epoll: syscalls::epoll_create()?, events: Box::new([epoll_event { events: 0, u64: 0 }; PER_TURN]) })
    }

    /// Starts to wait for a descriptor. Fails with `ENOMEM` or `ENOSPC`.
    pub fn add(&self, fd: impl AsFd, source: Source, interest: Interest) -> Result<()> {
        syscalls::epoll_ctl(&self.epoll, libc::EPOLL_CTL_ADD, fd, event(source, interest))
    }

    /// Changes what to wait for. Fails with `ENOMEM`.
    pub fn modify(&self, fd: impl AsFd, source: Source, interest: Interest) -> Result<()> {
        syscalls::epoll_ctl(&self.epoll, libc::EPOLL_CTL_MOD, fd, event(source, interest))
    }

    /// Stops waiting for a descriptor. Nothing happens if it is not registered.
    pub fn remove(&self, fd: impl AsFd) {
        // ENOENT alone can come: it is not there.
        let _ = syscalls::epoll_ctl(&self.epoll, libc::EPOLL_CTL_DEL, fd, event(Source::Waker, Interest::Readable));
    }

    /// Sleeps until something is ready or the time is over (`None`: without end), and says how many events came. Fails
    /// with `EINTR` when SIGSTOP or a debugger stops the thread.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<usize> {
        syscalls::epoll_wait(&self.epoll, &mut self.events[..], timeout.map_or(-1, milliseconds))
    }

    /// Whom the event at `index` of the last wait is about.
    pub fn source(&self, index: usize) -> Source {
        let event = self.events[index].u64;
        let slot = (event & SLOT_MASK) as usize;
        match event >> SLOT_BITS {
            0 => Source::Connection(slot),
            1 => Source::Lingering(slot),
            2 => Source::Exchange(slot),
            3 => Source::Listener,
            _ => Source::Waker,
        }
    }
}

/// Rounds up: a timer that fires early would find nothing to do and spin until its time has come.
fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

/// Ends another thread's wait. Wake-ups before the wait are not lost, and many count as one.
pub struct Waker {
    counter: OwnedFd,
    is_awake: AtomicBool,
}

impl Waker {
    /// A waker for the poller. Fails where there is no descriptor or no memory left.
    pub fn new(poller: &Poller) -> Result<Self> {
        let counter = syscalls::eventfd()?;
        poller.add(&counter, Source::Waker, Interest::Readable)?;
        Ok(Self { counter, is_awake: AtomicBool::new(false) })
    }

    /// Makes the poller's current or next wait return. What the caller did before is seen after [`Self::reset`].
    pub fn wake(&self) {
        if !self.is_awake.swap(true, SeqCst) {
            // EAGAIN alone can come: the counter is at its limit, so it wakes anyway.
            let _ = syscalls::write(&self.counter, &1_u64.to_ne_bytes());
        }
    }

    /// Lets the poller sleep again: to be called before looking for what the others did.
    pub fn reset(&self) {
        // EAGAIN alone can come: there was no wake-up.
        let _ = syscalls::read(&self.counter, &mut [0; 8]);
        self.is_awake.swap(false, SeqCst);
    }
}
