//! Whether to read from a connection again at once after an echo, instead of going back to the poller.
//!
//! A client that blocks until its answer comes often runs as soon as the answer is written, in place of this thread, and its
//! next message is here before this thread runs on. To read it at once saves the way through the poller, and finds
//! what belongs to the connection still in the cache: a crowd of such clients is served half as often again. A client that
//! waits for events on a core of its own is never so quick, and to read again would only be one more system call. Which kind
//! a thread serves shows by trying.

use std::time::{Duration, Instant};

/// What is here so soon after an echo belongs to the next message only if that is not part of a bulk transfer.
pub const BULK: usize = 16 * 1024;

/// So many messages in a row are worth a try. One alone may only have come late.
pub const FEW: u32 = 3;

/// So many tries in a row that found fewer end the trying. That is much patience: with each try that finds something, a client
/// runs on in place of this thread, and without any they run elsewhere; so the trying brings about what it looks for.
pub const MAX_MISSES: u32 = 1024;

/// After that one of so many echoes is still followed by a try.
pub const ECHOES_PER_PROBE: u32 = 128;

/// How often in a row one connection is read: the others wait meanwhile, for two milliseconds or so.
pub const IN_A_ROW: u32 = 512;

/// How many bytes are read in a row from one connection, for the same reason: a client that sends without a pause sends more at once.
pub const BYTES_IN_A_ROW: usize = 256 * 1024;

/// How often it is done in one turn of the loop: timers, and the other connections, wait meanwhile.
pub const PER_TURN: u32 = 2048;

/// How long it is done in one turn. Where each system call is slow, as under strace, so many tries would take half a second.
pub const TURN_TIME: Duration = Duration::from_millis(20);

/// After so many tries one looks at the clock.
pub const TRIES_PER_LOOK: u32 = 16;

/// Reads again where that pays.
pub struct ReadAgain {
    /// Tries in a row that were not worth it.
    misses: u32,
    /// Echoes since the last try.
    echoes: u32,
    /// How many bytes were read in a row from the connection that is served.
    moved: usize,
    /// How often it may still be done in this turn.
    left: u32,
    /// When it ends in this turn, once it has been done.
    end: Option<Instant>,
}

impl Default for ReadAgain {
    fn default() -> Self {
        Self { misses: MAX_MISSES, echoes: 0, moved: 0, left: PER_TURN, end: None }
    }
}

impl ReadAgain {
    /// Begins a turn of the loop.
    pub fn begin_turn(&mut self) {
        self.left = PER_TURN;
        self.end = None;
    }

    /// Whether to read again from a connection on which so many messages were found in this way, the last message being of so many bytes. A
    /// client that was quick is so again: only the first time is a question. Asks `now` for the time now and then.
    pub fn may_pay(&mut self, found: u32, bytes: usize, now: impl FnOnce() -> Instant) -> bool {
        self.echoes += 1;
        self.moved = if found == 0 { bytes } else { self.moved + bytes };
        if bytes >= BULK || found >= IN_A_ROW || self.moved >= BYTES_IN_A_ROW || self.left == 0 {
            return false;
        }
        let is_tried = found > 0 || self.misses < MAX_MISSES || self.echoes >= ECHOES_PER_PROBE;
        if !is_tried || self.is_late(now) {
            return false;
        }
        self.echoes = 0;
        self.left -= 1;
        true
    }

    fn is_late(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if !self.left.is_multiple_of(TRIES_PER_LOOK) {
            return false;
        }
        let now = now();
        let is_late = now >= *self.end.get_or_insert(now + TURN_TIME);
        if is_late {
            self.left = 0;
        }
        is_late
    }

    /// Notes how many messages were found on a connection in this way. If it was not tried there, none were, and that changes
    /// nothing.
    pub fn note(&mut self, found: u32) {
        if found >= FEW {
            self.misses = 0;
        } else if self.echoes == 0 {
            self.misses = (self.misses + 1).min(MAX_MISSES);
        }
    }
}
