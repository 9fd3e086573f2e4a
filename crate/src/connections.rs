//! The connections of one I/O thread, in a dense table, and what happens to many of them at once: idle timeouts and the
//! drain of a stop, a bounded number per turn of the loop.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use slab::Slab;

use crate::connection::{Connection, Next};
use crate::context::{Context, Source};
use crate::lingering::Lingering;

/// How many connections are examined in one turn of the loop, so that the others have theirs: 15,000 at once would hold
/// them up for a third of a second.
const SWEPT_PER_TURN: usize = 256;

/// Ticks of the idle clock in one timeout. An idle connection is closed at most one tick late.
const TICKS_PER_TIMEOUT: u32 = 16;

/// The connections of one thread.
pub struct Connections {
    table: Slab<Connection>,
    /// Those that are no longer served, or never were.
    pub lingering: Lingering,
    idle_clock: Option<IdleClock>,
    /// The slot at which a sweep goes on.
    sweep: Option<usize>,
    /// The server stops.
    is_draining: bool,
}

/// A clock that never ticks twice in one turn of the loop. So a stall of the process, or a turn that takes long, is one tick,
/// and nobody counts as idle only because the thread did not come to them.
struct IdleClock {
    ticks: u32,
    interval: Duration,
    next_tick: Duration,
}

impl Connections {
    /// None yet. A zero timeout lets them be idle for ever.
    pub fn new(idle_timeout: Duration) -> Self {
        let interval = idle_timeout / TICKS_PER_TIMEOUT;
        let idle_clock = (!interval.is_zero()).then_some(IdleClock { ticks: 0, interval, next_tick: Duration::ZERO });
        Self { table: Slab::new(), lingering: Lingering::default(), idle_clock, sweep: None, is_draining: false }
    }

    /// Whether none is served, and none lingers.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty() && self.lingering.is_empty()
    }

    /// Serves one more connection, which is counted already.
    pub fn adopt(&mut self, context: &Context, mut connection: Connection) {
        connection.touch(self.ticks());
        if self.is_draining {
            connection.drain();
        }
        let interest = connection.wanted();
        let slot = self.table.insert(connection);
        if context.poller.add(&self.table[slot], Source::Connection(slot).into(), interest).is_err() {
            // ENOMEM, ENOSPC: it would never be heard of again.
            context.counters.connections.subtract(1);
            context.counters.rejected.add(1);
            self.close(context, slot);
        }
    }

    /// Serves a connection about which an event came; false if there was nothing to do.
    pub fn ready(&mut self, context: &mut Context, slot: usize) -> bool {
        let ticks = self.ticks();
        let Some(connection) = self.table.get_mut(slot) else { return false };
        let waited_for = connection.wanted();
        match connection.advance(context) {
            Ok(Next::Wait) => {
                connection.touch(ticks);
                if connection.wanted() != waited_for {
                    self.wait_for_event(context, slot);
                }
            }
            Ok(Next::Linger) => {
                let connection = self.remove(context, slot);
                self.lingering.finish(context, connection.into());
            }
            Err(error) if error.would_block() => return false,
            // ECONNRESET, EPIPE, ETIMEDOUT and the like: this connection is over, nothing else is.
            Ok(Next::Close) | Err(_) => self.close(context, slot),
        }
        true
    }

    /// Whether the server stops.
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Tells all that the server stops.
    pub fn drain(&mut self) {
        if !self.is_draining {
            self.is_draining = true;
            self.sweep = Some(0);
        }
    }

    /// When to call [`Self::run_timers`].
    pub fn next_timer(&self, now: Duration) -> Option<Duration> {
        let is_ticking = !self.table.is_empty() && !self.is_draining;
        let tick = self.idle_clock.as_ref().filter(|_| is_ticking).map(|clock| clock.next_tick);
        let sweep = self.sweep.map(|_| now);
        [tick, sweep, self.lingering.next_look].into_iter().flatten().min()
    }

    /// Goes on with a sweep, lets the idle clock tick, and looks at the sockets that linger.
    pub fn run_timers(&mut self, context: &mut Context) {
        if self.sweep.is_none()
            && !self.is_draining
            && let Some(clock) = &mut self.idle_clock
            && context.clock.has_passed(clock.next_tick)
        {
            clock.ticks = clock.ticks.wrapping_add(1);
            clock.next_tick = context.clock.after(clock.interval);
            self.sweep = Some(0);
        }
        self.continue_sweep(context);
        self.lingering.run_timers(context, self.is_draining);
    }

    fn continue_sweep(&mut self, context: &mut Context) {
        let Some(start) = self.sweep.take() else { return };
        let mut examined = 0;
        for slot in start..self.table.capacity() {
            if examined == SWEPT_PER_TURN {
                self.sweep = Some(slot);
                return;
            }
            if self.table.contains(slot) && self.examine(context, slot) {
                examined += 1;
            }
        }
    }

    /// What a sweep does with one connection; false if that is nothing.
    fn examine(&mut self, context: &mut Context, slot: usize) -> bool {
        if self.is_draining {
            self.table[slot].drain();
            self.wait_for_event(context, slot);
            return true;
        }
        if self.ticks().wrapping_sub(self.table[slot].last_active) <= TICKS_PER_TIMEOUT {
            return false;
        }
        self.close_if_idle(context, slot);
        true
    }

    /// Closes a connection unless something has come in that was not served yet, or the peer has read something: being
    /// writable comes as an event only when a good part of the socket's buffer is free.
    fn close_if_idle(&mut self, context: &mut Context, slot: usize) {
        if self.ready(context, slot) {
            return;
        }
        let ticks = self.ticks();
        if !self.table[slot].has_moved(ticks) {
            self.close(context, slot);
        }
    }

    fn wait_for_event(&mut self, context: &Context, slot: usize) {
        let connection = &self.table[slot];
        if context.poller.modify(connection, Source::Connection(slot).into(), connection.wanted()).is_err() {
            // It would never be heard of again.
            self.close(context, slot);
        }
    }

    fn close(&mut self, context: &Context, slot: usize) {
        let connection = self.remove(context, slot);
        // Counted before it is closed, or a client that saw the end would find it still open.
        context.shared.open.fetch_sub(1, Relaxed);
        drop(connection);
    }

    fn remove(&mut self, context: &Context, slot: usize) -> Connection {
        let connection = self.table.remove(slot);
        context.poller.remove(&connection);
        connection
    }

    fn ticks(&self) -> u32 {
        self.idle_clock.as_ref().map_or(0, |clock| clock.ticks)
    }
}
