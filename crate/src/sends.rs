//! The sends that are not over yet: those on the wire, those that wait for their turn, and the deadlines of all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::error::{Error, Result};
use crate::exchange::{Exchange, Progress, Request};
use crate::poller::{Poller, Token};

/// How many sends are on the wire at once. More is slower, not faster: 13,900 a second at 8, 13,200 at 512.
pub const MAX_IN_FLIGHT: usize = 64;

/// How long to wait when all client ports are taken (`EADDRNOTAVAIL`; a closed one is reusable after a second), or all
/// descriptors.
const RETRY: Duration = Duration::from_millis(10);

/// A send that is over.
#[derive(Debug)]
pub struct Settled {
    /// The id it was given.
    pub id: u64,
    /// What came back, or why nothing did: `ETIMEDOUT` past its deadline, `ECANCELED` when it was cancelled.
    pub result: Result<Vec<u8>>,
}

/// The sends of one server.
#[derive(Debug)]
pub struct Sends {
    destination: Address,
    /// By id: ids grow, so the oldest is first, and any is found when it is given up.
    waiting: BTreeMap<u64, Request>,
    in_flight: HashMap<RawFd, Exchange>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// There was no client port or no descriptor: no new attempt before this moment.
    paused_until: Option<Instant>,
    settled: Vec<Settled>,
}

impl Sends {
    /// None yet. They will connect to `destination`.
    #[must_use]
    pub fn new(destination: Address) -> Self {
        Self {
            destination,
            waiting: BTreeMap::new(),
            in_flight: HashMap::new(),
            deadlines: BTreeSet::new(),
            paused_until: None,
            settled: Vec::new(),
        }
    }

    /// Takes a send on. It starts with the next [`Self::start_next`].
    pub fn push(&mut self, request: Request) {
        self.deadlines.insert((request.deadline, request.id));
        self.waiting.insert(request.id, request);
    }

    /// Puts the next send on the wire; false if none waits or none may start now.
    pub fn start_next(&mut self, poller: &Poller, buffer: &mut [u8]) -> bool {
        if self.paused_until.is_some() || self.in_flight.len() >= MAX_IN_FLIGHT {
            return false;
        }
        let Some((_, request)) = self.waiting.pop_first() else { return false };
        self.start(request, poller, buffer);
        true
    }

    fn start(&mut self, request: Request, poller: &Poller, buffer: &mut [u8]) {
        match Exchange::open(request, self.destination) {
            Ok(exchange) => {
                let fd = exchange.as_fd().as_raw_fd();
                self.in_flight.insert(fd, exchange);
                self.ready(poller, fd, buffer);
            }
            Err((Error { errno: libc::EADDRNOTAVAIL, .. }, request)) => {
                self.waiting.insert(request.id, request);
                self.paused_until = Some(Instant::now() + RETRY);
            }
            // Those on the wire give their descriptors back. Where there is none, waiting would be in vain.
            Err((Error { errno: libc::EMFILE | libc::ENFILE, .. }, request)) if !self.in_flight.is_empty() => {
                self.waiting.insert(request.id, request);
                self.paused_until = Some(Instant::now() + RETRY);
            }
            Err((error, request)) => self.settle(request.id, request.deadline, Err(error)),
        }
    }

    /// Goes on with a send about which an event came.
    pub fn ready(&mut self, poller: &Poller, fd: RawFd, buffer: &mut [u8]) {
        let Some(exchange) = self.in_flight.get_mut(&fd) else { return };
        let interest = match exchange.ready(buffer) {
            Progress::Done(result) => return self.finish(fd, result),
            Progress::WaitFor(interest) => interest,
        };
        let registered = match exchange.interest {
            Some(registered) if registered == interest => return,
            Some(_) => poller.modify(&*exchange, token(fd), interest),
            None => poller.add(&*exchange, token(fd), interest),
        };
        exchange.interest = Some(interest);
        if let Err(error) = registered {
            self.finish(fd, Err(error));
        }
    }

    /// Gives up a send, if it is not over yet.
    pub fn cancel(&mut self, id: u64) {
        self.give_up(id, libc::ECANCELED);
    }

    /// Gives up the sends whose deadline has passed, and ends a pause that is over.
    pub fn run_timers(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            self.give_up(id, libc::ETIMEDOUT);
        }
    }

    /// When to call [`Self::run_timers`].
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|&(deadline, _)| deadline);
        deadline.into_iter().chain(self.paused_until).min()
    }

    /// Whether every send is over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Whether a send still needs the listener.
    #[must_use]
    pub fn is_any_unconnected(&self) -> bool {
        !self.waiting.is_empty() || self.in_flight.values().any(Exchange::is_connecting)
    }

    /// The sends that are over, each once.
    pub fn take_settled(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.settled)
    }

    /// Ends a send before its time, with the system call it was waiting in.
    fn give_up(&mut self, id: u64, errno: i32) {
        if let Some((&fd, exchange)) = self.in_flight.iter().find(|(_, exchange)| exchange.id() == id) {
            exchange.abort();
            let syscall = exchange.waits_in();
            self.finish(fd, Err(Error { errno, syscall }));
        } else if let Some(request) = self.waiting.remove(&id) {
            self.settle(id, request.deadline, Err(Error { errno, syscall: "connect" }));
        }
    }

    fn finish(&mut self, fd: RawFd, result: Result<Vec<u8>>) {
        if let Some(exchange) = self.in_flight.remove(&fd) {
            self.settle(exchange.id(), exchange.deadline(), result);
        }
    }

    fn settle(&mut self, id: u64, deadline: Instant, result: Result<Vec<u8>>) {
        self.deadlines.remove(&(deadline, id));
        self.settled.push(Settled { id, result });
    }
}

/// Set in the token of a send's socket, to tell it from a connection's.
const SEND: Token = 1 << 32;

fn token(fd: RawFd) -> Token {
    SEND | Token::from(fd.unsigned_abs())
}

/// The descriptor of a send's socket, if the token names one.
#[must_use]
pub fn descriptor(token: Token) -> Option<RawFd> {
    if token & !Token::from(u32::MAX) == SEND { RawFd::try_from(token & Token::from(u32::MAX)).ok() } else { None }
}
