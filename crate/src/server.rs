//! A server: its I/O threads, and the handle by which other threads start them, speak to them and stop them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::acceptor::Acceptor;
use crate::connection::Cut;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event_loop::EventLoop;
use crate::faults::Faults;
use crate::listener::listen;
use crate::log::Event;
use crate::mailbox::{Mailbox, Message, mailbox};
use crate::poller::{Interest, Source};
use crate::sends::{Outgoing, Sends, Settled};
use crate::shared::{Config, Shared, Stats};
use crate::syscalls;

/// The name of the I/O thread, as `top -H` and `/proc/PID/task/TID/comm` show it.
pub const THREAD_NAME: &str = "echo-io";

/// What I/O threads tell the owner of their server, or client.
#[derive(Debug)]
pub enum Report {
    /// These sends are over.
    Settled(Vec<Settled>),
    /// There are events to take. Not told again before they are taken.
    Events,
    /// The server has ended: this is its last word, and all events are there to take. The text is that of the panic, if one
    /// ended it. Sends that are not settled by now never will be: a panic lost them, or they came after the stop.
    Ended(Option<String>),
}

/// Who is told.
pub type OnReport = dyn Fn(Report) + Send + Sync;

/// A server that listens, until it is stopped or dropped.
pub struct Server {
    /// Where it listens, with the port that the kernel chose if none was asked for.
    pub address: SocketAddrV4,
    shared: Arc<Shared>,
    /// Those of all threads. Gone once the server is released.
    mailboxes: Vec<Mailbox>,
    /// The first thread.
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens and starts the I/O threads. `on_report` is called on any of them, and must not block it. All but
    /// [`Report::Events`] comes from the first one.
    ///
    /// Fails as [`listen`] does, and as the calls that make the pollers and the threads do. Then nothing is left
    /// behind.
    pub fn start(config: &Config, on_report: impl Fn(Report) + Send + Sync + 'static) -> Result<Self> {
        let on_report: Arc<OnReport> = Arc::new(on_report);
        let (listener, address) = listen(config.address, config.backlog)?;
        let shared = Arc::new(Shared::new(*config));
        shared.faults.set(config.faults);
        let context = Context::new(&shared, 0)?;
        context.poller.add(&listener, Source::Listener, Interest::Readable)?;
        let (mailbox, inbox) = mailbox(&context.poller)?;
        let others = Others::start(&shared, &mailbox, &on_report)?;
        let mailboxes: Vec<_> = [&mailbox].into_iter().chain(&others.mailboxes).cloned().collect();
        let acceptor = Acceptor::new(listener, config.backlog, mailboxes.clone());
        let event_loop = EventLoop::new(context, inbox, Sends::new(true), Some(acceptor));
        let known = Arc::clone(&shared);
        let thread = spawn(THREAD_NAME.into(), move || run_first(event_loop, others, &known, &*on_report))?;
        Ok(Self { address, shared, mailboxes, thread: Some(thread) })
    }

    /// Connects to the server, writes `data`, ends that side, reads to the end and closes. How it went comes as
    /// [`Report::Settled`] under `id`, which the caller keeps unique.
    ///
    /// False if the server has ended; then nothing comes.
    pub fn send(&self, id: u64, data: Vec<u8>, timeout: Duration) -> bool {
        self.post(Message::Send(Outgoing::new(id, destination(self.address), data, timeout, Duration::ZERO)))
    }

    /// Gives up a send: it is settled with `ECANCELED`, and its connection reset. Nothing happens if it is over.
    pub fn cancel(&self, id: u64) {
        self.post(Message::Cancel(id));
    }

    /// Stops without losing what has been begun: carries out the sends, takes the clients in the backlog, closes the
    /// listener, echoes what has arrived, and closes. Who connects before the listener is closed is served, too. What is
    /// not done after `timeout` is cut off. [`Report::Ended`] says when it is over.
    pub fn stop(&self, timeout: Duration) {
        self.post(Message::Stop(timeout));
    }

    /// Turns [`Report::Events`] on or off for the connections that are accepted from now on. The others stay as they are.
    pub fn set_observed(&self, is_observed: bool) {
        self.shared.log.set_observed(is_observed);
    }

    /// The connections that are accepted from now on have these faults.
    pub fn set_faults(&self, faults: Option<Faults>) {
        self.shared.faults.set(faults);
    }

    /// Takes the events that have come since the last time, and how many connections and drops were left out because
    /// [`MOST_UNTAKEN`](crate::log::MOST_UNTAKEN) were waiting.
    pub fn take_events(&self) -> (Vec<Event>, u64) {
        self.shared.log.take()
    }

    /// Cuts a connection of which an event has told the thread, the slot and the id. Nothing happens if it is over.
    pub fn cut(&self, thread: usize, slot: usize, id: u64, cut: Cut) {
        if let Some(mailbox) = self.mailboxes.get(thread) {
            mailbox.post(Message::Cut(slot, id, cut));
        }
    }

    /// Cuts all connections, and says how many they are. It waits for the threads to count them, which takes each a turn of
    /// its loop.
    pub fn cut_all(&self, cut: Cut) -> usize {
        let (counted, counts) = channel();
        self.post(Message::CutAll(cut, counted));
        // Up to the last thread that has counted, or has ended.
        counts.iter().sum()
    }

    /// What the server has done since it started.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Closes everything at once, and returns when the threads have ended: at once after [`Report::Ended`]. Only
    /// [`Self::stats`] and [`Self::take_events`] are left.
    ///
    /// To be called after [`Report::Ended`] by an owner that is garbage-collected: otherwise the thread's stack and the
    /// descriptor of its mailbox wait for that.
    pub fn release(&mut self) {
        self.stop(Duration::ZERO);
        self.mailboxes.clear();
        if let Some(thread) = self.thread.take() {
            // Its panics are caught and reported on the thread itself.
            let _ = thread.join();
        }
    }

    fn post(&self, message: Message) -> bool {
        self.mailboxes.first().is_some_and(|mailbox| mailbox.post(message))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release();
    }
}

/// All threads of a server but the first. Dropping it ends them.
struct Others {
    mailboxes: Vec<Mailbox>,
    threads: Vec<JoinHandle<()>>,
}

impl Others {
    fn start(shared: &Arc<Shared>, first: &Mailbox, on_report: &Arc<OnReport>) -> Result<Self> {
        let mut others = Self { mailboxes: Vec::new(), threads: Vec::new() };
        for number in 1..shared.config.threads.get() {
            let context = Context::new(shared, number)?;
            let (mailbox, inbox) = mailbox(&context.poller)?;
            others.mailboxes.push(mailbox);
            let event_loop = EventLoop::new(context, inbox, Sends::new(true), None);
            let (shared, first, on_report) = (Arc::clone(shared), first.clone(), Arc::clone(on_report));
            let body = move || run_other(event_loop, &shared, &first, &*on_report);
            others.threads.push(spawn(format!("{THREAD_NAME}-{number}"), body)?);
        }
        Ok(others)
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for mailbox in &self.mailboxes {
            mailbox.post(Message::Stop(Duration::ZERO));
        }
        for thread in self.threads.drain(..) {
            // Its panics are caught and reported on the thread itself.
            let _ = thread.join();
        }
    }
}

/// Where a client on this machine reaches a server that listens here. Linux takes a connection to 0.0.0.0 for one to
/// loopback; RFC 1122, 3.2.1.3 does not promise it.
fn destination(listening: SocketAddrV4) -> SocketAddrV4 {
    let ip = if listening.ip().is_unspecified() { Ipv4Addr::LOCALHOST } else { *listening.ip() };
    SocketAddrV4::new(ip, listening.port())
}

pub(crate) fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    syscalls::with_signals_blocked(|| Builder::new().name(name).spawn(body))
        .map_err(|error| Error { errno: error.raw_os_error().unwrap_or(libc::EAGAIN), syscall: "pthread_create" })
}

/// The life of the first thread. Whatever happens in it, all descriptors of the server are closed, all its other threads
/// have ended, and its last word is [`Report::Ended`].
fn run_first(event_loop: EventLoop, others: Others, shared: &Shared, on_report: &OnReport) {
    run(event_loop, shared, on_report);
    drop(others);
    // Those that were cut off.
    shared.open.store(0, Relaxed);
    on_report(Report::Ended(shared.panic.get().cloned()));
}

/// The life of another thread, whose end the first is told. If it fails, so does the server.
fn run_other(event_loop: EventLoop, shared: &Shared, first: &Mailbox, on_report: &OnReport) {
    run(event_loop, shared, on_report);
    first.post(Message::ThreadEnded);
    if shared.panic.get().is_some() {
        first.post(Message::Stop(Duration::ZERO));
    }
}

/// Runs a loop to its end, notes a panic, and closes all that the loop has.
pub(crate) fn run(mut event_loop: EventLoop, shared: &Shared, on_report: &OnReport) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| event_loop.run(on_report))) {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref().map(String::as_str));
        shared.panic.get_or_init(|| text.unwrap_or("a panic without a message").to_owned());
    }
    // A table that a panic has left half changed may panic again.
    let _ = catch_unwind(AssertUnwindSafe(|| event_loop.tell_ends(on_report)));
}
