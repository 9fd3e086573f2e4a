//! The connections of one I/O thread, in a table indexed by descriptor.
//!
//! The kernel gives out the lowest free descriptor, so the table has few holes, and an idle connection costs its entry and
//! no heap.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::connection::{Connection, Next, Workspace};
use crate::poller::{Interest, Poller, Token};

/// How many entries the table grows by. Doubling would leave up to half of it unused.
const TABLE_GROWTH: usize = 1024;

/// An idle connection is closed at most this part of the timeout late: the table is not searched more often.
const IDLE_PRECISION: u32 = 16;

/// The connections of one thread.
#[derive(Debug)]
pub struct Connections {
    table: Vec<Option<Connection>>,
    count: usize,
    work: Workspace,
    idle: Option<IdleTimeout>,
    /// A connection was closed since it was last asked.
    closed_any: bool,
    /// The server stops: connections that still come are to end, too.
    draining: bool,
}

/// When connections are too old to live.
#[derive(Debug)]
struct IdleTimeout {
    timeout: Duration,
    /// Zero of the clock of [`Connection::last_active`].
    epoch: Instant,
    /// When to look for idle connections next, if there are any connections.
    next_sweep: Option<Instant>,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(work: Workspace, idle_timeout: Option<Duration>) -> Self {
        let idle = idle_timeout.map(|timeout| IdleTimeout { timeout, epoch: Instant::now(), next_sweep: None });
        Self { table: Vec::new(), count: 0, work, idle, closed_any: false, draining: false }
    }

    /// What the connections work with, for whoever else works on this thread.
    pub fn workspace(&mut self) -> &mut Workspace {
        &mut self.work
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Serves one more connection, which is counted already.
    pub fn adopt(&mut self, poller: &Poller, socket: OwnedFd) {
        let fd = socket.as_raw_fd();
        let mut connection = Connection::new(socket, self.idle_clock());
        if self.draining {
            connection.interest = connection.drain();
        }
        if poller.add(&connection, token(fd), connection.interest).is_err() {
            // ENOMEM, ENOSPC: it would never be heard of again.
            self.work.counters().not_opened();
            self.work.counters().rejected();
            self.work.shared().open.fetch_sub(1, Relaxed);
            return;
        }
        *self.entry(fd) = Some(connection);
        self.count += 1;
        if let Some(idle) = &mut self.idle {
            idle.next_sweep.get_or_insert_with(|| Instant::now() + idle.timeout);
        }
    }

    /// Serves a connection about which an event came.
    pub fn ready(&mut self, poller: &Poller, fd: RawFd) {
        let now = self.idle_clock();
        let Some(Some(connection)) = self.table.get_mut(index(fd)) else { return };
        connection.last_active = now;
        match connection.ready(&mut self.work) {
            Next::WaitFor(interest) => self.wait_for(poller, fd, interest),
            Next::Close => self.close(fd),
        }
    }

    /// Tells all that the server stops.
    pub fn drain(&mut self, poller: &Poller) {
        self.draining = true;
        for fd in self.descriptors() {
            if let Some(connection) = self.entry(fd) {
                let interest = connection.drain();
                self.wait_for(poller, fd, interest);
            }
        }
    }

    /// Closes all, whatever they are at.
    pub fn close_all(&mut self) {
        for fd in self.descriptors() {
            self.close(fd);
        }
    }

    /// Whether a connection was closed since the last call.
    pub fn take_closed_any(&mut self) -> bool {
        std::mem::take(&mut self.closed_any)
    }

    /// When to call [`Self::close_idle`].
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        self.idle.as_ref()?.next_sweep
    }

    /// Closes the connections on which nothing happened for too long.
    pub fn close_idle(&mut self) {
        let now = self.idle_clock();
        let Some(idle) = &mut self.idle else { return };
        // One more: the clock has cut off a part of a millisecond, and none is to be closed early.
        let limit = milliseconds(idle.timeout).saturating_add(1);
        let quiet = |connection: &Connection| now.saturating_sub(connection.last_active);
        let longest = self.table.iter().flatten().map(quiet).filter(|&time| time < limit).max();
        idle.next_sweep = longest.map(|time| {
            let remaining = Duration::from_millis(limit - time);
            Instant::now() + remaining.max(idle.timeout / IDLE_PRECISION)
        });
        let too_quiet = |fd: &RawFd| self.table[index(*fd)].as_ref().is_some_and(|c| quiet(c) >= limit);
        for fd in self.descriptors().into_iter().filter(too_quiet).collect::<Vec<_>>() {
            self.close(fd);
        }
    }

    fn wait_for(&mut self, poller: &Poller, fd: RawFd, interest: Interest) {
        let Some(connection) = self.entry(fd) else { return };
        if interest == connection.interest {
            return;
        }
        match poller.modify(&*connection, token(fd), interest) {
            Ok(()) => connection.interest = interest,
            // It would never be heard of again.
            Err(_) => self.close(fd),
        }
    }

    /// Counted before it is closed, or a client that saw the end would find it still open.
    fn close(&mut self, fd: RawFd) {
        self.work.shared().open.fetch_sub(1, Relaxed);
        self.count -= 1;
        self.closed_any = true;
        *self.entry(fd) = None;
    }

    fn entry(&mut self, fd: RawFd) -> &mut Option<Connection> {
        let index = index(fd);
        if index >= self.table.len() {
            let length = (index / TABLE_GROWTH + 1) * TABLE_GROWTH;
            self.table.reserve_exact(length - self.table.len());
            self.table.resize_with(length, || None);
        }
        &mut self.table[index]
    }

    fn descriptors(&self) -> Vec<RawFd> {
        (0..).zip(&self.table).filter(|(_, entry)| entry.is_some()).map(|(fd, _)| fd).collect()
    }

    /// Milliseconds of the clock for idle connections, which stands still while nobody asks for it.
    fn idle_clock(&self) -> u64 {
        self.idle.as_ref().map_or(0, |idle| milliseconds(idle.epoch.elapsed()))
    }
}

fn token(fd: RawFd) -> Token {
    Token::from(fd.unsigned_abs())
}

fn index(fd: RawFd) -> usize {
    usize::try_from(fd).expect("descriptors are not negative")
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_at_most_64_bytes() {
        assert!(size_of::<Option<Connection>>() <= 64, "{} bytes", size_of::<Option<Connection>>());
    }
}
