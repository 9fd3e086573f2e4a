//! One connection of the server, as a state machine that is driven by readiness.
//!
//! It reads once, writes once and returns to the poller: reading until `EAGAIN` would cost a third system call per
//! message. While it owes something to the peer it does not read, so a client that never reads costs at most one buffer
//! and is held back by TCP itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::poller::Interest;
use crate::shared::{Counters, Shared};
use crate::syscalls;

/// The most that one read takes. With messages of 4 MiB a buffer of 256 KiB costs half as much CPU time again; a larger
/// one saves nothing more, and would be what a client that never reads costs.
pub const READ_SIZE: usize = 1024 * 1024;

/// How much all reads of one turn of the loop take together, about. Beside many bulk transfers a turn that is longer
/// makes every timer late.
const BYTES_PER_TURN: usize = 16 * 1024 * 1024;

/// The most that one read takes in a turn with so many events.
pub fn read_size(events: usize) -> usize {
    READ_SIZE.min(BYTES_PER_TURN / events.max(1))
}

/// The most that one read takes while the connections together owe more than [`UNSENT_LIMIT`].
pub const READ_SIZE_WHEN_SHORT: usize = 4 * 1024;

/// How much the connections together may owe their peers before reads become small: without it 10,000 clients that never
/// read would hold 2.5 GB.
pub const UNSENT_LIMIT: usize = 64 * 1024 * 1024;

/// Ticks of the idle clock in one timeout. An idle connection is closed at most one tick late.
pub const TICKS_PER_TIMEOUT: u32 = 16;

/// What a short write left over.
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

/// What the event loop is to do with a connection next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Call again after the next event.
    Wait,
    /// The same, and the poller is to wait for this from now on.
    WaitFor(Interest),
    /// Close it: nothing is left to do for us. What was written the kernel delivers.
    Close,
    /// It is drained, but the peer may not have all yet: a lingering close.
    Linger,
}

/// A connection. Idle it is these few bytes in a table and nothing on the heap.
pub struct Connection {
    socket: OwnedFd,
    /// Its peer is a send of the same server.
    is_own: bool,
    /// The server stops: echoes what has already arrived, then ends.
    is_draining: bool,
    /// The tick of the idle clock at which something last happened.
    last_active: u32,
    /// What the peer had not acknowledged at the last look, 0 before the first one.
    unacknowledged: u32,
    rest: Option<Box<Rest>>,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Connection> for OwnedFd {
    fn from(connection: Connection) -> Self {
        connection.socket
    }
}

impl Connection {
    /// A connection over a connected non-blocking stream socket.
    pub fn new(socket: OwnedFd, is_own: bool) -> Self {
        Self { socket, is_own, is_draining: false, last_active: 0, unacknowledged: 0, rest: None }
    }

    /// Does what can be done now. Fails with `EAGAIN` if that is nothing, and with any other error if the connection is
    /// over.
    ///
    /// The event is not asked what it was. A reset comes as an event under any interest, and the call that meets it says
    /// what it is.
    pub fn advance(&mut self, context: &mut Context) -> Result<Next> {
        match &mut self.rest {
            None => self.echo(context),
            Some(rest) => {
                let written = write(&self.socket, &rest.data[rest.written..], &context.counters)?;
                rest.written += written;
                if rest.written == rest.data.len() {
                    self.rest = None;
                    return Ok(Next::WaitFor(self.wanted()));
                }
                if written == 0 { Err(Error { errno: libc::EAGAIN, syscall: "write" }) } else { Ok(Next::Wait) }
            }
        }
    }

    /// Tells the connection that the server stops: it ends when it has echoed what has arrived. That of a send goes on,
    /// and ends with the send.
    pub fn drain(&mut self) {
        self.is_draining = !self.is_own;
    }

    /// Notes that something has happened at this tick of the idle clock.
    pub fn touch(&mut self, now: u32) {
        self.last_active = now;
        self.unacknowledged = 0;
    }

    /// Whether nothing has happened for longer than the timeout.
    pub fn is_idle(&self, now: u32) -> bool {
        now.wrapping_sub(self.last_active) > TICKS_PER_TIMEOUT
    }

    /// Whether the peer may have read something since the last look, which counts as activity. The first look at unread
    /// bytes does not know, so it says yes.
    pub fn note_progress(&mut self, now: u32) -> bool {
        // A socket that cannot be asked has nothing left to move.
        let unacknowledged = syscalls::unacknowledged(&self.socket).unwrap_or(0);
        let has_moved = unacknowledged != self.unacknowledged && unacknowledged != 0;
        if has_moved {
            (self.last_active, self.unacknowledged) = (now, unacknowledged);
        }
        has_moved
    }

    fn echo(&mut self, context: &mut Context) -> Result<Next> {
        let is_short = context.shared.unsent.load(Relaxed) > UNSENT_LIMIT;
        let size = if is_short { READ_SIZE_WHEN_SHORT } else { context.read_size };
        let read = match syscalls::read(&self.socket, &mut context.buffer[..size]) {
            // Nothing is owed, or it would not have read: the half-closed peer has everything it sent, or will from the
            // kernel's buffer.
            Ok(0) => return Ok(Next::Close),
            Err(error) if error.would_block() && self.is_draining => return Ok(Next::Linger),
            result => result?,
        };
        let data = &context.buffer[..read];
        let written = write(&self.socket, data, &context.counters)?;
        if written < read {
            self.rest = Some(Box::new(Rest::new(&data[written..], &context.shared)));
            return Ok(Next::WaitFor(self.wanted()));
        }
        Ok(Next::Wait)
    }

    /// What the poller is to wait for.
    pub fn wanted(&self) -> Interest {
        match (&self.rest, self.is_draining) {
            (Some(_), _) => Interest::Writable,
            (None, false) => Interest::Readable,
            // Being writable is what calls a draining connection again at once, to find out whether more has arrived.
            (None, true) => Interest::Both,
        }
    }
}

/// Writes what the socket has room for. Counts ahead, see [`Counters::bytes`].
fn write(socket: &OwnedFd, data: &[u8], counters: &Counters) -> Result<usize> {
    counters.bytes.add(data.len());
    let written = match syscalls::write(socket, data) {
        Err(error) if error.would_block() => Ok(0),
        result => result,
    };
    counters.bytes.subtract(data.len() - written.unwrap_or(0));
    written
}
