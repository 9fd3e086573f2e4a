//! What the I/O thread does: waits, serves what is ready, carries out commands and timers, and waits again.
//!
//! While the events of one wait are served, only a descriptor's own event may close it. Commands and timers come after
//! all of them. So no event can meet a descriptor that was closed and given out again in between.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::connection::{Connection, Next, Workspace, turn_away};
use crate::error::{Error, Result};
use crate::exchange::{Exchange, Progress};
use crate::listener::{Accepted, Listener};
use crate::mailbox::{Command, Mailbox};
use crate::poller::{Interest, Poller, Token};
use crate::send_queue::{Place, SendQueue};
use crate::slots::{Slot, Slots};

/// A send that is over.
#[derive(Debug)]
pub struct Settled {
    /// The id it was given.
    pub id: u64,
    /// What came back, or why nothing did: `ETIMEDOUT` past its deadline, `ECANCELED` when it was cancelled.
    pub result: Result<Vec<u8>>,
}

/// The tokens of what is not in the table; descriptors are far below.
const LISTENER: Token = u64::MAX;
/// The token of the mailbox's waker.
pub const WAKER: Token = u64::MAX - 1;

/// How long the listener rests at most when there are no descriptors or no memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long to wait after an error of `epoll_wait(2)` that ought not to exist, so that it cannot make the loop spin.
const POLL_ERROR_PAUSE: Duration = Duration::from_millis(10);

/// An idle connection is closed at most this part of the timeout late: the table is not searched more often.
const IDLE_PRECISION: u32 = 16;

/// What limits a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// More connections than this are turned away.
    pub max_connections: Option<usize>,
    /// Connections on which nothing happened for so long are closed.
    pub idle_timeout: Option<Duration>,
}

/// How far the stop is.
#[derive(Debug)]
struct Stop {
    deadline: Instant,
    draining: bool,
}

/// The state of one I/O thread.
#[derive(Debug)]
pub struct EventLoop {
    poller: Poller,
    mailbox: Arc<Mailbox>,
    listener: Option<Listener>,
    /// The listener rests until this moment, out of the poller.
    accept_paused_until: Option<Instant>,
    /// Where sends connect to.
    destination: Address,
    limits: Limits,
    slots: Slots,
    work: Workspace,
    sends: SendQueue,
    settled: Vec<Settled>,
    /// Zero of the clock of [`Connection::last_active`].
    epoch: Instant,
    /// When to look for idle connections next.
    next_sweep: Option<Instant>,
    stop: Option<Stop>,
}

impl EventLoop {
    /// The loop of a server that listens already.
    ///
    /// # Errors
    /// Those of [`Poller::add`].
    pub fn new(
        poller: Poller,
        mailbox: Arc<Mailbox>,
        listener: Listener,
        limits: Limits,
        work: Workspace,
    ) -> Result<Self> {
        poller.add(&listener, LISTENER, Interest::Readable)?;
        Ok(Self {
            poller,
            mailbox,
            destination: listener.address().as_destination(),
            listener: Some(listener),
            accept_paused_until: None,
            limits,
            slots: Slots::default(),
            work,
            sends: SendQueue::default(),
            settled: Vec::new(),
            epoch: Instant::now(),
            next_sweep: None,
            stop: None,
        })
    }

    /// Serves until it is told to stop, and says after each turn which sends are over.
    pub fn run(&mut self, mut on_settled: impl FnMut(Vec<Settled>)) {
        loop {
            let events = self.wait();
            let woken = self.serve(events);
            if woken {
                self.carry_out_commands();
            }
            self.run_timers();
            self.start_sends();
            let finished = self.advance_stop();
            if !self.settled.is_empty() {
                on_settled(std::mem::take(&mut self.settled));
            }
            if finished {
                return self.close_all();
            }
        }
    }

    fn wait(&mut self) -> usize {
        let timeout = self.next_timer().map(|at| at.saturating_duration_since(Instant::now()));
        match self.poller.wait(timeout) {
            Ok(events) => events,
            Err(Error { errno: libc::EINTR, .. }) => 0,
            Err(_) => {
                std::thread::sleep(POLL_ERROR_PAUSE);
                0
            }
        }
    }

    /// Serves what is ready; true if there are commands.
    fn serve(&mut self, events: usize) -> bool {
        let mut woken = false;
        for index in 0..events {
            match self.poller.token(index) {
                // As many as other events: a burst of connections does not hold up those that are open, and they do not
                // hold up the burst. The backlog is left before accept says EAGAIN, which would cost a call.
                LISTENER => {
                    self.accept(events);
                }
                WAKER => woken = true,
                token => self.socket_ready(token),
            }
        }
        woken
    }

    fn socket_ready(&mut self, token: Token) {
        let Ok(fd) = RawFd::try_from(token) else { return };
        match self.slots.get_mut(fd) {
            Some(Slot::Connection(_)) => self.connection_ready(fd),
            Some(Slot::Exchange(_)) => self.exchange_ready(fd),
            Some(Slot::Free) | None => {}
        }
    }

    // ---- Connections

    /// Accepts at most `most` connections; true if the backlog is empty.
    fn accept(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let Some(listener) = &self.listener else { return true };
            match listener.accept() {
                Accepted::Connection(socket) => self.admit(socket),
                Accepted::Broken => {}
                Accepted::Nothing => return true,
                Accepted::Exhausted => {
                    self.pause_accepting();
                    return false;
                }
            }
        }
        false
    }

    fn admit(&mut self, socket: OwnedFd) {
        if self.limits.max_connections.is_some_and(|most| self.slots.connections() >= most) {
            turn_away(&socket, &mut self.work);
            return self.work.counters().rejected();
        }
        let fd = socket.as_raw_fd();
        if self.poller.add(&socket, token(fd), Interest::Readable).is_err() {
            return self.work.counters().rejected();
        }
        self.work.counters().opened();
        let now = self.idle_clock();
        self.slots.insert(fd, Slot::Connection(Connection::new(socket, now)));
        if let (None, Some(timeout)) = (self.next_sweep, self.limits.idle_timeout) {
            self.next_sweep = Some(Instant::now() + timeout);
        }
    }

    /// Level-triggered, a listener that cannot be served would wake the loop without end. The clients wait in the backlog.
    fn pause_accepting(&mut self) {
        if let Some(listener) = &self.listener {
            // If that fails too, the pause is one turn long.
            let _ = self.poller.remove(listener);
            self.accept_paused_until = Some(Instant::now() + ACCEPT_PAUSE);
        }
    }

    fn resume_accepting(&mut self) {
        let Some(listener) = &self.listener else { return };
        self.accept_paused_until = match self.poller.add(listener, LISTENER, Interest::Readable) {
            // EEXIST: it could not be removed.
            Ok(()) | Err(Error { errno: libc::EEXIST, .. }) => None,
            Err(_) => Some(Instant::now() + ACCEPT_PAUSE),
        };
    }

    fn connection_ready(&mut self, fd: RawFd) {
        let now = self.idle_clock();
        let Some(Slot::Connection(connection)) = self.slots.get_mut(fd) else { return };
        connection.last_active = now;
        match connection.ready(&mut self.work) {
            Next::WaitFor(interest) => self.wait_for(fd, interest),
            Next::Close => self.close(fd),
        }
    }

    fn wait_for(&mut self, fd: RawFd, interest: Interest) {
        let Some(Slot::Connection(connection)) = self.slots.get_mut(fd) else { return };
        if interest == connection.interest {
            return;
        }
        match self.poller.modify(&*connection, token(fd), interest) {
            Ok(()) => connection.interest = interest,
            // It would never be heard of again.
            Err(_) => self.close(fd),
        }
    }

    fn close(&mut self, fd: RawFd) {
        self.work.counters().closing();
        drop(self.slots.remove(fd));
        if self.accept_paused_until.is_some() {
            self.resume_accepting();
        }
    }

    fn close_all(&mut self) {
        let open: Vec<_> = self.slots.iter_connections().map(|(fd, _)| fd).collect();
        for fd in open {
            self.close(fd);
        }
    }

    /// Milliseconds of the clock for idle connections, which stands still while nobody asks for it.
    fn idle_clock(&self) -> u64 {
        if self.limits.idle_timeout.is_some() { milliseconds(self.epoch.elapsed()) } else { 0 }
    }

    fn close_idle(&mut self, timeout: Duration) {
        let now = self.idle_clock();
        let limit = milliseconds(timeout);
        let mut idle = Vec::new();
        let mut longest = None;
        for (fd, connection) in self.slots.iter_connections() {
            let quiet = now.saturating_sub(connection.last_active);
            if quiet >= limit { idle.push(fd) } else { longest = longest.max(Some(quiet)) }
        }
        for fd in idle {
            self.close(fd);
        }
        let soonest = timeout / IDLE_PRECISION;
        self.next_sweep =
            longest.map(|quiet| Instant::now() + soonest.max(Duration::from_millis(limit.saturating_sub(quiet))));
    }

    // ---- Sends

    fn start_sends(&mut self) {
        if !self.sends.has_waiting() {
            return;
        }
        let now = Instant::now();
        while let Some(request) = self.sends.next(now) {
            match Exchange::open(request, self.destination) {
                Ok(exchange) => {
                    let fd = exchange.as_fd().as_raw_fd();
                    self.sends.started(exchange.id(), fd);
                    self.slots.insert(fd, Slot::Exchange(Box::new(exchange)));
                    self.exchange_ready(fd);
                }
                Err((Error { errno: libc::EADDRNOTAVAIL, .. }, request)) => self.sends.postpone(request, now),
                Err((error, request)) => self.settle(request.id, request.deadline, Err(error)),
            }
        }
    }

    fn exchange_ready(&mut self, fd: RawFd) {
        let Some(Slot::Exchange(exchange)) = self.slots.get_mut(fd) else { return };
        let registered = match exchange.ready(self.work.buffer()) {
            Progress::Done(result) => return self.finish_exchange(fd, result),
            Progress::WaitFor(interest) if exchange.interest == Some(interest) => return,
            Progress::WaitFor(interest) => {
                let register = if exchange.interest.is_some() { Poller::modify } else { Poller::add };
                exchange.interest = Some(interest);
                register(&self.poller, exchange, token(fd), interest)
            }
        };
        if let Err(error) = registered {
            self.finish_exchange(fd, Err(error));
        }
    }

    fn finish_exchange(&mut self, fd: RawFd, result: Result<Vec<u8>>) {
        if let Slot::Exchange(exchange) = self.slots.remove(fd) {
            self.settle(exchange.id(), exchange.deadline(), result);
        }
    }

    /// Ends a send before its time, with the system call it was waiting in.
    fn give_up(&mut self, id: u64, errno: i32) {
        match self.sends.take(id) {
            Some(Place::InFlight(fd)) => {
                let Some(Slot::Exchange(exchange)) = self.slots.get_mut(fd) else { return };
                exchange.abort();
                let syscall = exchange.waits_in();
                self.finish_exchange(fd, Err(Error { errno, syscall }));
            }
            Some(Place::Waiting) => self.settled.push(Settled { id, result: Err(Error { errno, syscall: "connect" }) }),
            None => {}
        }
    }

    fn settle(&mut self, id: u64, deadline: Instant, result: Result<Vec<u8>>) {
        self.sends.finished(id, deadline);
        self.settled.push(Settled { id, result });
    }

    // ---- Commands and timers

    fn carry_out_commands(&mut self) {
        for command in self.mailbox.take() {
            match command {
                Command::Send(request) => self.sends.push(request),
                Command::Cancel(id) => self.give_up(id, libc::ECANCELED),
                Command::Stop(deadline) => {
                    let deadline = self.stop.as_ref().map_or(deadline, |stop| stop.deadline.min(deadline));
                    let draining = self.stop.as_ref().is_some_and(|stop| stop.draining);
                    self.stop = Some(Stop { deadline, draining });
                }
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let stop = self.stop.as_ref().map(|stop| stop.deadline);
        [self.accept_paused_until, self.next_sweep, stop, self.sends.next_timer()].into_iter().flatten().min()
    }

    fn run_timers(&mut self) {
        let Some(next) = self.next_timer() else { return };
        let now = Instant::now();
        if now < next {
            return;
        }
        while let Some(id) = self.sends.expired(now) {
            self.give_up(id, libc::ETIMEDOUT);
        }
        if self.accept_paused_until.is_some_and(|until| until <= now) {
            self.resume_accepting();
        }
        if let (Some(sweep), Some(timeout)) = (self.next_sweep, self.limits.idle_timeout)
            && sweep <= now
        {
            self.close_idle(timeout);
        }
    }

    // ---- Stop

    /// Goes on with a stop, if there is one; true at its end.
    ///
    /// First the sends that wait get on the wire, then the listener goes, then the sends end, then the connections.
    fn advance_stop(&mut self) -> bool {
        let Some(stop) = &self.stop else { return false };
        if stop.deadline <= Instant::now() {
            self.listener = None;
            return true;
        }
        let draining = stop.draining;
        if self.listener.is_some() && !self.has_connecting_sends() && self.accept(usize::MAX) {
            self.listener = None;
            self.accept_paused_until = None;
        }
        if self.listener.is_some() || !self.sends.is_empty() {
            return false;
        }
        if !draining {
            self.drain_connections();
        }
        self.slots.connections() == 0
    }

    fn has_connecting_sends(&mut self) -> bool {
        let slots = &mut self.slots;
        self.sends.has_waiting()
            || self
                .sends
                .in_flight()
                .any(|fd| matches!(slots.get_mut(fd), Some(Slot::Exchange(exchange)) if exchange.is_connecting()))
    }

    fn drain_connections(&mut self) {
        if let Some(stop) = &mut self.stop {
            stop.draining = true;
        }
        let wanted: Vec<_> = self.slots.iter_connections().map(|(fd, connection)| (fd, connection.drain())).collect();
        for (fd, interest) in wanted {
            self.wait_for(fd, interest);
        }
    }
}

fn token(fd: RawFd) -> Token {
    Token::from(fd.unsigned_abs())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
