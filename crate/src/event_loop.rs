//! What an I/O thread does: waits; serves what is ready, accepts, takes its messages; then timers, sends, the stop and
//! the limit; and waits again.
//!
//! Input comes first, then limits and timers: otherwise a client would be cut off though its data is here. While the
//! events of one wait are served, only a descriptor's own event may close it, and what is accepted is served only after
//! them all. So no event can meet a slot that was given up and taken again in between.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use crate::acceptor::Acceptor;
use crate::busy_poll::BusyPoll;
use crate::clock::Moment;
use crate::connection::Cut;
use crate::connections::Connections;
use crate::context::{Context, read_size};
use crate::error::Error;
use crate::log::HAND_OVER_INTERVAL;
use crate::mailbox::{CatchUp, Inbox, Message};
use crate::poller::{PER_TURN, Source};
use crate::sends::Sends;
use crate::server::{OnReport, Report};
use crate::syscalls;

/// How many clients are accepted at once before all are cut: what Linux lets wait, unless it is told otherwise.
const MOST_BEFORE_CUT: usize = 4096;

/// How many turns a thread takes at most to catch up: others may keep it busy without end.
const CATCH_UP_TURNS: u32 = 16;

/// The state of one I/O thread.
pub struct EventLoop {
    context: Context,
    inbox: Inbox,
    connections: Connections,
    sends: Sends,
    /// Only the first thread of a server has one.
    acceptor: Option<Acceptor>,
    busy_poll: BusyPoll,
    /// To be dropped when all that was ready when it came has been served, after so many more turns at most.
    catching_up: Option<(Arc<CatchUp>, u32)>,
}

impl EventLoop {
    /// The loop of one thread.
    pub fn new(context: Context, inbox: Inbox, sends: Sends, acceptor: Option<Acceptor>) -> Self {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Self {
            connections: Connections::new(context.shared.config.idle_timeout),
            busy_poll: BusyPoll::new(context.shared.config.busy_poll, cpus),
            context,
            inbox,
            sends,
            acceptor,
            catching_up: None,
        }
    }

    /// Serves until a stop is over, and reports after each turn which sends are over and whether there are events.
    pub fn run(&mut self, on_report: &OnReport) {
        let mut may_poll = false;
        loop {
            let bytes = self.context.counters.bytes.get();
            let timer = self.next_timer();
            let events = self.wait(may_poll, timer);
            self.serve(events);
            // Without a timer the clock stood still: nothing can be due.
            if timer.is_some() {
                self.run_timers();
            }
            self.start_sends();
            let is_over = self.advance_stop();
            if let Some(acceptor) = &mut self.acceptor {
                acceptor.decide(&mut self.context, &mut self.connections);
            }
            // A panic on another thread says better than this why they are lost.
            if is_over && self.context.shared.panic.get().is_none() {
                self.sends.cancel_all(&self.context);
            }
            // After a panic on another thread, too, which served them, no result means what it says.
            let settled = mem::take(&mut self.sends.settled);
            if !settled.is_empty() && self.context.shared.panic.get().is_none() {
                on_report(Report::Settled(settled));
            }
            if self.context.log.is_due() {
                self.hand_over_events(on_report);
            }
            if is_over {
                return;
            }
            let echoed = self.context.counters.bytes.get().wrapping_sub(bytes);
            may_poll = self.busy_poll.may_pay(events, echoed, self.connections.is_empty());
        }
    }

    /// Tells the ends of the connections that are cut off with the loop.
    pub fn tell_ends(&mut self, on_report: &OnReport) {
        self.connections.tell_ends(&mut self.context);
        self.hand_over_events(on_report);
    }

    fn hand_over_events(&mut self, on_report: &OnReport) {
        if self.context.log.is_pending() && self.context.log.hand_over() {
            on_report(Report::Events);
        }
    }

    /// Waits for events, or for a timer, and says how many events came.
    fn wait(&mut self, may_poll: bool, timer: Option<Moment>) -> usize {
        let Context { poller, clock, .. } = &mut self.context;
        let timeout = clock.begin_wait(timer, Instant::now);
        let waited = self.busy_poll.wait(may_poll, timeout, Instant::now, |timeout| poller.wait(timeout));
        if let Some(timeout) = timeout {
            clock.end_wait(Instant::now(), timeout);
        }
        waited.unwrap_or_else(|error| {
            if let Some(pause) = pause_after(error) {
                thread::sleep(pause);
                // If it goes on failing, no event tells of a stop.
                self.take_messages();
            }
            0
        })
    }

    /// Serves what is ready: first the sockets, as the poller reports them, then the clients in the backlog, then the
    /// messages.
    fn serve(&mut self, events: usize) {
        self.context.read_size = read_size(events);
        self.context.read_again.begin_turn();
        let (mut has_clients, mut has_messages, mut was_busy) = (false, false, false);
        for index in 0..events {
            match self.context.poller.source(index) {
                Source::Connection(slot) => {
                    was_busy |= self.connections.advance(&mut self.context, slot);
                    if let Some(acceptor) = &mut self.acceptor {
                        acceptor.deal_out(&self.context, &mut self.connections, slot);
                    }
                }
                Source::Exchange(slot) => self.sends.advance(&mut self.context, slot),
                Source::Lingering(slot) => self.connections.lingering.discard_input(&mut self.context, slot),
                Source::Listener => has_clients = true,
                Source::Waker => has_messages = true,
            }
        }
        if has_clients && let Some(acceptor) = &mut self.acceptor {
            // As many as this wait brought events: a burst of connections does not hold up those that are open, nor they the
            // burst. To go on until accept says EAGAIN would cost a call per connection.
            acceptor.accept(&mut self.context, &mut self.connections, &mut self.sends, events);
        }
        if has_messages {
            self.catching_up.take_if(|(_, turns)| has_caught_up(turns, was_busy));
            self.take_messages();
        }
    }

    fn take_messages(&mut self) {
        for message in self.inbox.take().collect::<Vec<_>>() {
            match message {
                Message::Send(outgoing) => self.sends.push(&self.context.clock, outgoing),
                Message::Cancel(id) => self.sends.give_up(&self.context, id, libc::ECANCELED),
                Message::Adopt(connection) => self.connections.adopt(&mut self.context, connection),
                Message::Cut(slot, id, cut) => self.connections.cut(slot, id, cut),
                Message::CutAll(cut, counted) => self.cut_all(cut, &counted),
                Message::CatchUp(catch_up) => self.catching_up = Some((catch_up, CATCH_UP_TURNS)),
                Message::ThreadEnded => self.acceptor.iter_mut().for_each(|acceptor| acceptor.running -= 1),
                Message::Stop(timeout) => self.begin_stop(timeout),
            }
        }
        if self.catching_up.is_some() {
            // One more turn.
            self.inbox.waker.wake();
        }
    }

    fn next_timer(&self) -> Option<Moment> {
        let clock = &self.context.clock;
        // Once it has passed, only messages of the other threads are waited for.
        let stop = self.context.stop_deadline.filter(|deadline| !clock.has_passed(*deadline));
        let stop = stop.map(|deadline| clock.toward(deadline));
        let pause = self.acceptor.as_ref().and_then(|acceptor| acceptor.next_timer(clock));
        let connections = self.connections.next_timer(&self.context);
        let events = self.context.log.is_pending().then(|| clock.after(HAND_OVER_INTERVAL));
        [stop, pause, self.sends.next_timer(clock), connections, events].into_iter().flatten().min()
    }

    fn run_timers(&mut self) {
        self.connections.run_timers(&mut self.context);
        self.sends.run_timers(&mut self.context);
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.run_timers(&self.context);
        }
    }

    /// Puts sends on the wire, as many as may start.
    fn start_sends(&mut self) {
        if self.sends.is_empty() {
            return;
        }
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.start_sends(&mut self.context, &mut self.connections, &mut self.sends);
        } else {
            let _ = (0..PER_TURN).all(|_| self.sends.start_next(&mut self.context));
        }
    }

    /// Cuts all connections, also those of the clients that are connected by now but wait in the backlog.
    fn cut_all(&mut self, cut: Cut, counted: &Sender<usize>) {
        if let Some(acceptor) = &mut self.acceptor {
            thread::sleep(syscalls::DELIVERY);
            acceptor.accept(&mut self.context, &mut self.connections, &mut self.sends, MOST_BEFORE_CUT);
            acceptor.tell_others(|| Message::CutAll(cut, counted.clone()));
        }
        // Fails if nobody waits for it any more.
        let _ = counted.send(self.connections.cut_all(&self.context, cut));
    }

    /// Begins a stop, or shortens it. Connections end from now on, those of the sends with their sends.
    fn begin_stop(&mut self, timeout: Duration) {
        let deadline = self.context.clock.deadline(Instant::now(), timeout);
        if !self.context.is_stopping() {
            // What clients did before the stop is to be here.
            thread::sleep(syscalls::DELIVERY);
            self.connections.drain();
        }
        self.context.stop_deadline = Some(self.context.stop_deadline.map_or(deadline, |before| before.min(deadline)));
        if let Some(acceptor) = &self.acceptor {
            // Each has a clock of its own: that of this one cannot tell what the others could not serve.
            acceptor.tell_others(|| Message::Stop(timeout));
        }
    }

    /// Goes on with a stop, if there is one; true at its end. The first thread ends last.
    fn advance_stop(&mut self) -> bool {
        let Some(deadline) = self.context.stop_deadline else { return false };
        let accepts_no_more = match &mut self.acceptor {
            Some(acceptor) => acceptor.take_backlog(&mut self.context, &mut self.connections, &mut self.sends),
            None => true,
        };
        let is_done = accepts_no_more && self.sends.is_empty() && self.connections.is_empty();
        let others_have_ended = self.acceptor.as_ref().is_none_or(|acceptor| acceptor.running == 0);
        is_done || others_have_ended && self.context.clock.has_passed(deadline)
    }
}

/// How long to wait after an error of the poller, so that one that ought not to exist cannot make the loop spin. A wait that was
/// only interrupted is repeated at once.
pub fn pause_after(error: Error) -> Option<Duration> {
    (error.errno != libc::EINTR).then_some(Duration::from_millis(10))
}

/// Whether a thread has caught up after a turn, of which it takes at most so many more. It has when one brought no input: the end
/// of a connection comes after its last message, so one turn is not enough.
pub fn has_caught_up(turns: &mut u32, was_busy: bool) -> bool {
    *turns -= 1;
    !was_busy || *turns == 0
}
