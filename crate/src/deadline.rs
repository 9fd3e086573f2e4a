//! A moment at which something is given up, unless nobody could have served it until then.

use std::time::{Duration, Instant};

/// Later than this a thread comes to a deadline only if it could not run: the process was stopped, or others took the CPU.
const LATE: Duration = Duration::from_millis(20);

/// The most that a deadline is put off.
const MOST: Duration = Duration::from_secs(1);

/// A deadline. A thread that comes to it late puts it off once, by as much as it is late, a second at most: what has come in
/// meanwhile waits to be served.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// When it passes.
    pub at: Instant,
    was_put_off: bool,
}

impl Deadline {
    /// A deadline at this moment.
    pub fn new(at: Instant) -> Self {
        Self { at, was_put_off: false }
    }

    /// Whether it has passed. A late answer puts it off.
    pub fn has_passed(&mut self, now: Instant) -> bool {
        let Some(late) = now.checked_duration_since(self.at) else { return false };
        if late <= LATE || self.was_put_off {
            return true;
        }
        *self = Self { at: now + late.min(MOST), was_put_off: true };
        false
    }

    /// Moves it to an earlier moment.
    pub fn shorten(&mut self, at: Instant) {
        self.at = self.at.min(at);
    }
}
