//! One connection of the server, as a state machine that is driven by readiness.
//!
//! It reads once, writes once and returns to the poller: reading until `EAGAIN` would cost a third system call a message.
//! While something is owed to the peer it does not read, so a client that never reads costs at most one buffer and is
//! held back by TCP itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::Result;
use crate::poller::Interest;
use crate::shared::{Counters, Shared};
use crate::syscalls;

/// The most that one read takes. Larger buffers no longer lower the CPU time a megabyte.
pub const READ_SIZE: usize = 256 * 1024;

/// The most that one read takes while the connections together owe more than [`UNSENT_LIMIT`].
pub const READ_SIZE_WHEN_SHORT: usize = 4 * 1024;

/// How much the connections together may owe their peers before reads become small: without it 10,000 clients that never
/// read would hold 2.5 GB.
pub const UNSENT_LIMIT: usize = 64 * 1024 * 1024;

/// A read of so much is part of a bulk transfer: what the next round trip costs no longer matters.
const BULK_READ_SIZE: usize = 16 * 1024;

/// What the connections of one thread share: the buffer all of them read into, and the counters.
#[derive(Debug)]
pub struct Workspace {
    buffer: Box<[u8]>,
    shared: Arc<Shared>,
    thread: usize,
    moved_bulk: bool,
}

impl Workspace {
    /// A workspace for the thread with this number.
    #[must_use]
    pub fn new(shared: Arc<Shared>, thread: usize) -> Self {
        Self { buffer: vec![0; READ_SIZE].into_boxed_slice(), shared, thread, moved_bulk: false }
    }

    /// The figures of the server.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The thread's counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.shared.counters(self.thread)
    }

    /// The thread's buffer, whose content means nothing between two calls.
    pub fn buffer(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// Whether bulk data has moved since the last call.
    pub fn take_moved_bulk(&mut self) -> bool {
        std::mem::take(&mut self.moved_bulk)
    }

    fn read_size(&self) -> usize {
        if self.shared.unsent.load(Relaxed) > UNSENT_LIMIT { READ_SIZE_WHEN_SHORT } else { READ_SIZE }
    }

    /// Writes what the socket has room for, counting ahead (see [`Counters::writing`]).
    fn write(&self, socket: &OwnedFd, data: &[u8]) -> Result<usize> {
        let counters = self.counters();
        counters.writing(data.len());
        let written = match syscalls::write(socket, data) {
            Err(error) if error.would_block() => Ok(0),
            result => result,
        };
        let unwritten = data.len() - written.unwrap_or(0);
        if unwritten > 0 {
            counters.unwritten(unwritten);
        }
        written
    }
}

/// What a short write left over.
#[derive(Debug)]
struct Rest {
    data: Box<[u8]>,
    written: usize,
    shared: Arc<Shared>,
}

impl Rest {
    fn new(data: &[u8], shared: &Arc<Shared>) -> Self {
        shared.unsent.fetch_add(data.len(), Relaxed);
        Self { data: data.into(), written: 0, shared: Arc::clone(shared) }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.shared.unsent.fetch_sub(self.data.len(), Relaxed);
    }
}

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Echoes until the peer ends its side.
    Open,
    /// The server stops: echoes what has already arrived, then ends.
    Draining,
    /// Our side is ended, but the peer has not acknowledged everything: closing now, with unread input, would send a RST
    /// that destroys what is still on its way (RFC 1122, 4.2.2.13). So input is read and dropped until its end.
    Discarding,
}

/// What the event loop is to do with a connection next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Call again when this has come.
    WaitFor(Interest),
    /// Close it.
    Close,
}

/// A connection. Idle it is these few bytes in a table and nothing on the heap.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    phase: Phase,
    /// What the poller waits for on its behalf.
    pub interest: Interest,
    /// When something last happened, in milliseconds of the event loop's clock.
    pub last_active: u64,
    rest: Option<Box<Rest>>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Connection {
    /// A connection over a connected non-blocking stream socket.
    #[must_use]
    pub fn new(socket: OwnedFd, now: u64) -> Self {
        Self { socket, phase: Phase::Open, interest: Interest::Readable, last_active: now, rest: None }
    }

    /// Does what can be done now: to be called after every event, and harmless without one.
    ///
    /// The event is not asked what it was. A reset comes as an event under any interest, and the call that meets it says
    /// what it is.
    pub fn ready(&mut self, work: &mut Workspace) -> Next {
        match self.advance(work) {
            Ok(next) => next,
            Err(error) if error.would_block() => Next::WaitFor(self.interest),
            // ECONNRESET, EPIPE, ETIMEDOUT and the like: this connection is over, nothing else is.
            Err(_) => Next::Close,
        }
    }

    /// Tells the connection that the server stops. Call [`Self::ready`] when what it returns has come.
    pub fn drain(&mut self) -> Interest {
        if self.phase == Phase::Open {
            self.phase = Phase::Draining;
        }
        if self.rest.is_some() { Interest::Writable } else { self.interest_without_rest() }
    }

    fn advance(&mut self, work: &mut Workspace) -> Result<Next> {
        if self.rest.is_some() {
            self.write_rest(work)
        } else if self.phase == Phase::Discarding {
            self.discard(work)
        } else {
            self.echo(work)
        }
    }

    fn echo(&mut self, work: &mut Workspace) -> Result<Next> {
        let size = work.read_size();
        let read = match syscalls::read(&self.socket, &mut work.buffer[..size]) {
            Err(error) if error.would_block() && self.phase == Phase::Draining => return self.end(),
            result => result?,
        };
        if read == 0 {
            // Nothing is owed, or we would not have read: the half-closed peer has everything it sent, or will from the
            // kernel's buffer.
            return Ok(Next::Close);
        }
        work.moved_bulk |= read >= BULK_READ_SIZE;
        let written = work.write(&self.socket, &work.buffer[..read])?;
        if written == read {
            return Ok(Next::WaitFor(self.interest_without_rest()));
        }
        self.rest = Some(Box::new(Rest::new(&work.buffer[written..read], &work.shared)));
        Ok(Next::WaitFor(Interest::Writable))
    }

    fn write_rest(&mut self, work: &mut Workspace) -> Result<Next> {
        work.moved_bulk = true;
        if let Some(rest) = &mut self.rest {
            rest.written += work.write(&self.socket, &rest.data[rest.written..])?;
            if rest.written < rest.data.len() {
                return Ok(Next::WaitFor(Interest::Writable));
            }
        }
        self.rest = None;
        Ok(Next::WaitFor(self.interest_without_rest()))
    }

    /// All that has arrived is echoed: closes at once if the peer has it all, else ends our side and waits for the peer's.
    fn end(&mut self) -> Result<Next> {
        if syscalls::unacknowledged(&self.socket)? == 0 {
            return Ok(Next::Close);
        }
        syscalls::shutdown_write(&self.socket)?;
        self.phase = Phase::Discarding;
        Ok(Next::WaitFor(Interest::Readable))
    }

    fn discard(&self, work: &mut Workspace) -> Result<Next> {
        let read = syscalls::read(&self.socket, &mut work.buffer)?;
        Ok(if read == 0 { Next::Close } else { Next::WaitFor(Interest::Readable) })
    }

    fn interest_without_rest(&self) -> Interest {
        match self.phase {
            // Being writable is what calls a draining connection again at once, to find out whether more has arrived.
            Phase::Draining => Interest::Both,
            Phase::Open | Phase::Discarding => Interest::Readable,
        }
    }
}

/// Ends a connection that is not served, so that the peer reads an end and not a reset: closing with unread input would
/// send one, so what has arrived is read.
pub fn turn_away(socket: &OwnedFd, work: &mut Workspace) {
    // Whatever the two say, the socket is closed next.
    let _ = syscalls::shutdown_write(socket);
    let _ = syscalls::read(socket, work.buffer());
}
