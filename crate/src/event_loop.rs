//! What an I/O thread does: waits, serves what is ready, accepts, carries out commands and timers, and waits again.
//!
//! Input comes first, then limits and timers: otherwise a client would be cut off though its data is here. While the events
//! of one wait are served, only a descriptor's own event may close it. So no event can meet a slot that was given up and taken
//! again in between.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::busy_poll::BusyPoll;
use crate::connections::Connections;
use crate::context::{Context, Source};
use crate::deadline::Deadline;
use crate::front::Front;
use crate::mailbox::{CatchUp, Command, Inbox};
use crate::sends::Settled;

/// How long to wait after an error of `epoll_wait(2)` that ought not to exist, so that it cannot make the loop spin.
const POLL_ERROR_PAUSE: Duration = Duration::from_millis(10);

/// More events than this in one wait share the cost of its sleep: polling instead would save them little, and cost a
/// twentieth of the CPU time at 50 connections.
const FEW_EVENTS: usize = 4;

/// So many bytes in one turn are part of a bulk transfer: what the next round trip costs no longer matters.
const BULK: u64 = 16 * 1024;

/// How many turns a thread takes at most to catch up: others may keep it busy without end.
const CATCH_UP_TURNS: u32 = 16;

/// How far the stop is.
struct Stop {
    deadline: Deadline,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd)]
enum Stage {
    /// The sends end, and the clients in the backlog are accepted.
    Accepting,
    /// The same, but there is no descriptor left: connections end already, those of the sends excepted.
    MakingRoom,
    /// All connections end.
    Draining,
}

/// The state of one I/O thread.
pub struct EventLoop {
    context: Context,
    inbox: Inbox,
    connections: Connections,
    /// Only the first thread has one.
    front: Option<Front>,
    busy_poll: BusyPoll,
    /// To be dropped when what was ready at the last commands has been served.
    catching_up: Vec<Arc<CatchUp>>,
    /// In how many turns the thread may still find more of that.
    catch_up_turns: u32,
    stop: Option<Stop>,
}

impl EventLoop {
    /// The loop of one thread.
    pub fn new(context: Context, inbox: Inbox, front: Option<Front>) -> Self {
        let config = &context.shared.config;
        let connections = Connections::new(config.idle_timeout);
        let busy_poll = BusyPoll::new(config.busy_poll);
        Self { context, inbox, connections, front, busy_poll, catching_up: Vec::new(), catch_up_turns: 0, stop: None }
    }

    /// Serves until it is told to stop, and says after each turn which sends are over.
    pub fn run(&mut self, mut on_settled: impl FnMut(Vec<Settled>)) {
        let mut may_poll = false;
        loop {
            let bytes = self.context.counters.bytes.get();
            let timer = self.next_timer();
            let events = self.wait(may_poll, timer);
            self.serve(events);
            if timer.is_some() {
                self.run_timers();
            }
            if let Some(front) = &mut self.front {
                front.start_sends(&mut self.context, &mut self.connections);
            }
            let is_over = self.advance_stop();
            if let Some(front) = &mut self.front {
                front.decide(&mut self.context, &mut self.connections);
                if is_over {
                    front.sends.cancel_all(&self.context);
                }
                let settled = front.sends.take_settled();
                if !settled.is_empty() {
                    on_settled(settled);
                }
            }
            if is_over {
                return;
            }
            // Polling saves time between the messages of a few; in a bulk transfer, where a wake-up serves many, or where
            // nobody is connected, it only costs.
            let is_bulk = self.context.counters.bytes.get().wrapping_sub(bytes) >= BULK;
            may_poll = events <= FEW_EVENTS && !is_bulk && !self.connections.is_empty();
        }
    }

    fn wait(&mut self, may_poll: bool, timer: Option<Instant>) -> usize {
        let poller = &mut self.context.poller;
        match self.busy_poll.wait(may_poll, timer, |timeout| poller.wait(timeout)) {
            Ok(events) => events,
            Err(error) => {
                if error.errno != libc::EINTR {
                    thread::sleep(POLL_ERROR_PAUSE);
                }
                0
            }
        }
    }

    /// Serves what is ready: first the open connections, then the clients in the backlog, then the commands.
    fn serve(&mut self, events: usize) {
        let (mut has_clients, mut has_commands, mut was_busy) = (false, false, false);
        for index in 0..events {
            match self.context.poller.token(index).into() {
                Source::Connection(slot) => was_busy |= self.connections.ready(&mut self.context, slot),
                Source::Exchange(slot) => {
                    if let Some(front) = &mut self.front {
                        front.sends.ready(&mut self.context, slot);
                    }
                }
                Source::Lingering(slot) => self.connections.lingering.ready(&mut self.context, slot),
                Source::Listener => has_clients = true,
                Source::Waker => has_commands = true,
            }
        }
        if has_clients && let Some(front) = &mut self.front {
            // As many as other events: a burst of connections does not hold up those that are open, nor they the burst. To
            // go on until accept says EAGAIN would cost a call per connection.
            front.accept(&mut self.context, &mut self.connections, events);
        }
        if has_commands {
            self.catch_up(was_busy);
            self.carry_out_commands();
        }
    }

    /// Has caught up when a turn brought nothing more: the end of a connection comes behind its last message.
    fn catch_up(&mut self, was_busy: bool) {
        if was_busy && self.catch_up_turns > 0 {
            self.catch_up_turns -= 1;
        } else {
            self.catching_up.clear();
        }
    }

    fn carry_out_commands(&mut self) {
        for command in self.inbox.take().collect::<Vec<_>>() {
            match (command, &mut self.front) {
                (Command::Adopt(socket), _) => self.connections.adopt(&self.context, socket),
                (Command::CatchUp(done), _) => {
                    self.catching_up.push(done);
                    self.catch_up_turns = CATCH_UP_TURNS;
                }
                (Command::Stop { deadline, spared }, _) => self.begin_stop(deadline, spared),
                (Command::Send(request), Some(front)) => front.sends.push(request),
                (Command::Cancel(id), Some(front)) => front.sends.cancel(&self.context, id),
                (Command::ThreadEnded, Some(front)) => front.thread_ended(),
                // Only the first thread is told these.
                (Command::Send(_) | Command::Cancel(_) | Command::ThreadEnded, None) => {}
            }
        }
        if !self.catching_up.is_empty() {
            // The poller reports in the order in which things became ready: this wake-up comes after all that is ready now.
            self.inbox.waker.wake();
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        let stop = self.stop.as_ref().map(|stop| stop.deadline.at);
        let front = self.front.as_ref().and_then(Front::next_timer);
        [stop, front, self.connections.next_timer()].into_iter().flatten().min()
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        self.connections.run_timers(&mut self.context, now);
        if let Some(front) = &mut self.front {
            front.run_timers(&mut self.context, now);
        }
    }

    /// Begins a stop, or shortens it.
    fn begin_stop(&mut self, deadline: Instant, spared: Vec<SocketAddrV4>) {
        let stop = self.stop.get_or_insert(Stop { deadline: Deadline::new(deadline), stage: Stage::Accepting });
        stop.deadline.shorten(deadline);
        match &self.front {
            None => self.connections.drain(spared),
            Some(front) if stop.stage > Stage::Accepting => {
                front.stop_others(stop.deadline.at, &spared_in(stop.stage, front));
            }
            Some(_) => {}
        }
    }

    /// Goes on with a stop, if there is one; true at its end.
    ///
    /// First the sends that wait get on the wire, then the listener goes, then the sends end, then the connections. The first
    /// thread ends last: its end cuts the others off, and only it hears that a stop is to be shortened.
    fn advance_stop(&mut self) -> bool {
        let Some(stop) = &mut self.stop else { return false };
        if stop.deadline.has_passed(Instant::now()) {
            return true;
        }
        let Some(front) = &mut self.front else { return self.connections.is_empty() };
        let has_accepted = front.stop_accepting(&mut self.context, &mut self.connections);
        let stage = match (front.sends.is_empty(), front.is_paused()) {
            (true, is_paused) if is_paused || has_accepted => Stage::Draining,
            (false, true) => Stage::MakingRoom,
            _ => Stage::Accepting,
        };
        if stage > stop.stage {
            stop.stage = stage;
            let spared = spared_in(stage, front);
            front.stop_others(stop.deadline.at, &spared);
            self.connections.drain(spared);
        }
        stop.stage == Stage::Draining && has_accepted && self.connections.is_empty() && front.is_last()
    }
}

/// The peers whose connections go on in this stage of a stop.
fn spared_in(stage: Stage, front: &Front) -> Vec<SocketAddrV4> {
    if stage == Stage::MakingRoom { front.sends.addresses() } else { Vec::new() }
}
