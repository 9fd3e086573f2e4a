//! The connections of one I/O thread, in a dense table, and what happens to many of them at once: idle timeouts and the
//! drain of a stop, a bounded number per turn of the loop.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::connection::{Connection, Next};
use crate::context::{Context, Source};
use crate::lingering::Lingering;
use crate::poller::Interest;
use crate::syscalls;

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
    /// The server stops. Connections with these peers go on.
    spared: Option<Vec<SocketAddrV4>>,
}

/// A clock that never ticks twice in one turn of the loop. So a stall of the process, or a turn that takes long, is one tick,
/// and nobody counts as idle only because the thread did not come to them.
struct IdleClock {
    now: u32,
    tick: Duration,
    next_tick: Instant,
}

impl Connections {
    /// None yet.
    pub fn new(idle_timeout: Option<Duration>) -> Self {
        let idle_clock = idle_timeout.map(|timeout| IdleClock {
            now: 0,
            tick: timeout / TICKS_PER_TIMEOUT,
            next_tick: Instant::now(),
        });
        Self { table: Slab::new(), lingering: Lingering::default(), idle_clock, sweep: None, spared: None }
    }

    /// Whether none is served, and none lingers.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty() && self.lingering.is_empty()
    }

    /// Serves one more connection, which is counted already.
    pub fn adopt(&mut self, context: &Context, socket: OwnedFd) {
        let mut connection = Connection::new(socket, self.now());
        if self.spared.as_ref().is_some_and(|spared| !is_spared(spared, &connection)) {
            connection.interest = connection.drain();
        }
        let slot = self.table.insert(connection);
        let connection = &self.table[slot];
        if context.poller.add(connection, Source::Connection(slot).into(), connection.interest).is_err() {
            // ENOMEM, ENOSPC: it would never be heard of again.
            context.counters.connections.subtract(1);
            context.counters.rejected.add(1);
            self.close(context, slot);
        }
    }

    /// Serves a connection about which an event came; false if there was nothing to do.
    pub fn ready(&mut self, context: &mut Context, slot: usize) -> bool {
        let now = self.now();
        let Some(connection) = self.table.get_mut(slot) else { return false };
        match connection.advance(context) {
            Ok(Next::WaitFor(interest)) => {
                connection.touch(now);
                if interest != connection.interest {
                    self.wait_for(context, slot, interest);
                }
            }
            Ok(Next::Linger) => {
                let connection = self.remove(context, slot);
                self.lingering.end(context, connection.into());
            }
            Err(error) if error.would_block() => return false,
            // ECONNRESET, EPIPE, ETIMEDOUT and the like: this connection is over, nothing else is.
            Ok(Next::Close) | Err(_) => self.close(context, slot),
        }
        true
    }

    /// Whether the server stops.
    pub fn is_draining(&self) -> bool {
        self.spared.is_some()
    }

    /// Tells all that the server stops, except those with the spared peers.
    pub fn drain(&mut self, spared: Vec<SocketAddrV4>) {
        self.spared = Some(spared);
        self.sweep = Some(0);
    }

    /// Replaces the spared peers.
    pub fn spare(&mut self, peers: Vec<SocketAddrV4>) {
        self.spared = Some(peers);
    }

    /// When to call [`Self::run_timers`].
    pub fn next_timer(&self) -> Option<Instant> {
        let is_ticking = !self.table.is_empty() && !self.is_draining();
        let tick = self.idle_clock.as_ref().filter(|_| is_ticking).map(|clock| clock.next_tick);
        let sweep = self.sweep.map(|_| Instant::now());
        [tick, sweep, self.lingering.next_look].into_iter().flatten().min()
    }

    /// Goes on with a sweep, lets the idle clock tick, and looks at the sockets that linger.
    pub fn run_timers(&mut self, context: &mut Context, now: Instant) {
        if self.sweep.is_none()
            && self.spared.is_none()
            && let Some(clock) = &mut self.idle_clock
            && clock.next_tick <= now
        {
            clock.now = clock.now.wrapping_add(1);
            clock.next_tick = now + clock.tick;
            self.sweep = Some(0);
        }
        self.continue_sweep(context);
        if self.lingering.next_look.is_some_and(|at| at <= now) {
            self.lingering.look(context, self.is_draining());
        }
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
        let connection = &mut self.table[slot];
        if let Some(spared) = &self.spared {
            if !is_spared(spared, connection) {
                let interest = connection.drain();
                self.wait_for(context, slot, interest);
            }
            return true;
        }
        let Some(clock) = &self.idle_clock else { return false };
        if clock.now.wrapping_sub(connection.last_active) <= TICKS_PER_TIMEOUT {
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
        let now = self.now();
        let connection = &mut self.table[slot];
        if !connection.has_moved(now) {
            self.close(context, slot);
        }
    }

    fn wait_for(&mut self, context: &Context, slot: usize, interest: Interest) {
        let connection = &mut self.table[slot];
        connection.interest = interest;
        if context.poller.modify(&*connection, Source::Connection(slot).into(), interest).is_err() {
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

    fn now(&self) -> u32 {
        self.idle_clock.as_ref().map_or(0, |clock| clock.now)
    }
}

/// Whether the connection's peer is one of these. A peer without an address is gone.
fn is_spared(spared: &[SocketAddrV4], connection: &Connection) -> bool {
    !spared.is_empty() && syscalls::getpeername(connection).is_ok_and(|peer| spared.contains(&peer))
}
