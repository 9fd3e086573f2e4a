//! kqueue(2), of macOS.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use libc::{kevent64_s, timespec};

use super::{Interest, PER_TURN, Source};
use crate::error::{Error, Result};
use crate::syscalls;

const NO_EVENT: kevent64_s = kevent64_s { ident: 0, filter: 0, flags: 0, fflags: 0, data: 0, udata: 0, ext: [0; 2] };

/// A kernel event queue, and the events of its last wait.
///
/// What to read and what to write are filters of their own, so one descriptor may have two events in one wait. The second one
/// may come after the first has ended its connection: its slot is empty then, for none is taken again before all events are
/// served. A descriptor that is closed leaves the queue by itself, whatever copies of it there are.
pub struct Poller {
    queue: OwnedFd,
    events: Box<[kevent64_s; PER_TURN]>,
}

impl Poller {
    /// A poller that waits for nothing yet.
    pub fn new() -> Result<Self> {
        let events = Box::new([NO_EVENT; PER_TURN]);
        Ok(Self { queue: syscalls::kqueue()?, events })
    }

    /// Starts to wait for a descriptor. Fails with `ENOMEM`.
    pub fn add(&self, fd: impl AsFd, source: Source, interest: Interest) -> Result<()> {
        self.modify(fd, source, interest)
    }

    /// Changes what to wait for. Fails with `ENOMEM`.
    pub fn modify(&self, fd: impl AsFd, source: Source, interest: Interest) -> Result<()> {
        let change = |filter, flags| change(&fd, filter, flags, source);
        let [read, write] = [libc::EVFILT_READ, libc::EVFILT_WRITE];
        // The loss of the connection is wanted in any case. With `EV_CLEAR` an end or input that is left unread wakes once, not
        // without end, and input only when it fills the buffer.
        let loss = kevent64_s {
            fflags: libc::NOTE_LOWAT,
            data: i64::from(i32::MAX),
            ..change(read, libc::EV_ADD | libc::EV_CLEAR)
        };
        let [reading, writing] = [read, write].map(|filter| change(filter, libc::EV_ADD));
        // To add one twice does no harm.
        let [one, other] = match interest {
            Interest::Nothing => [loss, loss],
            Interest::Readable => [reading, reading],
            Interest::Writable => [writing, writing],
            Interest::Both => [reading, writing],
        };
        // Deleted first: to add a filter that is there would leave its `EV_CLEAR` as it is.
        self.apply(&[change(read, libc::EV_DELETE), change(write, libc::EV_DELETE), one, other])
    }

    /// Stops waiting for a descriptor. Nothing happens if it is not registered.
    pub fn remove(&self, fd: impl AsFd) {
        let deleted =
            [libc::EVFILT_READ, libc::EVFILT_WRITE].map(|filter| change(&fd, filter, libc::EV_DELETE, Source::Waker));
        // No error can come but that one is not there.
        let _ = self.apply(&deleted);
    }

    /// With `EV_RECEIPT` each change is answered with its error or 0, and no event is taken.
    fn apply(&self, changes: &[kevent64_s]) -> Result<()> {
        let mut receipts = [NO_EVENT; 4];
        let count =
            syscalls::kevent(&self.queue, changes, &mut receipts[..changes.len()], Some(to_timespec(Duration::ZERO)))?;
        let failed = receipts[..count].iter().zip(changes).find(|(receipt, change)| {
            let was_absent = change.flags & libc::EV_DELETE != 0 && receipt.data == i64::from(libc::ENOENT);
            receipt.flags & libc::EV_ERROR != 0 && receipt.data != 0 && !was_absent
        });
        let error = |data| Error { errno: i32::try_from(data).unwrap_or(libc::EINVAL), syscall: "kevent64" };
        failed.map_or(Ok(()), |(receipt, _)| Err(error(receipt.data)))
    }

    /// Sleeps until something is ready or the time is over (`None`: without end), and says how many events came. Fails
    /// with `EINTR` when a signal interrupts it.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<usize> {
        syscalls::kevent(&self.queue, &[], &mut self.events[..], timeout.map(to_timespec))
    }

    /// Whom the event at `index` of the last wait is about.
    pub fn source(&self, index: usize) -> Source {
        Source::from_token(self.events[index].udata)
    }
}

fn change(fd: impl AsFd, filter: i16, flags: u16, source: Source) -> kevent64_s {
    let ident = u64::from(fd.as_fd().as_raw_fd().cast_unsigned());
    kevent64_s { ident, filter, flags: flags | libc::EV_RECEIPT, udata: source.to_token(), ..NO_EVENT }
}

/// The longest wait in seconds: XNU answers a longer one with `EINVAL` (`itimerfix`).
const LONGEST_WAIT: u64 = 100_000_000;

fn to_timespec(time: Duration) -> timespec {
    timespec { tv_sec: time.as_secs().min(LONGEST_WAIT).cast_signed(), tv_nsec: time.subsec_nanos().into() }
}

/// Ends another thread's wait. Wake-ups before the wait are not lost, and many count as one.
pub struct Waker {
    /// A copy of the poller's.
    queue: OwnedFd,
    is_awake: AtomicBool,
}

/// The only event of a user's in the queue.
fn user_event(flags: u16, note: u32) -> kevent64_s {
    kevent64_s { filter: libc::EVFILT_USER, flags, fflags: note, udata: Source::Waker.to_token(), ..NO_EVENT }
}

impl Waker {
    /// A waker for the poller. Fails where there is no descriptor or no memory left.
    pub fn new(poller: &Poller) -> Result<Self> {
        let queue = poller.queue.try_clone().map_err(|_| Error::last("fcntl"))?;
        // Taken, the event is cleared.
        poller.apply(&[user_event(libc::EV_ADD | libc::EV_CLEAR | libc::EV_RECEIPT, 0)])?;
        Ok(Self { queue, is_awake: AtomicBool::new(false) })
    }

    /// Makes the poller's current or next wait return. What the caller did before is seen after [`Self::reset`].
    pub fn wake(&self) {
        if !self.is_awake.swap(true, SeqCst) {
            let trigger = user_event(libc::EV_RECEIPT, libc::NOTE_TRIGGER);
            // No error can come: the event is there as long as the queue.
            let _ = syscalls::kevent(&self.queue, &[trigger], &mut [NO_EVENT], Some(to_timespec(Duration::ZERO)));
        }
    }

    /// Lets the poller sleep again: to be called before looking for what the others did.
    pub fn reset(&self) {
        self.is_awake.swap(false, SeqCst);
    }
}
