//! The sends that are not over yet: those on the wire, those that wait for their turn, and the deadlines of all.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::error::{Error, Result};
use crate::exchange::{Exchange, Progress, Request};
use crate::poller::{Poller, Token};

/// How many sends are on the wire at once. More is slower, not faster: 13,900 a second at 8, 13,200 at 512.
pub const MAX_IN_FLIGHT: usize = 64;

/// How long to wait for a client port when all are taken (`EADDRNOTAVAIL`). A closed one is reusable after a second.
const PORT_RETRY: Duration = Duration::from_millis(10);

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
    waiting: VecDeque<Request>,
    in_flight: HashMap<RawFd, Exchange>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// No client port was free: no new attempt before this moment.
    paused_until: Option<Instant>,
    settled: Vec<Settled>,
}

impl Sends {
    /// None yet. They will connect to `destination`.
    #[must_use]
    pub fn new(destination: Address) -> Self {
        Self {
            destination,
            waiting: VecDeque::new(),
            in_flight: HashMap::new(),
            deadlines: BTreeSet::new(),
            paused_until: None,
            settled: Vec::new(),
        }
    }

    /// Takes a send on. It starts with the next [`Self::start_waiting`].
    pub fn push(&mut self, request: Request) {
        self.deadlines.insert((request.deadline, request.id));
        self.waiting.push_back(request);
    }

    /// Puts as many sends on the wire as may be there.
    pub fn start_waiting(&mut self, poller: &Poller, buffer: &mut [u8]) {
        if self.waiting.is_empty() || self.paused_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.paused_until = None;
        while self.in_flight.len() < MAX_IN_FLIGHT && self.paused_until.is_none() {
            let Some(request) = self.waiting.pop_front() else { return };
            self.start(request, poller, buffer);
        }
    }

    fn start(&mut self, request: Request, poller: &Poller, buffer: &mut [u8]) {
        match Exchange::open(request, self.destination) {
            Ok(exchange) => {
                let fd = exchange.as_fd().as_raw_fd();
                self.in_flight.insert(fd, exchange);
                self.ready(poller, fd, buffer);
            }
            Err((Error { errno: libc::EADDRNOTAVAIL, .. }, request)) => {
                self.waiting.push_front(request);
                self.paused_until = Some(Instant::now() + PORT_RETRY);
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

    /// Gives up the sends whose deadline has passed.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(deadline, id)) = self.deadlines.first()
            && deadline <= now
        {
            self.give_up(id, libc::ETIMEDOUT);
        }
    }

    /// When something is to be done though no event comes: [`Self::expire`], [`Self::start_waiting`].
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|&(deadline, _)| deadline);
        let retry = if self.waiting.is_empty() { None } else { self.paused_until };
        deadline.into_iter().chain(retry).min()
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
        } else if let Some(index) = self.waiting.iter().position(|request| request.id == id)
            && let Some(request) = self.waiting.remove(index)
        {
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
