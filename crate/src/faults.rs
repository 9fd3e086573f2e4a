//! Faults on purpose: connections that echo late, slowly, in pieces, not all or never, so that a client's author sees what
//! the client does then.
//!
//! A connection without faults meets nothing of this but one branch. One with faults waits for its next write by a timer,
//! and neither reads nor polls meanwhile, so it owes at most one buffer and costs no CPU time.

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::{Connection, Cut, Next, Unsent};
use crate::context::Context;
use crate::error::Result;
use crate::poller::Interest;
use crate::syscalls;

/// In so many writes go the bytes of a second, if no chunk is given.
const SLICES_PER_SECOND: u64 = 200;

/// So far a write that was late is caught up with: together a burst is at most 10 ms of the rate.
const SLICE: Duration = Duration::from_millis(1000 / SLICES_PER_SECOND);

/// How long a reset waits after the last echo: a client that finds the last bytes and the reset in one look of its poller may
/// take the reset for an end, as libuv does.
const CUT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection does when it has echoed a number of bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It resets.
    Reset,
    /// It ends, although more input may wait.
    End,
    /// It neither echoes nor reads any more.
    Stall,
}

/// How connections misbehave.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// How long what was read waits before it is written, from and to.
    pub delay: (Duration, Duration),
    /// The most bytes that a connection echoes per second; 0 is no limit.
    pub rate: u64,
    /// The most bytes that one write takes; 0 is no limit.
    pub chunk: usize,
    /// What happens after so many bytes.
    pub fate: Option<(u64, Fate)>,
    /// The part of the connections that is hit, from 0 to 1.
    pub share: f64,
    /// What the random delays follow from.
    pub seed: u64,
}

/// Deals out faults to the connections of a server.
#[derive(Default)]
pub struct Dealer(Mutex<Option<(Faults, u64)>>);

impl Dealer {
    /// From now on connections have these faults, counted anew. Those that do nothing are none.
    pub fn set(&self, faults: Option<Faults>) {
        let is_any = |it: &Faults| !it.delay.1.is_zero() || it.rate > 0 || it.chunk > 0 || it.fate.is_some();
        *self.dealt() = faults.filter(is_any).map(|faults| (faults, 0));
    }

    /// The fault of the next connection, if it is hit. Of each n connections the share is hit, rounded up, beginning with
    /// the first.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 connections")]
    pub fn deal(&self) -> Option<Box<Fault>> {
        let mut dealt = self.dealt();
        let (faults, count) = dealt.as_mut()?;
        // More than 0.07 * 100 is wrong by.
        let share = faults.share * (1.0 - 1e-12);
        let hit = |count: u64| (count as f64 * share).ceil();
        *count += 1;
        (hit(*count) > hit(*count - 1)).then(|| Box::new(Fault::new(faults, *count)))
    }

    fn dealt(&self) -> MutexGuard<'_, Option<(Faults, u64)>> {
        // What it holds is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fault of one connection, and how far it is.
pub struct Fault {
    faults: Faults,
    random: u64,
    /// How many bytes may be echoed before the fate.
    left: u64,
    stage: Stage,
    /// The next write comes not before this moment, because of the rate.
    paced: Option<Instant>,
    /// When to go on, if that is not up to an event.
    due: Option<Instant>,
    /// What the poller waits for.
    interest: Interest,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Stage {
    Echoing,
    Stalled,
    /// Waits a moment.
    Pausing(Cut),
    /// Waits until the peer has everything.
    Cutting(Cut),
}

impl Fault {
    fn new(faults: &Faults, number: u64) -> Self {
        Self {
            faults: *faults,
            random: faults.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number,
            left: faults.fate.map_or(u64::MAX, |(after, _)| after),
            stage: Stage::Echoing,
            paced: None,
            due: None,
            interest: Interest::Readable,
        }
    }

    /// Whether it holds something back, so that its connection is not idle.
    pub fn is_holding(&self) -> bool {
        matches!(self.stage, Stage::Echoing | Stage::Pausing(_)) && self.due.is_some()
    }

    /// Whether it neither reads nor echoes any more.
    pub fn is_stalled(&self) -> bool {
        self.stage == Stage::Stalled
    }

    /// Whether it is about to reset its connection.
    pub fn is_resetting(&self) -> bool {
        matches!(self.stage, Stage::Pausing(Cut::Reset) | Stage::Cutting(Cut::Reset))
    }

    /// What the poller is to wait for.
    pub fn wanted(&self, unsent: bool, is_draining: bool) -> Interest {
        match self.stage {
            Stage::Stalled if is_draining => Interest::Both,
            Stage::Stalled | Stage::Pausing(_) | Stage::Cutting(_) => Interest::Nothing,
            Stage::Echoing if self.due.is_some() => Interest::Nothing,
            Stage::Echoing if unsent => Interest::Writable,
            Stage::Echoing if is_draining => Interest::Both,
            Stage::Echoing => Interest::Readable,
        }
    }

    /// When what was read just now is due.
    pub fn hold(&mut self, now: Instant) -> Option<Instant> {
        let (from, to) = self.faults.delay;
        let delay = from + to.saturating_sub(from).mul_f64(self.next_random());
        let due = self.paced.unwrap_or(now).max(now + delay);
        (due > now).then_some(due)
    }

    /// The next of a sequence of numbers from 0 to 1: splitmix64.
    #[expect(clippy::cast_precision_loss, reason = "a delay needs no more")]
    fn next_random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }

    /// The most bytes that one write takes.
    pub fn piece(&self) -> usize {
        let Faults { chunk, rate, .. } = self.faults;
        let slice = usize::try_from(rate / SLICES_PER_SECOND).unwrap_or(usize::MAX).max(1);
        let limits = [(chunk > 0).then_some(chunk), (rate > 0).then_some(slice)];
        limits.into_iter().flatten().min().unwrap_or(usize::MAX)
    }

    /// Counts what was written, and says when the next write is due.
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more")]
    pub fn note_written(&mut self, now: Instant, written: usize) -> Option<Instant> {
        self.left -= written as u64;
        if self.faults.rate > 0 {
            let begin = self.paced.map_or(now, |paced| paced.max(now.checked_sub(SLICE).unwrap_or(now)));
            self.paced = Some(begin + Duration::from_secs_f64(written as f64 / self.faults.rate as f64));
        }
        self.paced.filter(|paced| *paced > now)
    }

    /// Does for its connection what can be done now.
    fn advance(&mut self, connection: &mut Connection, context: &mut Context) -> Result<Next> {
        let now = Instant::now();
        if self.due.is_some_and(|due| now < due) {
            // While it waits for nothing, only the loss of the connection comes as an event.
            return syscalls::take_error(&connection.socket).map(|()| Next::Wait);
        }
        self.due = None;
        let next = match self.stage {
            Stage::Echoing => self.echo(connection, context, now)?,
            Stage::Stalled => stall(connection, context)?,
            Stage::Pausing(cut) | Stage::Cutting(cut) => self.cut(connection, cut, now)?,
        };
        if !matches!(next, Next::Wait | Next::Continue | Next::WaitFor(_)) {
            return Ok(next);
        }
        let is_unsent = connection.unsent.is_some() || connection.is_ended;
        let interest = self.wanted(is_unsent, connection.is_draining);
        let is_same = mem::replace(&mut self.interest, interest) == interest;
        Ok(if is_same { next } else { Next::WaitFor(interest) })
    }

    fn echo(&mut self, connection: &mut Connection, context: &mut Context, now: Instant) -> Result<Next> {
        let mut next = Next::Wait;
        if connection.unsent.is_none() && self.left > 0 {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX);
            match connection.read(context, most)? {
                None => return Ok(connection.at_pause()),
                Some(0) => return connection.at_end(),
                Some(read) => {
                    connection.unsent = Some(Box::new(Unsent::new(&context.buffer[..read], &context.shared)));
                    // Not from `now`: it may have come since.
                    self.due = self.hold(Instant::now());
                    next = Next::Continue;
                }
            }
        }
        if self.due.is_none() && connection.unsent.is_some() {
            let written = connection.write_unsent(self.piece(), &context.counters)?;
            // With nothing left to write it waits for nothing.
            self.due = self.note_written(now, written).filter(|_| connection.unsent.is_some());
            next = if written > 0 { Next::Continue } else { next };
        }
        if self.left == 0 { self.meet_fate(connection, context, now) } else { Ok(next) }
    }

    fn meet_fate(&mut self, connection: &Connection, context: &mut Context, now: Instant) -> Result<Next> {
        match self.faults.fate {
            Some((0, Fate::Reset)) => Ok(Next::Cut(Cut::Reset)),
            Some((_, Fate::Reset)) => Ok(self.cut_later(Stage::Pausing(Cut::Reset), now)),
            Some((_, Fate::Stall)) => {
                self.stage = Stage::Stalled;
                stall(connection, context)
            }
            Some((_, Fate::End)) | None => self.cut(connection, Cut::Close, now),
        }
    }

    /// Cuts the connection once the peer has everything: a reset, or a close with unread input, would destroy what is on its
    /// way.
    fn cut(&mut self, connection: &Connection, cut: Cut, now: Instant) -> Result<Next> {
        syscalls::take_error(&connection.socket)?;
        let is_all_there = syscalls::unacknowledged(&connection.socket)? == 0;
        Ok(if is_all_there { Next::Cut(cut) } else { self.cut_later(Stage::Cutting(cut), now) })
    }

    fn cut_later(&mut self, stage: Stage, now: Instant) -> Next {
        self.stage = stage;
        self.due = Some(now + CUT_PAUSE);
        Next::Wait
    }
}

/// Fails once the peer has reset the connection: it is not read, so nothing else would tell. In a stop what waits is read and
/// dropped, or closing would send a RST.
fn stall(connection: &Connection, context: &mut Context) -> Result<Next> {
    syscalls::take_error(&connection.socket)?;
    Ok(match connection.is_draining {
        true if connection.read(context, usize::MAX)?.is_none_or(|read| read == 0) => Next::Linger,
        true => Next::Continue,
        false => Next::Wait,
    })
}

/// The timers of the faults of one thread.
#[derive(Default)]
pub struct FaultTimers(BTreeSet<(Instant, usize)>);

impl FaultTimers {
    /// Does what can be done now for a connection, with the fault that it has.
    pub fn advance(&mut self, context: &mut Context, connection: &mut Connection, slot: usize) -> Result<Next> {
        let Some(mut fault) = connection.take_fault() else { return Ok(Next::Wait) };
        self.forget(&fault, slot);
        let next = fault.advance(connection, context);
        self.0.extend(fault.due.map(|due| (due, slot)));
        connection.set_fault(fault);
        next
    }

    /// Forgets the timer of a connection.
    pub fn forget(&mut self, fault: &Fault, slot: usize) {
        if let Some(due) = fault.due {
            self.0.remove(&(due, slot));
        }
    }

    /// The slots of the connections whose time has come, at most so many. Each is to be advanced.
    pub fn due(&self, most: usize) -> Vec<usize> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0.range(..(Instant::now(), usize::MAX)).map(|(_, slot)| *slot).take(most).collect()
    }

    /// When the next timer is due.
    pub fn next(&self) -> Option<Instant> {
        self.0.first().map(|(due, _)| *due)
    }
}
