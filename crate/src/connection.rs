//! One connection of the server, as a state machine that is driven by readiness.
//!
//! It reads once, writes once and returns to the poller, unless to read again at once pays ([`crate::read_again`]): reading
//! until `EAGAIN` would cost a third system call per message. While it owes something to the peer it does not read, so a client that never reads costs at most one buffer
//! and is held back by TCP itself.

use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::clock::Moment;
use crate::context::Context;
use crate::drain::Drain;
use crate::error::Result;
use crate::faults::Fault;
use crate::log::Record;
use crate::poller::Interest;
use crate::shared::{Counters, Shared};
use crate::syscalls;

/// The most that one read takes while the connections together owe more than [`UNSENT_LIMIT`].
pub const READ_SIZE_OVER_LIMIT: usize = 4 * 1024;

/// How much the connections together may owe their peers before reads become small: without it 10,000 clients that never
/// read would hold 2.5 GB.
pub const UNSENT_LIMIT: usize = 64 * 1024 * 1024;

/// Ticks of the idle clock in one timeout. An idle connection is closed at most one tick late, and as late as the tick
/// itself.
pub const TICKS_PER_TIMEOUT: u32 = 16;

/// Not asked yet. No socket's buffer holds so much.
const UNKNOWN: u32 = u32::MAX;

/// What was read and not written yet: what a short write left over, or a fault holds back.
pub struct Unsent {
    data: Box<[u8]>,
    written: usize,
    shared: Arc<Shared>,
}

impl Unsent {
    /// A copy, which counts toward [`UNSENT_LIMIT`].
    pub fn new(data: &[u8], shared: &Arc<Shared>) -> Self {
        shared.unsent.fetch_add(data.len(), Relaxed);
        Self { data: data.into(), written: 0, shared: Arc::clone(shared) }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.shared.unsent.fetch_sub(self.data.len(), Relaxed);
    }
}

/// What is to be done with a connection next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Wait for an event: there was nothing to do.
    Wait,
    /// Wait for more: something was read or written.
    Continue,
    /// The same, and the poller is to wait for this from now on.
    WaitFor(Interest),
    /// Close it: nothing is left to do for us. What was written the kernel delivers.
    Close,
    /// A fault cuts it.
    Cut(Cut),
    /// It is drained, but the peer may not have all yet: a lingering close.
    Linger,
}

/// How the owner of the server ends a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// With an end, after what has been written to it.
    Close,
    /// With a reset.
    Reset,
}

/// Whether a connection stays with the thread that has it. Many come for one message, and to hand these over to another
/// thread would cost more than it saves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stay {
    /// Its peer is a send of the same server, on the same thread.
    WithSend,
    /// It stays.
    Settled,
    /// It is to be handed over if it lasts.
    New,
    /// It has echoed in one turn.
    Seen,
    /// It has echoed in two turns.
    Lasting,
}

/// A connection. Idle it is these few bytes in a table and, if nobody wants to know of it, nothing on the heap.
pub struct Connection {
    /// Connected, and non-blocking.
    pub socket: OwnedFd,
    /// Which thread serves it.
    pub stay: Stay,
    /// Its peer has ended; what was written to it is not sent yet.
    pub is_ended: bool,
    /// The server stops: echoes what has already arrived, then ends.
    pub is_draining: bool,
    /// It is to be cut by the next sweep.
    pub cut: Option<Cut>,
    /// The tick of the idle clock at which something last happened.
    last_active: u32,
    /// What the peer had not acknowledged at the last look, [`UNKNOWN`] before the first one.
    unacknowledged: u32,
    /// What it owes.
    pub unsent: Option<Box<Unsent>>,
    /// What only some connections have.
    pub extras: Option<Box<Extras>>,
}

/// Kept in one place, so that a connection without them pays for one pointer.
#[derive(Default)]
pub struct Extras {
    /// What is told of it, if the server is observed.
    pub record: Option<Record>,
    /// How it misbehaves.
    pub fault: Option<Box<Fault>>,
    /// How it is drained, if more may be on its way.
    pub drain: Option<Box<Drain>>,
}

impl Connection {
    /// A connection over a connected non-blocking stream socket.
    pub fn new(socket: OwnedFd, is_of_send: bool, record: Option<Record>) -> Self {
        let extras = record.map(|record| Box::new(Extras { record: Some(record), ..Extras::default() }));
        let (is_ended, is_draining, cut, unsent) = (false, false, None, None);
        let stay = if is_of_send { Stay::WithSend } else { Stay::Settled };
        Self { socket, stay, is_ended, is_draining, cut, last_active: 0, unacknowledged: UNKNOWN, unsent, extras }
    }

    /// What is told of it, if the server is observed.
    pub fn record(&mut self) -> Option<&mut Record> {
        self.extras.as_mut()?.record.as_mut()
    }

    /// Its record, which it has no longer: nothing more is told of it.
    pub fn take_record(&mut self) -> Option<Record> {
        self.extras.as_mut()?.record.take()
    }

    /// How it misbehaves.
    pub fn fault(&self) -> Option<&Fault> {
        self.extras.as_ref()?.fault.as_deref()
    }

    /// The fault, which it has no longer.
    pub fn take_fault(&mut self) -> Option<Box<Fault>> {
        self.extras.as_mut()?.fault.take()
    }

    /// Misbehaves from now on.
    pub fn set_fault(&mut self, fault: Box<Fault>) {
        self.extras.get_or_insert_default().fault = Some(fault);
    }

    /// Does what can be done now. Fails if the connection is over.
    ///
    /// The event is not asked what it was. A reset comes as an event under any interest, and the call that meets it says
    /// what it is.
    pub fn advance(&mut self, context: &mut Context) -> Result<Next> {
        if self.is_draining && self.drain_under_way().is_some() {
            return self.advance_drain(context);
        }
        if self.unsent.is_some() {
            return self.write_rest(context);
        }
        let (mut next, mut bytes) = self.echo(context)?;
        let mut found = 0;
        while next == Next::Continue && context.read_again.may_pay(found, bytes, Instant::now) {
            let again = self.echo(context)?;
            if matches!(again.0, Next::Wait | Next::Linger) {
                break;
            }
            (next, bytes) = again;
            found += 1;
        }
        context.read_again.note(found);
        Ok(next)
    }

    /// The same in a drain in which more may be on its way: what was read last is held back until more comes, or nothing does.
    #[cold]
    fn advance_drain(&mut self, context: &mut Context) -> Result<Next> {
        self.write_unsent(usize::MAX, &context.counters)?;
        if self.unsent.is_some() {
            if let Some(drain) = self.drain_under_way() {
                drain.break_pause();
            }
            return Ok(Next::WaitFor(self.wanted()));
        }
        if self.drain_under_way().is_some_and(|drain| drain.is_full()) {
            return Ok(Next::Linger);
        }
        let read = self.read(context, usize::MAX)?;
        if read == Some(0) {
            return self.at_end();
        }
        self.unsent = read.map(|read| Box::new(Unsent::new(&context.buffer[..read], &context.shared)));
        let deadline = context.stop_deadline.unwrap_or(Moment::MAX);
        if let Some(drain) = self.drain_under_way() {
            drain.note_read(read.unwrap_or(0), context.clock.now(), deadline);
        }
        let is_done = read.is_none() && self.drain_under_way().is_none();
        Ok(if is_done { Next::Linger } else { Next::WaitFor(self.wanted()) })
    }

    fn drain_under_way(&mut self) -> Option<&mut Drain> {
        self.extras.as_mut()?.drain.as_deref_mut().filter(|drain| !drain.is_over())
    }

    /// Reads once and writes once, and says how many bytes it has read.
    fn echo(&mut self, context: &mut Context) -> Result<(Next, usize)> {
        let read = match self.read(context, usize::MAX)? {
            None => return Ok((self.at_pause(), 0)),
            Some(0) => return Ok((self.at_end()?, 0)),
            Some(read) => read,
        };
        let data = &context.buffer[..read];
        let written = write_counted(&self.socket, data, &context.counters, &mut self.extras)?;
        if written == read {
            return Ok((Next::Continue, read));
        }
        self.unsent = Some(Box::new(Unsent::new(&data[written..], &context.shared)));
        Ok((Next::WaitFor(self.wanted()), read))
    }

    fn write_rest(&mut self, context: &Context) -> Result<Next> {
        let written = self.write_unsent(usize::MAX, &context.counters)?;
        Ok(match (&self.unsent, written) {
            (None, _) => Next::WaitFor(self.wanted()),
            (_, 0) => Next::Wait,
            _ => Next::Continue,
        })
    }

    /// Writes what there is room for of what it owes, at most so many bytes, and says how many.
    pub fn write_unsent(&mut self, most: usize, counters: &Counters) -> Result<usize> {
        let Some(Unsent { data, written: start, .. }) = self.unsent.as_deref_mut() else { return Ok(0) };
        let end = data.len().min(start.saturating_add(most));
        let written = write_counted(&self.socket, &data[*start..end], counters, &mut self.extras)?;
        *start += written;
        if *start == data.len() {
            self.unsent = None;
        }
        Ok(written)
    }

    /// Tells the connection that the server stops: it ends when it has echoed what has arrived, and what is on its way ([`Drain`]). That
    /// of a send goes on, and ends with the send.
    pub fn drain(&mut self) {
        self.is_draining = self.stay != Stay::WithSend;
        // A fault has timers of its own.
        if self.is_draining
            && self.fault().is_none()
            && let Some(drain) = syscalls::received(&self.socket).ok().and_then(Drain::new)
        {
            self.extras.get_or_insert_default().drain = Some(Box::new(drain));
        }
    }

    /// When its client has been quiet long enough to end the drain, while it is quiet.
    pub fn quiet_until(&self) -> Option<Moment> {
        self.extras.as_ref()?.drain.as_ref()?.until()
    }

    /// Whether [`Self::continue_drain`] has something to do in a stop.
    pub fn is_drain_due(&self, now: Moment) -> bool {
        if self.is_draining {
            self.quiet_until().is_some_and(|until| until <= now)
        } else {
            self.stay != Stay::WithSend
        }
    }

    /// Begins to drain it, or ends that: its client has been quiet long enough, unless something came just now.
    pub fn continue_drain(&mut self, now: Moment, deadline: Moment) {
        if !self.is_draining {
            return self.drain();
        }
        let is_readable = syscalls::is_readable(&self.socket).unwrap_or(false);
        match self.drain_under_way() {
            Some(drain) if is_readable => drain.note_read(0, now, deadline),
            Some(drain) => drain.end(),
            None => {}
        }
    }

    /// Notes that it has echoed something at this tick of the idle clock.
    pub fn note_echo(&mut self, now: u32) {
        self.touch(now);
        self.stay = match self.stay {
            Stay::New => Stay::Seen,
            Stay::Seen => Stay::Lasting,
            same => same,
        };
    }

    /// Notes that something has happened at this tick of the idle clock.
    pub fn touch(&mut self, now: u32) {
        self.last_active = now;
        self.unacknowledged = UNKNOWN;
    }

    /// Whether nothing has happened for longer than the timeout. The connection of a send waits for a thread of the same
    /// server, which may be busy with other sends, and ends with the send at the latest.
    pub fn is_idle(&self, now: u32) -> bool {
        let is_held = self.fault().is_some_and(Fault::is_holding)
            || (self.stay == Stay::WithSend && !self.fault().is_some_and(Fault::is_stalled));
        now.wrapping_sub(self.last_active) > TICKS_PER_TIMEOUT && !is_held
    }

    /// Whether to close it now would hide something from its peer: that it does not get all, or the reset of a fault.
    pub fn is_cut_short(&self) -> bool {
        self.unsent.is_some() || self.fault().is_some_and(Fault::is_resetting)
    }

    /// Whether its peer is to be looked at in each tick, because later nobody can tell when it has acknowledged everything.
    /// What a client sends to a stalled connection counts as an acknowledgement, too.
    pub fn is_to_be_watched(&self, now: u32) -> bool {
        let can_tell = syscalls::KNOWS_LAST_ACKNOWLEDGEMENT && !self.fault().is_some_and(Fault::is_stalled);
        !can_tell && self.unacknowledged > 0 && self.last_active != now
    }

    /// Notes what the peer has read since the last look, which counts as activity. The first look at unread bytes has
    /// nothing to compare them with, and takes them for activity. While some are left, acknowledgements tell nothing:
    /// they also answer probes. `ticks_since` says how often the idle clock has ticked in the time up to now.
    pub fn note_progress(&mut self, now: u32, ticks_since: impl FnOnce(Duration) -> u32) {
        // A socket that cannot be asked has nothing left to move.
        let unacknowledged = syscalls::unacknowledged(&self.socket).unwrap_or(0);
        if mem::replace(&mut self.unacknowledged, unacknowledged) == unacknowledged {
            return;
        }
        let since = match unacknowledged {
            0 => syscalls::since_acknowledgement(&self.socket).unwrap_or(Duration::MAX),
            _ => Duration::ZERO,
        };
        self.last_active = now.wrapping_sub(ticks_since(since));
    }

    /// Reads once, at most so many bytes, into the context's buffer, and says how many; 0 is the end of input. `None` says that
    /// there is nothing to read now.
    pub fn read(&self, context: &mut Context, most: usize) -> Result<Option<usize>> {
        let is_much_unsent = context.shared.unsent.load(Relaxed) > UNSENT_LIMIT;
        let size = if is_much_unsent { READ_SIZE_OVER_LIMIT } else { context.read_size };
        match syscalls::read(&self.socket, &mut context.buffer[..size.min(most)]) {
            Err(error) if error.would_block() => Ok(None),
            result => result.map(Some),
        }
    }

    /// What is to be done at the end of input. Nothing is owed, or it would not have read. But the kernel soon gives up what it
    /// could not send yet, for want of a reader, of a socket that is closed (`tcp_orphan_retries`); and no limit counts it.
    pub fn at_end(&mut self) -> Result<Next> {
        if self.is_ended {
            syscalls::take_error(&self.socket)?;
        }
        // A socket that cannot be asked has nothing left to send.
        let is_sent = syscalls::is_sent(&self.socket).unwrap_or(true);
        let was_ended = mem::replace(&mut self.is_ended, true);
        if is_sent {
            // At the end of a container its network goes with it, and what is still on its way would be lost.
            return Ok(if self.is_draining { Next::Linger } else { Next::Close });
        }
        Ok(if was_ended { Next::Wait } else { Next::WaitFor(self.wanted()) })
    }

    /// What is to be done when there is nothing to read.
    pub fn at_pause(&self) -> Next {
        if self.is_draining { Next::Linger } else { Next::Wait }
    }

    /// What the poller is to wait for.
    pub fn wanted(&self) -> Interest {
        if let Some(fault) = self.fault() {
            return fault.wanted(self.unsent.is_some() || self.is_ended, self.is_draining);
        }
        if self.is_ended {
            return Interest::Writable;
        }
        if self.quiet_until().is_some() {
            return Interest::Readable;
        }
        match (&self.unsent, self.is_draining) {
            (Some(_), _) => Interest::Writable,
            (None, false) => Interest::Readable,
            // Being writable is what calls a draining connection again at once, to find out whether more has arrived.
            (None, true) => Interest::Both,
        }
    }
}

/// Writes what the socket has room for. Counts ahead, see [`Counters::bytes`].
fn write_counted(
    socket: &OwnedFd,
    data: &[u8],
    counters: &Counters,
    extras: &mut Option<Box<Extras>>,
) -> Result<usize> {
    counters.bytes.add(data.len());
    let written = match syscalls::write(socket, data) {
        Err(error) if error.would_block() => Ok(0),
        result => result,
    };
    counters.bytes.subtract(data.len() - written.unwrap_or(0));
    if let Some(Extras { record: Some(record), .. }) = extras.as_deref_mut() {
        record.bytes += written.unwrap_or(0) as u64;
    }
    written
}
