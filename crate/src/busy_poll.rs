//! Whether to poll for a while before sleeping.
//!
//! On a quiet machine most of a round trip is the sleep in `epoll_wait(2)` and the way out of it. Polling without
//! sleeping saves both, as long as the next event comes soon; the rest of the time it would only burn the CPU.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::syscalls;

/// So many polls in a row that found nothing end the polling: what comes, comes too late for it.
const MAX_MISSES: u32 = 3;

/// More events than this in one wait share the cost of its sleep: polling instead would save them little, and cost a
/// twentieth of the CPU time at 50 connections.
const FEW_EVENTS: usize = 4;

/// So many bytes in one turn are part of a bulk transfer: what the next round trip costs no longer matters.
const BULK: u64 = 16 * 1024;

/// So many turns in a row without as many end the transfer. One alone may bring the last bytes of a large message: to poll after
/// each of those cost a twelfth of the CPU time with messages of 1 MiB.
const SMALL_TURNS: u32 = 4;

/// Polls before sleeping while that pays.
pub struct BusyPoll {
    /// How long to poll; zero never does.
    time: Duration,
    /// Polls in a row that found nothing.
    misses: u32,
    /// Turns in a row that moved no bulk, as far as they count.
    small_turns: u32,
}

impl BusyPoll {
    /// Polls at most `time`. Never where the process has one CPU: there the other side can only run while we sleep.
    pub fn new(time: Duration, cpus: usize) -> Self {
        Self { time: if cpus > 1 { time } else { Duration::ZERO }, misses: 0, small_turns: SMALL_TURNS }
    }

    /// Notes a turn of so many events that echoed so many bytes, and says whether polling may save time after it: between the
    /// messages of a few. In a bulk transfer, where a wake-up serves many, or where nobody is connected, it only costs.
    pub fn may_pay(&mut self, events: usize, echoed: u64, is_deserted: bool) -> bool {
        self.small_turns = if echoed < BULK { (self.small_turns + 1).min(SMALL_TURNS) } else { 0 };
        self.small_turns == SMALL_TURNS && events <= FEW_EVENTS && !is_deserted
    }

    /// Waits with `wait`, whose argument says how long it may sleep (`None`: without end), and which returns how many
    /// events came. Goes to sleep at once unless `may_poll`; polling and sleep take no longer than `timeout` on the clock
    /// `now`. Fails as `wait` does.
    pub fn wait(
        &mut self,
        may_poll: bool,
        timeout: Option<Duration>,
        now: impl Fn() -> Instant,
        mut wait: impl FnMut(Option<Duration>) -> Result<usize>,
    ) -> Result<usize> {
        if self.time.is_zero() || !may_poll || timeout == Some(Duration::ZERO) {
            return wait(timeout);
        }
        let start = now();
        let end = start + timeout.map_or(self.time, |timeout| timeout.min(self.time));
        if self.misses < MAX_MISSES {
            loop {
                let events = wait(Some(Duration::ZERO))?;
                if events > 0 {
                    self.misses = 0;
                    return Ok(events);
                }
                if now() >= end {
                    self.misses += 1;
                    break;
                }
                // Where cores are short, the other side runs now.
                syscalls::yield_now();
            }
        }
        let events = wait(timeout.map(|timeout| timeout.saturating_sub(now().saturating_duration_since(start))))?;
        // A sleep so short that polling would have met the event that ended it: it pays again.
        if events > 0 && now().saturating_duration_since(start) < self.time {
            self.misses = 0;
        }
        Ok(events)
    }
}
