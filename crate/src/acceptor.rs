//! What only the first I/O thread of a server does: it accepts, deals the connections that last out to all threads in turn, and
//! turns away those over the limit. It pauses when there are no descriptors or no memory for the clients in the backlog, or when too
//! many of them wait for a place.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::connection::{Connection, Stay};
use crate::connections::Connections;
use crate::context::Context;
use crate::error::Error;
use crate::mailbox::{CatchUp, Mailbox, Message};
use crate::poller::{Interest, PER_TURN, Source};
use crate::sends::Sends;
use crate::syscalls;

/// How many connections over the limit may wait for a place at once. The others wait in the backlog.
const MOST_OVER_LIMIT: usize = 256;

/// How long it pauses at most. The end of a connection ends the pause sooner. Other parts of the process and other
/// processes free descriptors too, and nobody tells of it.
const PAUSE: Duration = Duration::from_millis(100);

/// So many broken connections in a row are the fault of something else: it pauses, or the loop would spin.
const BROKEN_IN_A_ROW: usize = 64;

/// The first thread's own.
pub struct Acceptor {
    /// Gone when a stop has taken the last connections from the backlog.
    listener: Option<OwnedFd>,
    /// It pauses until this moment, or until those over the limit are decided about. The poller does not report the listener
    /// meanwhile: level-triggered, one that cannot be served would wake the loop without end.
    paused_until: Option<Moment>,
    /// How many more clients a stop takes from the backlog. Without a bound, new ones could keep it going.
    left_to_take: usize,
    /// How many connections were open when the pause began.
    open_when_paused: usize,
    /// Accepted over the limit. They wait until all threads have served earlier ends, which may free a place.
    over_limit: VecDeque<Connection>,
    /// While the threads catch up, and how many were waiting when that began.
    catch_up: Option<(Weak<CatchUp>, usize)>,
    /// The mailboxes of all threads, this one's first.
    mailboxes: Vec<Mailbox>,
    /// Other threads that have not ended.
    pub running: usize,
    /// Who has the last connection that was dealt out.
    last_dealt: usize,
    /// The number of the last connection that is told of.
    last_id: u64,
}

impl Acceptor {
    /// For a listener that is registered with the first thread's poller.
    pub fn new(listener: OwnedFd, backlog: i32, mailboxes: Vec<Mailbox>) -> Self {
        Self {
            listener: Some(listener),
            paused_until: None,
            // Linux lets one more wait than listen(2) was told.
            left_to_take: usize::try_from(backlog).unwrap_or(0) + 1,
            open_when_paused: 0,
            over_limit: VecDeque::new(),
            catch_up: None,
            running: mailboxes.len() - 1,
            last_dealt: mailboxes.len() - 1,
            mailboxes,
            last_id: 0,
        }
    }

    /// Accepts at most `max` connections, and says how many it took.
    pub fn accept(&mut self, context: &mut Context, table: &mut Connections, sends: &mut Sends, max: usize) -> usize {
        for accepted in 0..max {
            if self.over_limit.len() >= MOST_OVER_LIMIT {
                self.pause(context);
                return accepted;
            }
            let Some((socket, peer)) = self.accept_next(context) else { return accepted };
            let record = context.shared.log.record(peer);
            let connection = Connection::new(socket, sends.note_accepted(peer), record);
            if self.over_limit.is_empty() && has_room(context) {
                self.admit(context, table, connection);
            } else {
                self.over_limit.push_back(connection);
            }
        }
        max
    }

    /// Puts sends to this server on the wire, and accepts their connections. Each begins when the one before is accepted: many at
    /// once could take every descriptor that is left, and none for the server's side of them, or fill the backlog.
    pub fn start_sends(&mut self, context: &mut Context, table: &mut Connections, sends: &mut Sends) {
        for _ in 0..PER_TURN {
            if sends.is_any_unaccepted() {
                if self.accept(context, table, sends, 1) == 0 {
                    if !self.is_paused() {
                        sends.look_at_unaccepted(context);
                    }
                    return;
                }
            } else if self.is_paused() || !sends.start_next(context) {
                return;
            }
        }
    }

    /// Takes one connection from the backlog, with the address of its peer, if a client waits there and can be served now.
    fn accept_next(&mut self, context: &Context) -> Option<(OwnedFd, SocketAddrV4)> {
        let listener = self.listener.as_ref().filter(|_| !self.is_paused())?;
        for _ in 0..BROKEN_IN_A_ROW {
            match syscalls::accept(listener) {
                Ok(accepted) => return Some(accepted),
                Err(Error { errno: libc::EAGAIN, .. }) => return None,
                // Said also where no client waits.
                Err(Error { errno: libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM, .. }) => {
                    if syscalls::is_readable(listener).is_ok_and(|is_readable| !is_readable) {
                        return None;
                    }
                    break;
                }
                // ECONNABORTED, EPERM and the like (accept(2)): the connection is gone. There may be others behind it.
                Err(_) => {}
            }
        }
        self.pause(context);
        None
    }

    fn pause(&mut self, context: &Context) {
        if let Some(listener) = self.listener.as_ref().filter(|_| !self.is_paused()) {
            context.poller.remove(listener);
            self.open_when_paused = context.shared.open.load(Relaxed);
            self.paused_until = Some(context.clock.after(PAUSE));
        }
    }

    /// Ends a pause. If that fails it goes on.
    fn resume(&mut self, context: &Context) {
        if let Some(listener) = self.listener.as_ref().filter(|_| self.is_paused()) {
            // In case it was not removed: then it could not be added.
            context.poller.remove(listener);
            let resumed = context.poller.add(listener, Source::Listener, Interest::Readable);
            self.paused_until = resumed.err().map(|_| context.clock.after(PAUSE));
        }
    }

    /// Decides about the connections over the limit once all threads have served the ends that came before them.
    ///
    /// It admits as many as there is room for, and turns away only if there is none: a client that it has just admitted
    /// may already be gone, and may be the next one in line.
    #[inline]
    pub fn decide(&mut self, context: &mut Context, connections: &mut Connections) {
        if !self.over_limit.is_empty() {
            self.decide_now(context, connections);
        }
    }

    /// Apart from what each turn of the loop asks.
    fn decide_now(&mut self, context: &mut Context, connections: &mut Connections) {
        if let Some((_, count)) = self.catch_up.take_if(|(catch_up, _)| catch_up.strong_count() == 0) {
            // What the others did before is to be seen: `open` is lower where connections ended.
            fence(Acquire);
            let before = self.over_limit.len();
            while has_room(context)
                && let Some(connection) = self.over_limit.pop_front()
            {
                self.admit(context, connections, connection);
            }
            if self.over_limit.len() == before {
                for mut connection in self.over_limit.drain(..count) {
                    context.counters.rejected.add(1);
                    context.log.dropped(connection.take_record());
                    connections.lingering.turn_away(context, connection.socket);
                }
            }
            // Too many may have waited.
            self.resume(context);
            // A stop may have waited for this: it goes on with the next turn.
            self.mailboxes[0].waker.wake();
        }
        if self.catch_up.is_none() && !self.over_limit.is_empty() {
            let catch_up = Arc::new(CatchUp(Arc::clone(&self.mailboxes[0].waker)));
            for thread in &self.mailboxes {
                // One that has ended has nothing to catch up with.
                thread.post(Message::CatchUp(Arc::clone(&catch_up)));
            }
            self.catch_up = Some((Arc::downgrade(&catch_up), self.over_limit.len()));
        }
    }

    fn admit(&mut self, context: &mut Context, connections: &mut Connections, mut connection: Connection) {
        if let Some(record) = connection.record() {
            self.last_id += 1;
            record.id = self.last_id;
        }
        if let Some(fault) = context.shared.faults.deal() {
            connection.set_fault(fault);
        }
        // First: no one is to see more connections open than there ever were.
        context.counters.connections.add(1);
        context.shared.open.fetch_add(1, Release);
        if self.deals(context) && connection.stay == Stay::Settled {
            if connection.extras.is_none() {
                connection.stay = Stay::New;
            } else if let other @ 1.. = self.next_thread() {
                // At once: its events name the thread and slot by which the owner cuts it.
                return self.hand_over(connection, other);
            }
        }
        connections.adopt(context, connection);
    }

    /// Deals a connection out that has shown that it lasts. Not while the threads catch up: the end of one that is handed over
    /// would be seen by neither.
    pub fn deal_out(&mut self, context: &Context, connections: &mut Connections, slot: usize) {
        if self.catch_up.is_none()
            && let Some(connection) = connections.lasting(slot)
            && self.deals(context)
        {
            match self.next_thread() {
                0 => connection.stay = Stay::Settled,
                other => self.hand_over(connections.remove(context, slot), other),
            }
        }
    }

    /// Whether there are threads to deal connections out to: in a stop they may have ended.
    fn deals(&self, context: &Context) -> bool {
        self.mailboxes.len() > 1 && !context.is_stopping()
    }

    fn next_thread(&mut self) -> usize {
        self.last_dealt = (self.last_dealt + 1) % self.mailboxes.len();
        self.last_dealt
    }

    fn hand_over(&self, connection: Connection, thread: usize) {
        // A thread that has ended takes nothing: it has failed, and the server is about to end.
        self.mailboxes[thread].post(Message::Adopt(connection));
    }

    /// When to call [`Self::run_timers`]. It looks at each step of the clock, as nobody tells that another thread has closed
    /// a connection.
    pub fn next_timer(&self, clock: &Clock) -> Option<Moment> {
        self.paused_until.map(|until| clock.toward(until))
    }

    /// Ends a pause that is over, or when a connection has closed.
    pub fn run_timers(&mut self, context: &Context) {
        let has_closed = context.shared.open.load(Relaxed) < self.open_when_paused;
        if self.paused_until.is_some_and(|until| has_closed || context.clock.has_passed(until)) {
            self.resume(context);
        }
    }

    /// Takes what waits in the backlog, and closes the listener when no send needs it any more; true when all is done.
    pub fn take_backlog(&mut self, context: &mut Context, connections: &mut Connections, sends: &mut Sends) -> bool {
        if !sends.need_listener() && !self.is_paused() {
            let max = self.left_to_take.min(PER_TURN);
            let accepted = self.accept(context, connections, sends, max);
            self.left_to_take -= accepted;
            let is_empty = accepted < max && !self.is_paused();
            if (is_empty || self.left_to_take == 0)
                && let Some(listener) = self.listener.take()
            {
                // Clients that still wait in the backlog are reset by the kernel.
                context.poller.remove(&listener);
                self.paused_until = None;
            }
        }
        self.listener.is_none() && self.over_limit.is_empty() && self.running == 0
    }

    /// Whether clients cannot be accepted now.
    pub fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    /// Tells the other threads something.
    pub fn tell_others(&self, message: impl Fn() -> Message) {
        for thread in &self.mailboxes[1..] {
            thread.post(message());
        }
    }
}

fn has_room(context: &Context) -> bool {
    context.shared.open.load(Relaxed) < context.shared.config.max_connections
}
