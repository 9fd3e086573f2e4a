//! Whether to poll for a while before sleeping.
//!
//! On a quiet machine most of a round trip is the sleep in `epoll_wait(2)` and the way out of it. Polling without
//! sleeping saves both, as long as the next event comes soon; the rest of the time it would only burn the CPU.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Result;

/// So many polls in a row that found nothing end the polling: what comes, comes too late for it.
const MAX_MISSES: u32 = 3;

/// Polls before sleeping while that pays.
pub struct BusyPoll {
    /// How long to poll; zero never does.
    time: Duration,
    /// Polls in a row that found nothing.
    misses: u32,
}

impl BusyPoll {
    /// Polls at most `time`. Never where the process has one CPU: there the other side can only run while we sleep.
    pub fn new(time: Duration) -> Self {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Self { time: if cpus > 1 { time } else { Duration::ZERO }, misses: 0 }
    }

    /// Waits with `wait`, whose argument says how long it may sleep (`None`: without end), and which returns how many
    /// events came. Goes to sleep at once unless `may_poll`; polling and sleep take no longer than `timeout`. Fails as
    /// `wait` does.
    pub fn wait(
        &mut self,
        may_poll: bool,
        timeout: Option<Duration>,
        mut wait: impl FnMut(Option<Duration>) -> Result<usize>,
    ) -> Result<usize> {
        if self.time.is_zero() || !may_poll || timeout == Some(Duration::ZERO) {
            return wait(timeout);
        }
        let start = Instant::now();
        let end = start + timeout.map_or(self.time, |timeout| timeout.min(self.time));
        if self.misses < MAX_MISSES {
            loop {
                let events = wait(Some(Duration::ZERO))?;
                if events > 0 {
                    self.misses = 0;
                    return Ok(events);
                }
                if Instant::now() >= end {
                    self.misses += 1;
                    break;
                }
                // Where cores are short, the other side runs now.
                thread::yield_now();
            }
        }
        let events = wait(timeout.map(|timeout| timeout.saturating_sub(start.elapsed())))?;
        // A sleep so short that polling would have met the event that ended it: it pays again.
        if events > 0 && start.elapsed() < self.time {
            self.misses = 0;
        }
        Ok(events)
    }
}
