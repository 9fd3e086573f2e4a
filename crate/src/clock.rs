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

    /// Lets it run before a wait.
    pub fn run(&mut self, at: impl FnOnce() -> Instant) {
        self.read_at.get_or_insert_with(at);
    }

    /// Lets it stand still.
    pub fn pause(&mut self) {
        self.read_at = None;
    }

    /// Goes on to the end of a wait that was to take no longer than `timeout`.
    pub fn advance(&mut self, at: Instant, timeout: Duration) {
        let passed = at - self.read_at.unwrap_or(at);
        let counted = if passed > timeout + MOST_LATE { timeout } else { passed };
        *self = Self { now: self.now + counted, before: self.now, read_at: Some(at) };
    }
}
