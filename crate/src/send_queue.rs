//! The sends that are not over yet: those that wait for their turn, and the deadlines of all.

use std::collections::{BTreeSet, VecDeque};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use crate::exchange::Request;

/// How many sends are on the wire at once. More is slower, not faster: 13,900 a second at 8, 13,200 at 512.
pub const MAX_IN_FLIGHT: usize = 64;

/// How long to wait for a client port when all are taken (`EADDRNOTAVAIL`). A closed one is reusable after a second.
const PORT_RETRY: Duration = Duration::from_millis(10);

/// Where a send is.
#[derive(Debug)]
pub enum Place {
    /// It waited, and is now out of the queue.
    Waiting,
    /// It is on the wire, at this descriptor.
    InFlight(RawFd),
}

/// The sends that are not over yet.
#[derive(Debug, Default)]
pub struct SendQueue {
    waiting: VecDeque<Request>,
    in_flight: Vec<(u64, RawFd)>,
    deadlines: BTreeSet<(Instant, u64)>,
    /// No client port was free: no new attempt before this moment.
    paused_until: Option<Instant>,
}

impl SendQueue {
    /// Puts a new send at the end.
    pub fn push(&mut self, request: Request) {
        self.deadlines.insert((request.deadline, request.id));
        self.waiting.push_back(request);
    }

    /// The send whose turn it is, if one may start now.
    pub fn next(&mut self, now: Instant) -> Option<Request> {
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        if self.in_flight.len() < MAX_IN_FLIGHT { self.waiting.pop_front() } else { None }
    }

    /// Notes that a send is on the wire at this descriptor.
    pub fn started(&mut self, id: u64, fd: RawFd) {
        self.in_flight.push((id, fd));
    }

    /// Puts a send back to the front, for want of a client port.
    pub fn postpone(&mut self, request: Request, now: Instant) {
        self.waiting.push_front(request);
        self.paused_until = Some(now + PORT_RETRY);
    }

    /// Forgets a send that is over.
    pub fn finished(&mut self, id: u64, deadline: Instant) {
        self.deadlines.remove(&(deadline, id));
        self.in_flight.retain(|&(other, _)| other != id);
    }

    /// Takes a send out before its end, wherever it is. `None` if it is over.
    pub fn take(&mut self, id: u64) -> Option<Place> {
        if let Some(index) = self.in_flight.iter().position(|&(other, _)| other == id) {
            return Some(Place::InFlight(self.in_flight[index].1));
        }
        let index = self.waiting.iter().position(|request| request.id == id)?;
        let request = self.waiting.remove(index)?;
        self.deadlines.remove(&(request.deadline, id));
        Some(Place::Waiting)
    }

    /// A send whose deadline has passed.
    #[must_use]
    pub fn expired(&self, now: Instant) -> Option<u64> {
        self.deadlines.first().filter(|&&(deadline, _)| deadline <= now).map(|&(_, id)| id)
    }

    /// When something is to be done next though no event comes.
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|&(deadline, _)| deadline);
        deadline.into_iter().chain(self.paused_until).min()
    }

    /// Whether sends wait for their turn.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The descriptors of the sends on the wire.
    pub fn in_flight(&self) -> impl Iterator<Item = RawFd> {
        self.in_flight.iter().map(|&(_, fd)| fd)
    }

    /// Whether every send is over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }
}
