//! What an I/O thread does: waits, serves what is ready, carries out commands and timers, and waits again.
//!
//! While the events of one wait are served, only a descriptor's own event may close it. Commands and timers come after
//! all of them. So no event can meet a descriptor that was closed and given out again in between.
//!
//! The first thread of a server accepts and deals connections out in turn, and has the sends; the others only serve.

use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::acceptor::Acceptor;
use crate::busy_poll::BusyPoll;
use crate::connection::turn_away;
use crate::connections::Connections;
use crate::error::Error;
use crate::listener::Accepted;
use crate::mailbox::{Command, Mailbox};
use crate::poller::{Poller, Token};
use crate::sends::{self, Sends, Settled};

/// The token of the listener. Those of descriptors are far below.
pub const LISTENER: Token = Token::MAX;
/// The token of the mailbox's waker.
pub const WAKER: Token = Token::MAX - 1;

/// How long to wait after an error of `epoll_wait(2)` that ought not to exist, so that it cannot make the loop spin.
const POLL_ERROR_PAUSE: Duration = Duration::from_millis(10);

/// More events than this in one wait share the cost of its sleep: polling instead would save them little, and cost a
/// twentieth of the CPU time at 50 connections.
const POLL_EVENTS: usize = 4;

/// How many connections a stop takes from the backlog in one turn: those that are open, and the deadline, have theirs too.
const ACCEPTS_A_TURN: usize = 256;

/// What only the first thread of a server has.
#[derive(Debug)]
pub struct Front {
    /// Gone when a stop has taken the last connections from the backlog.
    pub acceptor: Option<Acceptor>,
    /// How many a stop still takes from the backlog. Clients that come without end would keep it from its own.
    pub backlog: usize,
    /// More connections than this are turned away.
    pub max_connections: Option<usize>,
    /// The client's side.
    pub sends: Sends,
    /// The mailboxes of the server's other threads.
    pub others: Vec<Arc<Mailbox>>,
    /// Who has the last connection that was dealt out: 0 this thread, n the nth other one.
    pub turn: usize,
}

impl Front {
    /// Whether clients can be taken from the backlog now. Where there is no descriptor for them, connections must end first.
    fn is_accepting(&self) -> bool {
        self.acceptor.as_ref().is_some_and(|acceptor| acceptor.next_timer().is_none())
    }

    /// Whether nobody waits for this thread any more: no client in the backlog, and no other thread.
    fn is_last(&self) -> bool {
        self.acceptor.is_none() && self.others.iter().all(|other| other.is_closed())
    }
}

/// Which thread of a server this is.
#[derive(Debug)]
pub enum Role {
    /// The first.
    First(Box<Front>),
    /// Another one, with the mailbox of the first.
    Other(Arc<Mailbox>),
}

impl Role {
    fn front(&self) -> Option<&Front> {
        match self {
            Self::First(front) => Some(front),
            Self::Other(_) => None,
        }
    }

    fn front_mut(&mut self) -> Option<&mut Front> {
        match self {
            Self::First(front) => Some(front),
            Self::Other(_) => None,
        }
    }
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
    connections: Connections,
    role: Role,
    busy_poll: BusyPoll,
    /// How many events the last wait brought.
    last_events: usize,
    stop: Option<Stop>,
}

impl EventLoop {
    /// The loop of one thread.
    #[must_use]
    pub fn new(
        poller: Poller,
        mailbox: Arc<Mailbox>,
        connections: Connections,
        role: Role,
        busy_poll: Duration,
    ) -> Self {
        Self { poller, mailbox, connections, role, busy_poll: BusyPoll::new(busy_poll), last_events: 0, stop: None }
    }

    /// Serves until it is told to stop, and says after each turn which sends are over.
    pub fn run(&mut self, mut on_settled: impl FnMut(Vec<Settled>)) {
        loop {
            let events = self.wait();
            if self.serve(events) {
                self.carry_out_commands();
            }
            self.run_timers();
            self.make_room();
            self.start_sends();
            let finished = self.advance_stop();
            let settled = self.role.front_mut().map(|front| front.sends.take_settled()).unwrap_or_default();
            if !settled.is_empty() {
                on_settled(settled);
            }
            if finished {
                return self.connections.close_all();
            }
        }
    }

    fn wait(&mut self) -> usize {
        let timer = self.next_timer();
        // Polling saves time between the messages of a few; in a bulk transfer, or where a wake-up serves many, it only costs.
        let moved_bulk = self.connections.workspace().take_moved_bulk();
        let may_poll = self.last_events <= POLL_EVENTS && !moved_bulk;
        let poller = &mut self.poller;
        self.last_events = match self.busy_poll.wait(may_poll, timer, |timeout| poller.wait(timeout)) {
            Ok(events) => events,
            Err(Error { errno: libc::EINTR, .. }) => 0,
            Err(_) => {
                std::thread::sleep(POLL_ERROR_PAUSE);
                0
            }
        };
        self.last_events
    }

    /// Serves what is ready; true if there are commands.
    fn serve(&mut self, events: usize) -> bool {
        let mut woken = false;
        for index in 0..events {
            match self.poller.token(index) {
                // As many as other events: a burst of connections does not hold up those that are open, nor they the
                // burst. To go on until accept says EAGAIN would cost a call a connection.
                LISTENER => drop(self.accept(events)),
                WAKER => woken = true,
                token => self.socket_ready(token),
            }
        }
        woken
    }

    fn socket_ready(&mut self, token: Token) {
        if let Ok(fd) = RawFd::try_from(token) {
            self.connections.ready(&self.poller, fd);
        } else if let (Some(fd), Role::First(front)) = (sends::descriptor(token), &mut self.role) {
            front.sends.ready(&self.poller, fd, self.connections.workspace().buffer());
        }
    }

    /// Accepts at most `most` connections; true if the backlog is empty.
    fn accept(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let Some(acceptor) = self.role.front_mut().and_then(|front| front.acceptor.as_mut()) else { return true };
            match acceptor.accept(&self.poller) {
                Accepted::Connection(socket) => self.admit(socket),
                Accepted::Broken => {}
                Accepted::Nothing => return true,
                Accepted::Exhausted => return false,
            }
        }
        false
    }

    /// Takes a connection on, or turns it away.
    fn admit(&mut self, socket: OwnedFd) {
        let Role::First(front) = &mut self.role else { return };
        let work = self.connections.workspace();
        if front.max_connections.is_some_and(|most| work.shared().open.load(Relaxed) >= most) {
            work.counters().rejected();
            return turn_away(&socket, work);
        }
        // First: no one is to see more connections open than there ever were.
        work.counters().opened();
        work.shared().open.fetch_add(1, Relaxed);
        // The others may have ended when the connections are draining.
        let threads = if self.stop.as_ref().is_some_and(|stop| stop.draining) { 1 } else { front.others.len() + 1 };
        front.turn = (front.turn + 1) % threads;
        match front.turn.checked_sub(1) {
            None => self.connections.adopt(&self.poller, socket),
            // A thread that has ended takes nothing: it has failed, and the server is about to end.
            Some(other) => drop(front.others[other].post(Command::Adopt(socket))),
        }
    }

    /// Accepts after each: 64 sends at once could take every descriptor that is left, and none for the server's side of them.
    fn start_sends(&mut self) {
        loop {
            let Role::First(front) = &mut self.role else { return };
            if front.acceptor.as_ref().is_some_and(|acceptor| acceptor.next_timer().is_some())
                || !front.sends.start_next(&self.poller, self.connections.workspace().buffer())
            {
                return;
            }
            self.accept(1);
        }
    }

    fn carry_out_commands(&mut self) {
        for command in self.mailbox.take() {
            match (command, &mut self.role) {
                (Command::Adopt(socket), _) => self.connections.adopt(&self.poller, socket),
                (Command::Stop(deadline), _) => self.begin_stop(deadline),
                (Command::Send(request), Role::First(front)) => front.sends.push(request),
                (Command::Cancel(id), Role::First(front)) => front.sends.cancel(id),
                (Command::ResumeAccepting, Role::First(front)) => resume(front, &self.poller),
                // Only the first thread is told these; whether all others have ended `advance_stop` sees after every turn.
                (Command::Send(_) | Command::Cancel(_) | Command::ResumeAccepting, Role::Other(_))
                | (Command::ThreadEnded, _) => {}
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let front = self.role.front();
        [
            self.stop.as_ref().map(|stop| stop.deadline),
            self.connections.next_timer(),
            front.and_then(|front| front.sends.next_timer()),
            front.and_then(|front| front.acceptor.as_ref()).and_then(Acceptor::next_timer),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn run_timers(&mut self) {
        let Some(next) = self.next_timer() else { return };
        let now = Instant::now();
        if now < next {
            return;
        }
        if self.connections.next_timer().is_some_and(|at| at <= now) {
            self.connections.close_idle();
        }
        let Role::First(front) = &mut self.role else { return };
        front.sends.run_timers(now);
        if front.acceptor.as_ref().and_then(Acceptor::next_timer).is_some_and(|at| at <= now) {
            resume(front, &self.poller);
        }
    }

    /// A connection was closed: clients that wait for a descriptor may have it.
    fn make_room(&mut self) {
        if !self.connections.take_closed_any() || !self.connections.workspace().shared().accept_paused.load(Relaxed) {
            return;
        }
        match &mut self.role {
            Role::First(front) => resume(front, &self.poller),
            Role::Other(first) => drop(first.post(Command::ResumeAccepting)),
        }
    }

    fn begin_stop(&mut self, deadline: Instant) {
        let stop = self.stop.get_or_insert(Stop { deadline, draining: false });
        stop.deadline = stop.deadline.min(deadline);
        if stop.draining {
            self.stop_others();
        }
    }

    /// Goes on with a stop, if there is one; true at its end.
    ///
    /// First the sends that wait get on the wire, then the listener goes, then the sends end, then the connections.
    fn advance_stop(&mut self) -> bool {
        let Some(stop) = &self.stop else { return false };
        if stop.deadline <= Instant::now() {
            return true;
        }
        self.stop_accepting();
        if self.role.front().is_some_and(|front| front.is_accepting() || !front.sends.is_empty()) {
            return false;
        }
        self.drain();
        // The first thread ends last: its end cuts the others off, and only it hears that a stop is to be shortened.
        self.connections.is_empty() && self.role.front().is_none_or(Front::is_last)
    }

    fn stop_accepting(&mut self) {
        let Some(front) = self.role.front().filter(|front| !front.sends.is_any_unconnected()) else { return };
        let most = front.backlog.min(ACCEPTS_A_TURN);
        let empty = self.accept(most);
        let Role::First(front) = &mut self.role else { return };
        if front.is_accepting() {
            front.backlog -= most;
        }
        if empty || front.backlog == 0 {
            front.acceptor = None;
        }
    }

    fn drain(&mut self) {
        if let Some(stop) = &mut self.stop
            && !stop.draining
        {
            stop.draining = true;
            self.connections.drain(&self.poller);
            self.stop_others();
        }
    }

    fn stop_others(&self) {
        if let (Role::First(front), Some(stop)) = (&self.role, &self.stop) {
            for other in &front.others {
                other.post(Command::Stop(stop.deadline));
            }
        }
    }
}

fn resume(front: &mut Front, poller: &Poller) {
    if let Some(acceptor) = &mut front.acceptor {
        acceptor.resume(poller);
    }
}
