//! Waits for descriptors to become ready, level-triggered: the only module that knows epoll(7) and eventfd(2).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
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
#[repr(u32)]
pub enum Interest {
    /// Nothing.
    None = 0,
    /// Input, or its end.
    Readable = libc::EPOLLIN.cast_unsigned(),
    /// Room for output.
    Writable = libc::EPOLLOUT.cast_unsigned(),
    /// Either.
    Both = (libc::EPOLLIN | libc::EPOLLOUT).cast_unsigned(),
}

impl Interest {
    fn event(self, token: Token) -> epoll_event {
        epoll_event { events: self as u32, u64: token }
    }
}

/// An epoll instance, and the events of its last wait.
///
/// A descriptor is removed before it is closed. Closing alone would not do it while a forked child holds a copy: the
/// events about it would wake the loop without end, under a token that may name something else by then.
pub struct Poller {
    epoll: OwnedFd,
    events: Box<[epoll_event; EVENTS]>,
}

impl Poller {
    /// A poller that waits for nothing yet.
    pub fn new() -> Result<Self> {
        Ok(Self { epoll: syscalls::epoll_create()?, events: Box::new([epoll_event { events: 0, u64: 0 }; EVENTS]) })
    }

    /// Starts to wait for a descriptor. Fails with `ENOMEM` or `ENOSPC`.
    pub fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<()> {
        syscalls::epoll_ctl(&self.epoll, libc::EPOLL_CTL_ADD, fd, interest.event(token))
    }

    /// Changes what to wait for. Fails with `ENOMEM`.
    pub fn modify(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<()> {
        syscalls::epoll_ctl(&self.epoll, libc::EPOLL_CTL_MOD, fd, interest.event(token))
    }

    /// Stops waiting for a descriptor. Nothing happens if it is not registered.
    pub fn remove(&self, fd: impl AsFd) {
        // ENOENT alone can come: it is not there.
        let _ = syscalls::epoll_ctl(&self.epoll, libc::EPOLL_CTL_DEL, fd, Interest::None.event(0));
    }

    /// Sleeps until something is ready or the time is over (`None`: without end), and says how many events came. Fails
    /// with `EINTR` when a stop signal or a debugger stops the thread.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<usize> {
        syscalls::epoll_wait(&self.epoll, &mut self.events[..], timeout.map_or(-1, milliseconds))
    }

    /// Whom the event at `index` of the last wait is about.
    pub fn token(&self, index: usize) -> Token {
        self.events[index].u64
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
    /// A waker for the poller, which reports it under `token`. Fails where there is no descriptor or no memory left.
    pub fn new(poller: &Poller, token: Token) -> Result<Self> {
        let counter = syscalls::eventfd()?;
        poller.add(&counter, token, Interest::Readable)?;
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
