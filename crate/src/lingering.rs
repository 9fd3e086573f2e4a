//! The lingering close: our side is ended, and the socket is closed when that can no longer harm what is on its way.
//!
//! Closing a socket with unread input sends a RST, which can destroy what the peer has not read yet (RFC 1122,
//! 4.2.2.13). So input is read and dropped meanwhile.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use slab::Slab;

use crate::clock::Moment;
use crate::connection::Cut;
use crate::context::Context;
use crate::poller::{Interest, PER_TURN, Source};
use crate::syscalls;

/// How long a client that is turned away, or cut, may take to read its end.
const TIME: Duration = Duration::from_secs(1);

/// While so many sockets linger, those that are turned away do not: each holds a descriptor.
const MOST: usize = 256;

/// How often to look whether the peers have acknowledged everything: the kernel has no event for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The sockets of one thread that are about to be closed.
#[derive(Default)]
pub struct Lingering {
    sockets: Slab<Ending>,
    /// When to call [`Self::run_timers`] next, while there is anything to look at.
    pub next_look: Option<Moment>,
}

struct Ending {
    socket: OwnedFd,
    /// When it is closed at the latest.
    until: Moment,
    /// It is counted as open until it is closed.
    is_open: bool,
}

impl Lingering {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Closes a drained connection as soon as its peer has acknowledged everything.
    pub fn linger(&mut self, context: &Context, socket: OwnedFd) {
        if has_everything(&socket) {
            context.shared.open.fetch_sub(1, Relaxed);
        } else {
            // The stop has a deadline.
            self.add(context, Ending { socket, until: Moment::MAX, is_open: true });
        }
    }

    /// Ends a connection that is served no longer, and not counted as open. A message may still be on its way, so only the
    /// peer's end, or the time, closes it.
    pub fn end(&mut self, context: &Context, socket: OwnedFd) {
        self.add(context, Ending { socket, until: context.clock.after(TIME), is_open: false });
    }

    /// The same for a connection that was never served, if there is room.
    pub fn turn_away(&mut self, context: &mut Context, socket: OwnedFd) {
        if self.sockets.len() < MOST {
            self.end(context, socket);
        } else {
            // Whatever the two say, the socket is closed next.
            let _ = syscalls::shutdown_write(&socket);
            let _ = syscalls::read(&socket, &mut context.buffer);
        }
    }

    /// Closes those that are counted as open, a part in each turn, and says how many they are.
    pub fn cut_all(&mut self, context: &Context, cut: Cut) -> usize {
        let open = self.sockets.iter_mut().filter(|(_, ending)| ending.is_open);
        let count = open.fold(0, |count, (_, ending)| {
            match cut {
                Cut::Close => ending.until = ending.until.min(context.clock.after(TIME)),
                Cut::Reset => {
                    ending.until = Moment::ZERO;
                    syscalls::reset_at_close(&ending.socket);
                }
            }
            count + 1
        });
        self.next_look = (!self.is_empty()).then(|| context.clock.now());
        count
    }

    fn add(&mut self, context: &Context, ending: Ending) {
        let slot = self.sockets.insert(ending);
        let socket = &self.sockets[slot].socket;
        let registered = syscalls::shutdown_write(socket)
            .and_then(|()| context.poller.add(socket, Source::Lingering(slot), Interest::Readable));
        if registered.is_err() {
            self.close(context, slot);
        } else {
            self.next_look.get_or_insert(context.clock.after(LOOK_INTERVAL));
        }
    }

    /// Reads once, and drops it; closes the socket at the end of input, if the peer has everything.
    pub fn discard_input(&mut self, context: &mut Context, slot: usize) {
        let Some(Ending { socket, is_open, .. }) = self.sockets.get(slot) else { return };
        match syscalls::read(socket, &mut context.buffer) {
            Ok(1..) => {}
            Err(error) if error.would_block() => {}
            // It would be reported without end.
            Ok(0) if *is_open && !has_everything(socket) => context.poller.remove(socket),
            _ => self.close(context, slot),
        }
    }

    /// Looks which sockets are done, and closes them. While the server stops nobody waits for the ends of clients that
    /// were turned away.
    pub fn run_timers(&mut self, context: &mut Context) {
        let has_passed = |moment| context.clock.has_passed(moment);
        if !self.next_look.is_some_and(has_passed) {
            return;
        }
        let is_done = |ending: &Ending| {
            has_passed(ending.until) || ((ending.is_open || context.is_stopping()) && has_everything(&ending.socket))
        };
        let done = self.sockets.iter().filter_map(|(slot, ending)| is_done(ending).then_some(slot));
        let done: Vec<_> = done.take(PER_TURN).collect();
        let pause = if done.len() < PER_TURN { LOOK_INTERVAL } else { Duration::ZERO };
        for slot in done {
            // Input that has arrived would make closing send a RST.
            self.discard_input(context, slot);
            self.close(context, slot);
        }
        self.next_look = (!self.is_empty()).then(|| context.clock.after(pause));
    }

    fn close(&mut self, context: &Context, slot: usize) {
        let Some(ending) = self.sockets.try_remove(slot) else { return };
        context.poller.remove(&ending.socket);
        // Counted before it is closed, or a client that saw the end would find it still open.
        if ending.is_open {
            context.shared.open.fetch_sub(1, Relaxed);
        }
    }
}

/// Whether the peer has acknowledged everything, or never will: it is gone. Of a socket that cannot be asked nothing is on its way
/// any more.
fn has_everything(socket: &OwnedFd) -> bool {
    syscalls::unacknowledged(socket).unwrap_or(0) == 0 || syscalls::is_over(socket)
}
