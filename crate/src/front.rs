//! What only the first I/O thread of a server does: it accepts, deals the connections out to all threads in turn, turns
//! away those over the limit, and has the sends.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::connections::Connections;
use crate::context::Context;
use crate::listener::Listener;
use crate::mailbox::{CatchUp, Command, Mailbox};
use crate::sends::Sends;

/// How many connections a stop takes from the backlog in one turn: those that are open, and the deadline, have theirs too.
const ACCEPTS_PER_TURN: usize = 256;

/// How many connections over the limit may wait for a place at once. The others wait in the backlog.
const MOST_WAITING: usize = 256;

/// The first thread's own.
pub struct Front {
    /// Gone when a stop has taken the last connections from the backlog.
    listener: Option<Listener>,
    /// How many a stop still takes from the backlog. Clients that come without end would keep it from its own.
    backlog: usize,
    /// How many connections were open when the listener was paused.
    open_when_paused: usize,
    /// Accepted over the limit. A client that ended a connection before may not have its end served yet.
    waiting: VecDeque<OwnedFd>,
    /// While the threads catch up for the first so many of those.
    catch_up: Option<(Weak<CatchUp>, usize)>,
    /// The client's side.
    pub sends: Sends,
    /// The mailboxes of all threads, this one's first.
    threads: Vec<Mailbox>,
    /// Other threads that have not ended.
    running: usize,
    /// Who has the last connection that was dealt out.
    last_dealt: usize,
}

impl Front {
    /// For a listener that is registered with the first thread's poller.
    pub fn new(listener: Listener, backlog: i32, threads: Vec<Mailbox>) -> Self {
        Self {
            sends: Sends::new(destination(listener.address())),
            listener: Some(listener),
            // listen(2) lets one more wait.
            backlog: usize::try_from(backlog).unwrap_or(0).saturating_add(1),
            open_when_paused: 0,
            waiting: VecDeque::new(),
            catch_up: None,
            running: threads.len() - 1,
            threads,
            last_dealt: 0,
        }
    }

    /// Accepts at most `most` connections, and says how many it took.
    pub fn accept(&mut self, context: &mut Context, connections: &mut Connections, most: usize) -> usize {
        for accepted in 0..most {
            if self.waiting.len() >= MOST_WAITING {
                return accepted;
            }
            let Some(socket) = self.listener.as_mut().and_then(|listener| listener.accept(&context.poller)) else {
                self.open_when_paused = context.shared.open.load(Relaxed);
                return accepted;
            };
            if self.waiting.is_empty() && has_room(context) {
                self.admit(context, connections, socket);
            } else {
                self.waiting.push_back(socket);
            }
        }
        most
    }

    /// Decides about the connections over the limit once all threads have served the ends that came before them.
    ///
    /// It admits as many as there is room for, and turns away only if there is none: a client that it has just admitted may
    /// already be gone, and may be the next one in line.
    pub fn decide(&mut self, context: &mut Context, connections: &mut Connections) {
        if let Some((_, mut count)) = self.catch_up.take_if(|(catch_up, _)| catch_up.strong_count() == 0) {
            if has_room(context) {
                while has_room(context)
                    && let Some(socket) = self.waiting.pop_front()
                {
                    self.admit(context, connections, socket);
                }
                count = 0;
            }
            for socket in self.waiting.drain(..count) {
                connections.lingering.turn_away(context, socket);
            }
            // A stop may have waited for this: it goes on with the next turn.
            self.threads[0].waker.wake();
        }
        if self.catch_up.is_none() && !self.waiting.is_empty() {
            let catch_up = Arc::new(CatchUp(Arc::clone(&self.threads[0].waker)));
            for thread in &self.threads {
                // One that has ended has nothing to catch up with.
                thread.post(Command::CatchUp(Arc::clone(&catch_up)));
            }
            self.catch_up = Some((Arc::downgrade(&catch_up), self.waiting.len()));
        }
    }

    fn admit(&mut self, context: &Context, connections: &mut Connections, socket: OwnedFd) {
        // First: no one is to see more connections open than there ever were.
        context.counters.connections.add(1);
        context.shared.open.fetch_add(1, Relaxed);
        if connections.is_draining() {
            connections.spare(self.sends.addresses());
        }
        // The others may have ended when this one drains.
        let threads = if connections.is_draining() { 1 } else { self.threads.len() };
        self.last_dealt = (self.last_dealt + 1) % threads;
        match self.last_dealt {
            0 => connections.adopt(context, socket),
            // A thread that has ended takes nothing: it has failed, and the server is about to end.
            other => drop(self.threads[other].post(Command::Adopt(socket))),
        }
    }

    /// Puts sends on the wire, and accepts after each: 64 at once could take every descriptor that is left, and none for
    /// the server's side of them.
    pub fn start_sends(&mut self, context: &mut Context, connections: &mut Connections) {
        while !self.is_paused() && self.sends.start_next(context) {
            self.accept(context, connections, 1);
        }
    }

    /// When to call [`Self::run_timers`].
    pub fn next_timer(&self) -> Option<Instant> {
        let pause = self.listener.as_ref().and_then(|listener| listener.paused_until);
        pause.into_iter().chain(self.sends.next_timer()).min()
    }

    /// Gives up sends past their deadline, and accepts again.
    pub fn run_timers(&mut self, context: &mut Context, now: Instant) {
        self.sends.run_timers(context, now);
        let has_closed = context.shared.open.load(Relaxed) < self.open_when_paused;
        if let Some(listener) = &mut self.listener
            && listener.paused_until.is_some_and(|at| has_closed || at <= now)
        {
            listener.resume(&context.poller);
        }
    }

    /// Takes those that wait in the backlog, and closes the listener when no send needs it any more; true when that is done.
    pub fn stop_accepting(&mut self, context: &mut Context, connections: &mut Connections) -> bool {
        if !self.sends.is_any_unconnected() && !self.is_paused() {
            let most = self.backlog.min(ACCEPTS_PER_TURN);
            let accepted = self.accept(context, connections, most);
            self.backlog -= accepted;
            let is_empty = accepted < most && !self.is_paused() && self.waiting.len() < MOST_WAITING;
            if (is_empty || self.backlog == 0)
                && let Some(listener) = self.listener.take()
            {
                listener.close(&context.poller);
            }
        }
        self.listener.is_none() && self.waiting.is_empty()
    }

    /// Whether clients cannot be accepted for want of descriptors or memory.
    pub fn is_paused(&self) -> bool {
        self.listener.as_ref().is_some_and(Listener::is_paused)
    }

    /// Notes that another thread has ended.
    pub fn thread_ended(&mut self) {
        self.running -= 1;
    }

    /// Whether all other threads have ended.
    pub fn is_last(&self) -> bool {
        self.running == 0
    }

    /// Tells the other threads to stop.
    pub fn stop_others(&self, deadline: Instant, spared: &[SocketAddrV4]) {
        for thread in &self.threads[1..] {
            thread.post(Command::Stop { deadline, spared: spared.to_vec() });
        }
    }
}

/// Where a client on this machine reaches a server that listens here. Linux takes a connection to 0.0.0.0 for one to
/// loopback; RFC 1122, 3.2.1.3 does not promise it.
fn destination(listening: SocketAddrV4) -> SocketAddrV4 {
    let ip = if listening.ip().is_unspecified() { Ipv4Addr::LOCALHOST } else { *listening.ip() };
    SocketAddrV4::new(ip, listening.port())
}

fn has_room(context: &Context) -> bool {
    context.shared.config.max_connections.is_none_or(|most| context.shared.open.load(Relaxed) < most)
}
