//! How a stop drains a connection on which much has come: until its client has ended, or sends nothing for a while.
//!
//! What a client handed to its kernel before the stop is not all here when there is nothing left to read. While the receive buffer was full
//! the rest waited there, and it comes a round trip after the buffer has been read. It looks like the next message of a client that
//! goes on as soon as it has its answer, and would never be done. So the last answer is held back: what comes all the
//! same was on its way, and from a client that waits for the answer nothing comes.

use std::time::Duration;

use crate::clock::Moment;

/// Fewer bytes fill no receive buffer.
pub const BULK: usize = 16 * 1024;

/// How much is drained at most beyond what waits to be read: four times what Linux lets a client's kernel hold of it (`tcp_wmem` of tcp(7)).
/// A client that sends without a pause would never be done either.
pub const MOST: usize = 16 * 1024 * 1024;

/// How many round trips a client is to be quiet. One is what its next bytes take at most.
pub const ROUND_TRIPS: u32 = 4;

/// How long it is to be quiet at least: its machine may be busy.
pub const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// The same where much waits to be read. The buffer may have been full, and what came then was dropped: the client's kernel sends it again
/// after 200 ms (`TCP_RTO_MIN` of Linux) and a round trip.
pub const SHORTEST_PAUSE_BEHIND: Duration = Duration::from_millis(300);

/// And at most.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What has come in on a connection.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// All bytes so far.
    pub bytes: u64,
    /// How many of them were not read yet.
    pub waiting: usize,
    /// When the last ones came: so long ago.
    pub since: Duration,
    /// How long a round trip takes.
    pub round_trip: Duration,
}

/// The drain of one connection.
pub struct Drain {
    pause: Duration,
    left: usize,
    /// When its client has been quiet long enough, while it is quiet.
    until: Option<Moment>,
    is_over: bool,
}

impl Drain {
    /// The drain of a connection on which this has come in; `None` if nothing can be on its way.
    pub fn new(received: Received) -> Option<Self> {
        let is_behind = received.waiting >= BULK;
        let shortest = if is_behind { SHORTEST_PAUSE_BEHIND } else { SHORTEST_PAUSE };
        let pause = (received.round_trip * ROUND_TRIPS).clamp(shortest, LONGEST_PAUSE);
        let may_come = received.bytes >= BULK as u64 && (is_behind || received.since < pause);
        may_come.then_some(Self { pause, left: received.waiting + MOST, until: None, is_over: false })
    }

    /// Whether nothing is held back any more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// When its client has been quiet long enough, while it is quiet.
    pub fn until(&self) -> Option<Moment> {
        self.until
    }

    /// Whether it has taken so much that the connection is to end, whatever comes.
    pub fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Notes that so many bytes were read, and that its client is quiet from now on. The drain is over if the stop ends before its client
    /// could have been quiet long enough.
    pub fn note_read(&mut self, bytes: usize, now: Moment, deadline: Moment) {
        let until = now.saturating_add(self.pause);
        self.left = self.left.saturating_sub(bytes);
        self.is_over = until >= deadline;
        self.until = (!self.is_over && !self.is_full()).then_some(until);
    }

    /// It is not up to its client: what it is owed finds no room.
    pub fn break_pause(&mut self) {
        self.until = None;
    }

    /// It has been quiet long enough.
    pub fn end(&mut self) {
        *self = Self { until: None, is_over: true, ..*self };
    }
}
