//! Waits for descriptors to become ready, level-triggered: the only room that knows epoll(7) and eventfd(2).

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use libc::epoll_event;

use crate::error::Result;
use crate::syscalls;

/// Names a registered descriptor in the events about it.
pub type Token = u64;

/// How many events one wait takes. What does not fit stays ready for the next one.
const EVENTS: usize = 256;

/// What to wait for. Errors and hang-ups are always reported (`epoll_ctl(2)`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interest {
    /// Input, or its end.
    Readable,
    /// Room for output.
    Writable,
    /// Either.
    Both,
}

impl Interest {
    fn event(self, token: Token) -> epoll_event {
        let events = match self {
            Self::Readable => libc::EPOLLIN,
            Self::Writable => libc::EPOLLOUT,
            Self::Both => libc::EPOLLIN | libc::EPOLLOUT,
        };
        epoll_event { events: events.cast_unsigned(), u64: token }
    }
}

/// An epoll instance, and the events of its last wait.
///
/// A descriptor leaves it by being closed. Should a fork hold a copy open until its exec, an event can come under a token
/// whose descriptor has been closed and given out again: whoever takes an event must bear one that means nothing.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    events: Box<[epoll_event; EVENTS]>,
}

impl Poller {
    /// A poller that waits for nothing yet.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE` or `ENOMEM` of `epoll_create1(2)`.
    pub fn new() -> Result<Self> {
        Ok(Self { epoll: syscalls::epoll_create()?, events: Box::new([epoll_event { events: 0, u64: 0 }; EVENTS]) })
    }

    /// Starts to wait for a descriptor.
    ///
    /// # Errors
    /// `ENOMEM` or `ENOSPC` of `epoll_ctl(2)`.
    pub fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<()> {
        syscalls::epoll_ctl(&self.epoll, libc::EPOLL_CTL_ADD, fd, interest.event(token))
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// `ENOMEM` of `epoll_ctl(2)`.
    pub fn modify(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<()> {
        syscalls::epoll_ctl(&self.epoll, libc::EPOLL_CTL_MOD, fd, interest.event(token))
    }

    /// Stops waiting for a descriptor that stays open.
    ///
    /// # Errors
    /// `ENOMEM` of `epoll_ctl(2)`.
    pub fn remove(&self, fd: impl AsFd) -> Result<()> {
        syscalls::epoll_ctl(&self.epoll, libc::EPOLL_CTL_DEL, fd, Interest::Readable.event(0))
    }

    /// Sleeps until something is ready or the time is over (`None`: without end), and says how many events came.
    ///
    /// # Errors
    /// `EINTR`, when a debugger stops the thread: signals are blocked there.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<usize> {
        syscalls::epoll_wait(&self.epoll, &mut self.events[..], timeout.map_or(-1, milliseconds))
    }

    /// Whom the event at `index` of the last wait is about.
    #[must_use]
    pub fn token(&self, index: usize) -> Token {
        self.events[index].u64
    }
}

/// Rounds up: a timer that fires early would find nothing to do and spin until its time has come.
fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

/// Ends another thread's wait.
#[derive(Debug)]
pub struct Waker {
    counter: OwnedFd,
}

impl Waker {
    /// A waker for the poller, which reports it under `token`.
    ///
    /// # Errors
    /// Those of eventfd(2) and `epoll_ctl(2)`: no descriptor or no memory left.
    pub fn new(poller: &Poller, token: Token) -> Result<Self> {
        let counter = syscalls::eventfd()?;
        poller.add(&counter, token, Interest::Readable)?;
        Ok(Self { counter })
    }

    /// Makes the poller's current or next wait return.
    pub fn wake(&self) {
        // EAGAIN alone can come: the counter is at its limit, so it wakes anyway.
        let _ = syscalls::write(&self.counter, &1_u64.to_ne_bytes());
    }

    /// Takes the wake-ups there were, so that the poller can sleep again.
    pub fn reset(&self) {
        // EAGAIN alone can come: there was none.
        let _ = syscalls::read(&self.counter, &mut [0; 8]);
    }
}
