//! epoll(7) and eventfd(2), of Linux.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use libc::epoll_event;

use super::{Interest, PER_TURN, Source};
use crate::error::Result;
use crate::syscalls;

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
        let events = Box::new([epoll_event { events: 0, u64: 0 }; PER_TURN]);
        Ok(Self { epoll: syscalls::epoll_create()?, events })
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
        let remove =
            || syscalls::epoll_ctl(&self.epoll, libc::EPOLL_CTL_DEL, &fd, event(Source::Waker, Interest::Readable));
        // ENOENT alone can come: it is not there. Where others have a say (seccomp(2)), once more: one that stays registered, and
        // is another thread's by then, would wake the loop without end.
        let _ = remove().or_else(|error| if error.errno == libc::ENOENT { Err(error) } else { remove() });
    }

    /// Sleeps until something is ready or the time is over (`None`: without end), and says how many events came. Fails
    /// with `EINTR` when SIGSTOP or a debugger stops the thread.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<usize> {
        syscalls::epoll_wait(&self.epoll, &mut self.events[..], timeout.map_or(-1, milliseconds))
    }

    /// Whom the event at `index` of the last wait is about.
    pub fn source(&self, index: usize) -> Source {
        Source::from_token(self.events[index].u64)
    }
}

fn event(source: Source, interest: Interest) -> epoll_event {
    // Errors and hang-ups are reported without being asked for: `epoll_ctl(2)`.
    let events = match interest {
        Interest::Nothing => 0,
        Interest::Readable => libc::EPOLLIN,
        Interest::Writable => libc::EPOLLOUT,
        Interest::Both => libc::EPOLLIN | libc::EPOLLOUT,
    };
    epoll_event { events: events.cast_unsigned(), u64: source.to_token() }
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
            let wake = || syscalls::write(&self.counter, &1_u64.to_ne_bytes());
            // EAGAIN alone can come: the counter is at its limit, so it wakes anyway. Where others have a say (seccomp(2)), once
            // more: after a wake-up that is lost there would be no other.
            let _ = wake().or_else(|_| wake());
        }
    }

    /// Lets the poller sleep again: to be called before looking for what the others did.
    pub fn reset(&self) {
        // EAGAIN alone can come: there was no wake-up.
        let _ = syscalls::read(&self.counter, &mut [0; 8]);
        self.is_awake.swap(false, SeqCst);
    }
}
