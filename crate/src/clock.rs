//! The clock of one I/O thread, by which all its timers go. It counts little of the time in which the thread could not
//! run: what comes in while the process is stopped, or while others have the CPU, is served before a deadline cuts it
//! off.

use std::time::{Duration, Instant};

/// How much longer than asked a turn may take to count in full: a wait, and the work between it and the last one.
const MOST_LATE: Duration = Duration::from_millis(25);

/// How long to wait at most on the way to a deadline. With [`MOST_LATE`] it is the most that counts of a stall.
const STEP: Duration = Duration::from_millis(25);

/// A moment on the clock of one thread.
pub type Moment = Duration;

/// A clock. It stands still while there are no timers.
#[derive(Default)]
pub struct Clock {
    now: Moment,
    before: Moment,
    /// When it was last read, while it runs.
    read_at: Option<Instant>,
}

impl Clock {
    /// The end of the last wait that had a timer.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// When that was for everyone else.
    pub fn present(&self) -> Instant {
        self.read_at.unwrap_or_else(Instant::now)
    }

    /// The moment this much later.
    pub fn after(&self, time: Duration) -> Moment {
        self.now.saturating_add(time)
    }

    /// The moment after `last` in a row of moments a step apart. Those that were missed are left out.
    pub fn next_in_row(&self, last: Moment, step: Duration) -> Moment {
        let next = last.saturating_add(step);
        if next > self.now { next } else { self.after(step) }
    }

    /// The moment this much after the present one, which may be long after the last wait. Of a stall in between it adds no
    /// more than counts.
    pub fn deadline(&self, present: Instant, time: Duration) -> Moment {
        let passed = present - self.read_at.unwrap_or(present);
        self.after(time).saturating_add(passed.min(STEP + MOST_LATE))
    }

    /// Whether a moment had passed before the last wait. One wait, of at most 256 events, has been served since.
    pub fn has_passed(&self, moment: Moment) -> bool {
        moment < self.before
    }

    /// When to end the next wait on the way to a deadline.
    pub fn toward(&self, deadline: Moment) -> Moment {
        deadline.min(self.after(STEP))
    }

    /// How long to wait for a timer. To be asked before each wait: it also starts the clock, or stops it without a timer.
    pub fn begin_wait(&mut self, timer: Option<Moment>, present: impl FnOnce() -> Instant) -> Option<Duration> {
        self.read_at = timer.map(|_| self.read_at.unwrap_or_else(present));
        timer.map(|timer| timer.saturating_sub(self.now))
    }

    /// Goes on to the end of a wait that was to take no longer than `timeout`.
    pub fn end_wait(&mut self, present: Instant, timeout: Duration) {
        let passed = present - self.read_at.unwrap_or(present);
        *self = Self { now: self.after(passed.min(timeout + MOST_LATE)), before: self.now, read_at: Some(present) };
    }
}
