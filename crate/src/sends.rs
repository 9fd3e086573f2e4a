//! The sends that are not over yet: those on the wire, those that are queued, and the deadlines of all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::clock::{Clock, Moment};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::exchange::Exchange;
use crate::poller::Source;

/// How many sends are on the wire at once. More is no faster: 13,900 per second at 8, 13,200 at 512.
pub const MAX_IN_FLIGHT: usize = 64;

/// How long to wait when all client ports are taken (`EADDRNOTAVAIL`; on this machine a closed one is reusable after a second,
/// for other machines after a minute), or all descriptors: other sends give theirs back.
const RETRY: Duration = Duration::from_millis(10);

/// What a caller wants sent.
pub struct Outgoing {
    /// Names the send in what is said of it later. The caller sees to it that no two have the same.
    pub id: u64,
    /// Where to connect to.
    pub to: SocketAddrV4,
    /// What to write. May be empty: that is a connection without a byte.
    pub data: Vec<u8>,
    /// How long it may take.
    pub timeout: Duration,
    /// How long our side stays open at most when all is written, unless as much is back before.
    pub patience: Duration,
    /// When its time is over, on the clock of the thread.
    deadline: Moment,
    /// Why it could not begin yet.
    blocked_by: Option<Error>,
    /// How long it may take to be connected and accepted before it is looked at.
    grace: Duration,
}

impl Outgoing {
    /// A send that is yet to begin.
    pub fn new(id: u64, to: SocketAddrV4, data: Vec<u8>, timeout: Duration, patience: Duration) -> Self {
        Self { id, to, data, timeout, patience, deadline: Moment::ZERO, blocked_by: None, grace: RETRY }
    }
}

/// A send that is over.
#[derive(Debug)]
pub struct Settled {
    /// The id it was given.
    pub id: u64,
    /// What came back, or why nothing did: `ETIMEDOUT` past its deadline, `ECANCELED` when it was cancelled. A client without
    /// ports or descriptors says so at the deadline.
    pub result: Result<Vec<u8>>,
    /// What had come back when it failed.
    pub partial: Vec<u8>,
}

/// The sends of one I/O thread.
pub struct Sends {
    /// They go to the server of this thread.
    is_own: bool,
    /// When to look at sends again without an event.
    looks: BTreeSet<(Moment, u64)>,
    /// By id: ids grow, so the oldest is first, and any is found when it is given up.
    queued: BTreeMap<u64, Outgoing>,
    in_flight: Slab<(Outgoing, Exchange)>,
    deadlines: BTreeSet<(Moment, u64)>,
    /// There was no client port for this destination, or no descriptor for any: no new attempt before this moment.
    paused: BTreeMap<Option<SocketAddrV4>, Moment>,
    /// The sends that are over, each once, for the event loop to take.
    pub settled: Vec<Settled>,
}

impl Sends {
    /// None yet. `is_own` if they go to the server of this thread.
    pub fn new(is_own: bool) -> Self {
        Self {
            is_own,
            looks: BTreeSet::new(),
            queued: BTreeMap::new(),
            in_flight: Slab::new(),
            deadlines: BTreeSet::new(),
            paused: BTreeMap::new(),
            settled: Vec::new(),
        }
    }

    /// Takes a send on. It starts with the next [`Self::start_next`], and its time begins now.
    pub fn push(&mut self, clock: &Clock, mut outgoing: Outgoing) {
        outgoing.deadline = clock.deadline(Instant::now(), outgoing.timeout);
        self.deadlines.insert((outgoing.deadline, outgoing.id));
        self.queued.insert(outgoing.id, outgoing);
    }

    /// Puts the next send on the wire; false if none is queued or none may start now.
    pub fn start_next(&mut self, context: &mut Context) -> bool {
        if self.paused.contains_key(&None) || self.in_flight.len() >= MAX_IN_FLIGHT {
            return false;
        }
        let next = self.queued.values().find(|outgoing| !self.paused.contains_key(&Some(outgoing.to)));
        let Some(outgoing) = next.map(|outgoing| outgoing.id).and_then(|id| self.queued.remove(&id)) else {
            return false;
        };
        match Exchange::open(outgoing.to, outgoing.data.len(), self.is_own) {
            Ok(exchange) => {
                let slot = self.in_flight.insert((outgoing, exchange));
                self.advance(context, slot);
            }
            Err(error) => self.retry_or_fail(context, error, outgoing),
        }
        true
    }

    /// What becomes of a send that could not begin.
    pub fn retry_or_fail(&mut self, context: &Context, error: Error, mut outgoing: Outgoing) {
        let blocked = match error.errno {
            libc::EADDRNOTAVAIL => Some(outgoing.to).filter(|_| !self.is_own),
            libc::EMFILE | libc::ENFILE => None,
            // macOS 27 resets who finds the backlog full.
            libc::ECONNRESET if self.is_own => None,
            _ => return self.settle(&outgoing, Err(error), Vec::new()),
        };
        self.paused.insert(blocked, context.clock.after(RETRY));
        outgoing.blocked_by = Some(error);
        self.queued.insert(outgoing.id, outgoing);
    }

    /// Does for a send on the wire what can be done now.
    pub fn advance(&mut self, context: &mut Context, slot: usize) {
        let Some((outgoing, exchange)) = self.in_flight.get_mut(slot) else { return };
        match exchange.advance(&outgoing.data, &mut context.buffer[..context.read_size]) {
            Ok(false) if exchange.is_written() => self.wait_for_echo(context, slot),
            Ok(false) => self.wait_for_event(context, slot),
            Ok(true) => self.finish(context, slot, Ok(())),
            // On macOS it may be accepted before we see that it is connected: then it has begun.
            Err(error) if !exchange.is_accepted && (self.is_own || exchange.is_connecting()) => {
                let (outgoing, _) = self.remove(context, slot);
                self.retry_or_fail(context, error, outgoing);
            }
            Err(error) => self.finish(context, slot, Err(error)),
        }
    }

    fn wait_for_echo(&mut self, context: &Context, slot: usize) {
        let (outgoing, exchange) = &self.in_flight[slot];
        if outgoing.patience.is_zero() || exchange.received.len() >= outgoing.data.len() {
            self.half_close(context, slot);
        } else {
            self.look_after(context, slot, outgoing.patience);
            self.wait_for_event(context, slot);
        }
    }

    /// Sees to a look at a send in so much time, if none is due yet.
    fn look_after(&mut self, context: &Context, slot: usize, time: Duration) {
        let (outgoing, exchange) = &mut self.in_flight[slot];
        if exchange.next_look.is_none() {
            let moment = context.clock.deadline(Instant::now(), time);
            exchange.next_look = Some(moment);
            self.looks.insert((moment, outgoing.id));
        }
    }

    /// Sees to a look at the sends that are not in the backlog, nor accepted.
    pub fn look_at_unaccepted(&mut self, context: &Context) {
        let is_unaccepted = |exchange: &Exchange| !exchange.is_accepted && !exchange.is_late;
        let slots = self.in_flight.iter().filter(|(_, (_, exchange))| is_unaccepted(exchange)).map(|(slot, _)| slot);
        for slot in slots.collect::<Vec<_>>() {
            self.look_after(context, slot, self.in_flight[slot].0.grace);
        }
    }

    /// Ends our side of a connection whose peer has had its time. One to the own server that is not connected by now has found
    /// the backlog full, and begins again; one that is connected, but not accepted, has found it full with its last packet. In
    /// both cases the kernel would try again only after a second.
    fn look(&mut self, context: &Context, slot: usize) {
        let (_, exchange) = &mut self.in_flight[slot];
        exchange.next_look = None;
        if exchange.is_written() {
            self.half_close(context, slot);
        } else if exchange.is_connecting() && !exchange.is_accepted {
            let (mut outgoing, _) = self.remove(context, slot);
            // Where a handshake takes its time, it gets it in the end.
            outgoing.grace = outgoing.grace.saturating_mul(2);
            self.queued.insert(outgoing.id, outgoing);
        } else {
            exchange.is_late = !exchange.is_accepted;
        }
    }

    fn half_close(&mut self, context: &Context, slot: usize) {
        match self.in_flight[slot].1.half_close() {
            Ok(()) => self.wait_for_event(context, slot),
            Err(error) => self.finish(context, slot, Err(error)),
        }
    }

    fn wait_for_event(&mut self, context: &Context, slot: usize) {
        let (_, exchange) = &mut self.in_flight[slot];
        let (source, interest) = (Source::Exchange(slot), exchange.wanted());
        let registered = match exchange.interest.replace(interest) {
            Some(before) if before == interest => Ok(()),
            Some(_) => context.poller.modify(&exchange.socket, source, interest),
            None => context.poller.add(&exchange.socket, source, interest),
        };
        if let Err(error) = registered {
            self.finish(context, slot, Err(error));
        }
    }

    /// Gives up all sends.
    pub fn cancel_all(&mut self, context: &Context) {
        for (_, id) in std::mem::take(&mut self.deadlines) {
            self.give_up(context, id, libc::ECANCELED);
        }
    }

    /// Gives up the sends whose deadline has passed, and ends pauses that are over, and looks at sends.
    pub fn run_timers(&mut self, context: &mut Context) {
        self.paused.retain(|_, until| !context.clock.has_passed(*until));
        while let Some(&(moment, id)) = self.looks.first()
            && context.clock.has_passed(moment)
        {
            self.looks.pop_first();
            if let Some(slot) = self.slot(id) {
                // What it waits for may be here.
                self.advance(context, slot);
            }
            if let Some(slot) = self.slot(id) {
                self.look(context, slot);
            }
        }
        while let Some(&(deadline, id)) = self.deadlines.first()
            && context.clock.has_passed(deadline)
        {
            self.deadlines.pop_first();
            if let Some(slot) = self.slot(id) {
                // Its answer may be here: where many are ready, one wait does not report all.
                self.advance(context, slot);
            }
            self.give_up(context, id, libc::ETIMEDOUT);
        }
    }

    /// When to call [`Self::run_timers`].
    pub fn next_timer(&self, clock: &Clock) -> Option<Moment> {
        let deadline = Some(clock.toward(self.deadlines.first()?.0));
        let look = self.looks.first().map(|(moment, _)| clock.toward(*moment));
        deadline.into_iter().chain(look).chain(self.paused.values().copied()).min()
    }

    /// Whether every send is over.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    /// Whether a send still needs the listener.
    pub fn need_listener(&self) -> bool {
        !self.queued.is_empty() || self.in_flight.iter().any(|(_, (_, exchange))| !exchange.is_accepted)
    }

    /// Whether a send is to be accepted before the next one begins.
    pub fn is_any_unaccepted(&self) -> bool {
        self.in_flight.iter().any(|(_, (_, exchange))| !exchange.is_accepted && !exchange.is_late)
    }

    /// Notes that the server has accepted a connection with this peer; true if it is that of a send.
    pub fn note_accepted(&mut self, peer: SocketAddrV4) -> bool {
        let exchange = self.in_flight.iter_mut().find(|(_, (_, exchange))| exchange.address == peer);
        exchange.map(|(_, (_, exchange))| exchange.is_accepted = true).is_some()
    }

    /// Ends a send before its time, if it is not over, with the system call it was waiting in.
    pub fn give_up(&mut self, context: &Context, id: u64, errno: i32) {
        if let Some(outgoing) = self.queued.remove(&id) {
            let blocked_by = outgoing.blocked_by.filter(|_| !self.is_own && errno == libc::ETIMEDOUT);
            self.settle(&outgoing, Err(blocked_by.unwrap_or(Error { errno, syscall: "connect" })), Vec::new());
        } else if let Some(slot) = self.slot(id) {
            let (_, exchange) = &self.in_flight[slot];
            exchange.abort();
            let syscall = exchange.waits_in();
            self.finish(context, slot, Err(Error { errno, syscall }));
        }
    }

    fn slot(&self, id: u64) -> Option<usize> {
        self.in_flight.iter().find(|(_, (outgoing, _))| outgoing.id == id).map(|(slot, _)| slot)
    }

    fn finish(&mut self, context: &Context, slot: usize, result: Result<()>) {
        let (outgoing, Exchange { received, .. }) = self.remove(context, slot);
        match result {
            Ok(()) => self.settle(&outgoing, Ok(received), Vec::new()),
            Err(error) => self.settle(&outgoing, Err(error), received),
        }
    }

    fn remove(&mut self, context: &Context, slot: usize) -> (Outgoing, Exchange) {
        let (outgoing, exchange) = self.in_flight.remove(slot);
        if exchange.interest.is_some() {
            context.poller.remove(&exchange.socket);
        }
        if let Some(moment) = exchange.next_look {
            self.looks.remove(&(moment, outgoing.id));
        }
        (outgoing, exchange)
    }

    fn settle(&mut self, outgoing: &Outgoing, result: Result<Vec<u8>>, partial: Vec<u8>) {
        self.deadlines.remove(&(outgoing.deadline, outgoing.id));
        self.settled.push(Settled { id: outgoing.id, result, partial });
    }
}
