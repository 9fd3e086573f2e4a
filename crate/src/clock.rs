//! The clock of one I/O thread, by which all its timers go. It leaves out the time in which the thread could not run: what
//! comes in while the process is stopped, or while others have the CPU, is served before a deadline cuts it off.

use std::time::{Duration, Instant};

/// How much longer than asked a wait and the turn before it may take. What takes longer is a stall.
const MOST_LATE: Duration = Duration::from_millis(50);

/// How long to wait at most on the way to a deadline. A stall cannot be told from a wait, so this is what counts of it.
const STEP: Duration = Duration::from_millis(25);

/// A clock. It stands still while there are no timers.
#[derive(Default)]
pub struct Clock {
    now: Duration,
    before: Duration,
    /// When it was last read, while it runs.
    read_at: Option<Instant>,
}

impl Clock {
    /// The moment at which the last wait ended.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The moment this much later.
    pub fn after(&self, time: Duration) -> Duration {
        self.now.saturating_add(time)
    }

    /// Whether a moment had passed before the last wait. So whatever was ready by then has been served.
    pub fn has_passed(&self, moment: Duration) -> bool {
        moment <= self.before
    }

    /// When to end the next wait on the way to a deadline.
    pub fn toward(&self, deadline: Duration) -> Duration {
        deadline.min(self.after(STEP))
    }

    /// How long to wait for a timer: to be asked before each wait, with or without one.
    pub fn timeout(&mut self, timer: Option<Duration>, at: impl FnOnce() -> Instant) -> Option<Duration> {
        self.read_at = timer.map(|_| self.read_at.unwrap_or_else(at));
        timer.map(|timer| timer.saturating_sub(self.now))
    }

    /// Goes on to the end of a wait that was to take no longer than `timeout`.
    pub fn advance(&mut self, at: Instant, timeout: Duration) {
        let passed = at - self.read_at.unwrap_or(at);
        // Turns that are long for want of CPU, one after the other, must reach a deadline too.
        let counted = if passed > timeout + MOST_LATE { timeout.max(STEP) } else { passed };
        *self = Self { now: self.now + counted, before: self.now, read_at: Some(at) };
    }
}
