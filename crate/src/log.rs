//! What a server tells about its connections: who came, how each ended, who was turned away.
//!
//! Each I/O thread collects events, and hands them over at the end of a turn of its loop. They wait until the owner of the
//! server takes them, within a bound. While nobody observes the server, a connection has no record, and costs nothing.

use std::mem;
use std::net::SocketAddrV4;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::error::Error;
use crate::shared::Shared;

/// So many connections and drops wait to be taken. Further ones are only counted. A connection that is told has room for
/// its end, too.
pub const MOST_UNTAKEN: usize = 65_536;

/// How often a thread hands over events at most. Waking JavaScript costs as much as serving a short connection.
pub const HAND_OVER_INTERVAL: Duration = Duration::from_millis(1);

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The peer ended it.
    Peer,
    /// The peer reset it.
    Reset,
    /// It was idle for too long.
    Idle,
    /// The server stopped.
    Stop,
    /// The owner of the server closed it.
    Closed,
    /// A fault on purpose reset or ended it.
    Fault,
    /// Something else failed, with this positive errno.
    Error(i32),
    /// The server failed.
    Failed,
}

impl From<Error> for Reason {
    fn from(error: Error) -> Self {
        match error.errno {
            // A write after the reset says EPIPE.
            libc::ECONNRESET | libc::EPIPE => Self::Reset,
            errno => Self::Error(errno),
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A connection is served now.
    Connected {
        /// The number of the thread that serves it, from 0.
        thread: usize,
        /// Its slot in the table of that thread.
        slot: usize,
    },
    /// It is served no longer.
    Ended {
        /// Why.
        reason: Reason,
        /// How many bytes were echoed.
        bytes: u64,
        /// How long it was served.
        duration: Duration,
    },
    /// A connection was turned away.
    Dropped,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Event {
    /// The number of the connection, from 1; 0 if it was turned away.
    pub id: u64,
    /// The address of its peer.
    pub peer: SocketAddrV4,
    /// What happened to it.
    pub kind: Kind,
}

/// What is remembered of a connection until its end.
pub struct Record {
    /// Its number, from 1. 0 before it is admitted.
    pub id: u64,
    /// How many bytes were echoed.
    pub bytes: u64,
    peer: SocketAddrV4,
    since: Instant,
}

/// The events of one server that wait to be taken.
#[derive(Default)]
pub struct Log {
    is_observed: AtomicBool,
    /// Connections and drops that wait or are about to. Not their ends: there are no more of those than connections.
    untaken: AtomicUsize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    events: Vec<Event>,
    missed: u64,
    is_announced: bool,
}

impl Log {
    /// A log that begins with the first connection, if it is observed by then.
    pub fn new(is_observed: bool) -> Self {
        Self { is_observed: is_observed.into(), ..Self::default() }
    }

    /// Turns events on or off for the connections that are accepted from now on.
    pub fn set_observed(&self, is_observed: bool) {
        self.is_observed.store(is_observed, Relaxed);
    }

    /// The record of a connection that was just accepted, if the server is observed.
    pub fn record(&self, peer: SocketAddrV4) -> Option<Record> {
        let record = || Record { id: 0, bytes: 0, peer, since: Instant::now() };
        self.is_observed.load(Relaxed).then(record)
    }

    /// Takes the events that wait, and how many connections and drops were left out since the last time.
    pub fn take(&self) -> (Vec<Event>, u64) {
        let Waiting { events, missed, .. } = mem::take(&mut *self.waiting());
        let taken = events.iter().filter(|event| !matches!(event.kind, Kind::Ended { .. })).count();
        self.untaken.fetch_sub(taken, SeqCst);
        (events, missed)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // What it holds is whole at every moment.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's way to the log.
pub struct LogWriter {
    thread: usize,
    shared: Arc<Shared>,
    events: Vec<Event>,
    missed: u64,
    /// When events were last handed over.
    handed_over: Option<Instant>,
}

impl LogWriter {
    /// For the thread with this number, from 0.
    pub fn new(shared: &Arc<Shared>, thread: usize) -> Self {
        Self { thread, shared: Arc::clone(shared), events: Vec::new(), missed: 0, handed_over: None }
    }

    /// Tells of a connection in this slot of the thread's table. Left out, it loses its record, and its end is not told.
    pub fn connected(&mut self, connection: &mut Connection, slot: usize) {
        if let Some(Record { id, peer, .. }) = connection.record()
            && !self.push(Event { id: *id, peer: *peer, kind: Kind::Connected { thread: self.thread, slot } })
        {
            connection.take_record();
        }
    }

    /// Tells of the end of a connection.
    pub fn ended(&mut self, record: Option<Record>, reason: Reason) {
        self.events.extend(record.map(|record| {
            let Record { id, bytes, peer, since } = record;
            Event { id, peer, kind: Kind::Ended { reason, bytes, duration: since.elapsed() } }
        }));
    }

    /// Tells that a connection was turned away.
    pub fn dropped(&mut self, record: Option<Record>) {
        if let Some(record) = record {
            self.push(Event { id: 0, peer: record.peer, kind: Kind::Dropped });
        }
    }

    /// False if there is no room.
    fn push(&mut self, event: Event) -> bool {
        let has_room = self.shared.log.untaken.fetch_add(1, SeqCst) < MOST_UNTAKEN;
        if has_room {
            self.events.push(event);
        } else {
            self.shared.log.untaken.fetch_sub(1, SeqCst);
            self.missed += 1;
        }
        has_room
    }

    /// Whether there is something to hand over.
    pub fn is_pending(&self) -> bool {
        !self.events.is_empty() || self.missed > 0
    }

    /// Whether the last time is so long ago that it is to be handed over now.
    pub fn is_due(&self) -> bool {
        self.is_pending() && self.handed_over.is_none_or(|moment| moment.elapsed() >= HAND_OVER_INTERVAL)
    }

    /// Hands over what was collected; true if the owner is to be told that there is something to take.
    pub fn hand_over(&mut self) -> bool {
        self.handed_over = Some(Instant::now());
        let mut waiting = self.shared.log.waiting();
        waiting.events.append(&mut self.events);
        waiting.missed += mem::take(&mut self.missed);
        !mem::replace(&mut waiting.is_announced, true)
    }
}
