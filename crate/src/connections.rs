//! The connections of one I/O thread, in a dense table, and what happens to many of them at once: idle timeouts and the
//! drain of a stop, a bounded number per turn of the loop.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::clock::{Clock, Moment};
use crate::connection::{Connection, Cut, Next, Stay, TICKS_PER_TIMEOUT};
use crate::context::Context;
use crate::error::Error;
use crate::faults::FaultTimers;
use crate::lingering::Lingering;
use crate::log::Reason;
use crate::poller::{Interest, PER_TURN, Source};
use crate::syscalls;

/// The connections of one thread.
pub struct Connections {
    table: Slab<Connection>,
    faults: FaultTimers,
    /// Those that are no longer served, or never were.
    pub lingering: Lingering,
    /// How often the idle clock ticks: [`TICKS_PER_TIMEOUT`] times in a timeout. Zero turns it off, as a stop does.
    tick: Duration,
    /// How often it has ticked. It never ticks twice in one turn of the loop. So a stall of the process, or a
    /// turn that takes long, is one tick, and nobody counts as idle only because the thread did not come to them.
    ticks: u32,
    next_tick: Moment,
    /// When the last ticks were, as many as a timeout has and one more.
    ticked: VecDeque<Instant>,
    /// The slot at which a sweep goes on.
    sweep: Option<usize>,
    /// In a stop, when the first of those that are drained may have been quiet long enough.
    next_quiet: Option<Moment>,
}

impl Connections {
    /// None yet. A zero timeout lets them be idle for ever.
    pub fn new(idle_timeout: Duration) -> Self {
        Self {
            table: Slab::new(),
            faults: FaultTimers::default(),
            lingering: Lingering::default(),
            tick: idle_timeout / TICKS_PER_TIMEOUT,
            ticks: 0,
            next_tick: Moment::ZERO,
            ticked: VecDeque::new(),
            sweep: None,
            next_quiet: None,
        }
    }

    /// Whether none is served, and none lingers.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty() && self.lingering.is_empty()
    }

    /// Serves one more connection, which is counted already.
    pub fn adopt(&mut self, context: &mut Context, mut connection: Connection) {
        connection.touch(self.ticks);
        if context.is_stopping() {
            connection.drain();
        }
        let was_served = connection.stay == Stay::Lasting;
        if was_served {
            connection.stay = Stay::Settled;
        }
        let interest = connection.wanted();
        let slot = self.table.insert(connection);
        // ENOMEM, ENOSPC: it would never be heard of again.
        if let Err(error) = context.poller.add(&self.table[slot].socket, Source::Connection(slot), interest) {
            if was_served {
                return self.lose(context, slot, error);
            }
            let mut connection = self.remove(context, slot);
            context.shared.open.fetch_sub(1, Relaxed);
            context.counters.connections.subtract(1);
            context.counters.rejected.add(1);
            context.log.dropped(connection.take_record());
        } else {
            context.log.connected(&mut self.table[slot], slot);
            // Its first message is often here already: that saves a wait.
            self.advance(context, slot);
        }
    }

    /// Does for a connection what can be done now; false if that is nothing.
    pub fn advance(&mut self, context: &mut Context, slot: usize) -> bool {
        let Some(connection) = self.table.get_mut(slot) else { return false };
        let next = match &connection.extras {
            Some(extras) if extras.fault.is_some() => self.faults.advance(context, connection, slot),
            _ => connection.advance(context),
        };
        match next {
            Ok(Next::Wait) => return false,
            Ok(Next::Continue) => connection.note_echo(self.ticks),
            Ok(Next::WaitFor(interest)) => {
                connection.touch(self.ticks);
                self.wait_for(context, slot, interest);
            }
            Ok(Next::Linger) => {
                let mut connection = self.remove(context, slot);
                let reason = if connection.is_ended { Reason::Peer } else { reason_of_stop(context) };
                context.log.ended(connection.take_record(), reason);
                self.lingering.linger(context, connection.socket);
            }
            Ok(Next::Close) => self.close(context, slot, Reason::Peer),
            Ok(Next::Cut(cut)) => self.cut_now(context, slot, cut, Reason::Fault),
            // ECONNRESET, EPIPE, ETIMEDOUT and the like: this connection is over, nothing else is.
            Err(error) => self.lose(context, slot, error),
        }
        true
    }

    /// A connection that has shown that it lasts, and is to be handed over.
    pub fn lasting(&mut self, slot: usize) -> Option<&mut Connection> {
        // The other thread has counted those that are cut by now.
        self.table.get_mut(slot).filter(|connection| connection.stay == Stay::Lasting && connection.cut.is_none())
    }

    /// Cuts the connection with this id, if it is still in this slot. Like all that may come many at a time, with a sweep.
    pub fn cut(&mut self, slot: usize, id: u64, cut: Cut) {
        if let Some(connection) = self.table.get_mut(slot)
            && connection.record().is_some_and(|record| record.id == id)
        {
            connection.cut = Some(cut);
            self.sweep = Some(0);
        }
    }

    /// Cuts all that are here now, a part in each turn, and says how many they are.
    pub fn cut_all(&mut self, context: &Context, cut: Cut) -> usize {
        for (_, connection) in &mut self.table {
            connection.cut = Some(cut);
        }
        self.sweep = Some(0);
        self.table.len() + self.lingering.cut_all(context, cut)
    }

    /// Tells the ends of those that are cut off with the thread. What is cut short is reset, as in [`Self::lose`].
    pub fn tell_ends(&mut self, context: &mut Context) {
        let reason = reason_of_stop(context);
        for (_, connection) in &mut self.table {
            if connection.is_cut_short() {
                syscalls::reset_at_close(&connection.socket);
            }
            context.log.ended(connection.take_record(), reason);
        }
    }

    /// Tells all that the server stops.
    pub fn drain(&mut self) {
        self.tick = Duration::ZERO;
        self.sweep = Some(0);
    }

    /// When to call [`Self::run_timers`].
    pub fn next_timer(&self, context: &Context) -> Option<Moment> {
        let sweep = self.sweep.map(|_| context.clock.now());
        let tick = match self.tick {
            // The idle clock is off.
            Duration::ZERO => self.next_quiet,
            _ => (!self.table.is_empty()).then_some(self.next_tick),
        };
        let fault = self.faults.next().map(|due| context.clock.after(due.saturating_duration_since(Instant::now())));
        [sweep.or(tick), self.lingering.next_look, fault].into_iter().flatten().min()
    }

    /// Goes on with faults and with a sweep, lets the idle clock tick, and looks at the sockets that linger.
    pub fn run_timers(&mut self, context: &mut Context) {
        for slot in self.faults.due(PER_TURN) {
            self.advance(context, slot);
        }
        // Unlike a deadline it needs no further wait before it acts: a sweep serves each connection once more before it
        // closes it.
        if !self.tick.is_zero() && self.sweep.is_none() && context.clock.now() >= self.next_tick {
            self.tick(&context.clock);
            self.sweep = Some(0);
        }
        if self.next_quiet.is_some_and(|quiet| context.clock.now() >= quiet) {
            self.sweep = Some(0);
            let later = self.table.iter().filter_map(|(_, it)| it.quiet_until());
            self.next_quiet = later.filter(|until| *until > context.clock.now()).min();
        }
        self.continue_sweep(context);
        self.lingering.run_timers(context);
    }

    fn tick(&mut self, clock: &Clock) {
        self.ticks = self.ticks.wrapping_add(1);
        self.next_tick = clock.next_in_row(self.next_tick, self.tick);
        self.ticked.push_front(clock.present());
        self.ticked.truncate(TICKS_PER_TIMEOUT as usize + 1);
    }

    /// Drains connections, or closes idle ones, a part in each turn: 15,000 at once would hold up the others for a third
    /// of a second.
    fn continue_sweep(&mut self, context: &mut Context) {
        let Some(start) = self.sweep else { return };
        let is_due = |slot: &usize| {
            let is_quiet = |it: &Connection| it.is_idle(self.ticks) || it.is_to_be_watched(self.ticks);
            let is_due = |it: &Connection| match context.stop_deadline {
                Some(_) => it.is_drain_due(context.clock.now()),
                None => is_quiet(it),
            };
            self.table.get(*slot).is_some_and(|it| it.cut.is_some() || is_due(it))
        };
        let due: Vec<_> = (start..self.table.capacity()).filter(is_due).take(PER_TURN).collect();
        self.sweep = due.get(PER_TURN - 1).map(|last| last + 1);
        for slot in due {
            if let Some(cut) = self.table[slot].cut {
                self.cut_now(context, slot, cut, Reason::Closed);
            } else if let Some(deadline) = context.stop_deadline {
                self.table[slot].continue_drain(context.clock.now(), deadline);
                self.wait_for(context, slot, self.table[slot].wanted());
            } else if self.table[slot].unsent.is_some() || !self.advance(context, slot) {
                // Nothing has come in that was not served yet. Has the peer read something? Being writable comes as an
                // event only when a good part of the socket's buffer is free; to fill the rest of it here would be no activity
                // of the peer.
                let ticks_since = |age| ticks_after(&self.ticked, context.clock.present().checked_sub(age));
                self.table[slot].note_progress(self.ticks, ticks_since);
                if self.table[slot].is_idle(self.ticks) {
                    self.close_idle(context, slot);
                }
            }
        }
    }

    fn wait_for(&mut self, context: &mut Context, slot: usize, interest: Interest) {
        self.next_quiet = [self.next_quiet, self.table[slot].quiet_until()].into_iter().flatten().min();
        if let Err(error) = context.poller.modify(&self.table[slot].socket, Source::Connection(slot), interest) {
            // It would never be heard of again.
            self.lose(context, slot, error);
        }
    }

    fn cut_now(&mut self, context: &mut Context, slot: usize, cut: Cut, reason: Reason) {
        match cut {
            Cut::Close => {
                let socket = self.let_go(context, slot, reason);
                self.lingering.end(context, socket);
            }
            Cut::Reset => {
                syscalls::reset_at_close(&self.table[slot].socket);
                self.close(context, slot, reason);
            }
        }
    }

    /// Closes a connection with a reset: an end would look to the peer as if it had everything.
    fn lose(&mut self, context: &mut Context, slot: usize, error: Error) {
        syscalls::reset_at_close(&self.table[slot].socket);
        self.close(context, slot, error.into());
    }

    /// Closes an idle connection: as a lost one, if it is cut short.
    fn close_idle(&mut self, context: &mut Context, slot: usize) {
        if self.table[slot].is_cut_short() {
            syscalls::reset_at_close(&self.table[slot].socket);
        }
        self.close(context, slot, Reason::Idle);
    }

    fn close(&mut self, context: &mut Context, slot: usize, reason: Reason) {
        drop(self.let_go(context, slot, reason));
    }

    /// Serves a connection no longer. That is counted before it is closed, or a client that saw the end would find it still
    /// open.
    fn let_go(&mut self, context: &mut Context, slot: usize, reason: Reason) -> OwnedFd {
        let mut connection = self.remove(context, slot);
        context.shared.open.fetch_sub(1, Relaxed);
        context.log.ended(connection.take_record(), reason);
        connection.socket
    }

    /// Serves a connection no longer, which is still open.
    pub fn remove(&mut self, context: &Context, slot: usize) -> Connection {
        let connection = self.table.remove(slot);
        if let Some(fault) = connection.fault() {
            self.faults.forget(fault, slot);
        }
        context.poller.remove(&connection.socket);
        connection
    }
}

/// How many of these ticks, the last one first, came after a moment; all, if it was before all time.
pub fn ticks_after(ticked: &VecDeque<Instant>, moment: Option<Instant>) -> u32 {
    let count = ticked.iter().take_while(|tick| moment.is_none_or(|moment| **tick > moment)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Why connections end that their clients have not ended: a panic on another thread stops this one, too.
fn reason_of_stop(context: &Context) -> Reason {
    if context.shared.panic.get().is_some() { Reason::Failed } else { Reason::Stop }
}
