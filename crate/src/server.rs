//! A server: its I/O threads, and the handle by which other threads start them, speak to them and stop them.

use std::any::Any;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::acceptor::Acceptor;
use crate::address::Address;
use crate::connection::Workspace;
use crate::connections::Connections;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Front, LISTENER, Role, WAKER};
use crate::exchange::Request;
use crate::listener::Listener;
use crate::mailbox::{Command, Mailbox};
use crate::poller::Poller;
use crate::sends::{Sends, Settled};
use crate::shared::{Shared, Stats};
use crate::syscalls;

/// The name of the I/O thread, as `top -H` and `/proc/PID/task/TID/comm` show it.
pub const THREAD_NAME: &str = "echo-io";

/// How to start a server.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Where to listen. Port 0 takes any free port.
    pub address: Address,
    /// How many connections may wait to be accepted: the backlog of listen(2), cut to `net.core.somaxconn`.
    pub backlog: i32,
    /// More connections than this are turned away.
    pub max_connections: Option<usize>,
    /// Connections on which nothing happened for so long are closed.
    pub idle_timeout: Option<Duration>,
    /// How long to poll for the next event before sleeping, where that pays; zero never does.
    pub busy_poll: Duration,
    /// How many I/O threads share the connections.
    pub threads: NonZeroUsize,
}

impl Default for Config {
    /// Any free port of 127.0.0.1, a backlog of 511, no limits, 50 us of polling, one thread.
    fn default() -> Self {
        Self {
            address: Address { ip: Address::LOOPBACK, port: 0 },
            backlog: 511,
            max_connections: None,
            idle_timeout: None,
            busy_poll: Duration::from_micros(50),
            threads: NonZeroUsize::MIN,
        }
    }
}

/// What the I/O thread tells the owner of its server.
#[derive(Debug)]
pub enum Event {
    /// These sends are over.
    Settled(Vec<Settled>),
    /// The thread ends: this is its last word. Sends that have not been settled never will be. The text is that of the
    /// panic, if one ended it.
    Ended(Option<String>),
}

/// A server that listens, until it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    address: Address,
    shared: Arc<Shared>,
    failure: Arc<Failure>,
    /// Gone once the server is released.
    first: Option<FirstThread>,
}

/// The thread that is spoken to.
#[derive(Debug)]
struct FirstThread {
    mailbox: Arc<Mailbox>,
    handle: JoinHandle<()>,
}

impl Server {
    /// Listens and starts the I/O threads. `on_event` is called on the first of them, and must not block it.
    ///
    /// # Errors
    /// Those of [`Listener::bind`], and of the calls that make the pollers and the threads. Nothing is left behind.
    pub fn start(config: &Config, on_event: impl FnMut(Event) + Send + 'static) -> Result<Self> {
        let listener = Listener::bind(config.address, config.backlog)?;
        let address = listener.address();
        let shared = Arc::new(Shared::new(config.threads.get()));
        let failure = Arc::new(Failure::default());
        let poller = Poller::new()?;
        let mailbox = Arc::new(Mailbox::new(&poller, WAKER)?);
        let acceptor = Acceptor::new(listener, &poller, LISTENER, Arc::clone(&shared))?;
        let others = Others::start(config, &shared, &failure, &mailbox)?;
        let front = Front {
            acceptor: Some(acceptor),
            // listen(2) lets one more wait.
            backlog: usize::try_from(config.backlog).unwrap_or(0).saturating_add(1),
            max_connections: config.max_connections,
            sends: Sends::new(address.as_destination()),
            others: others.mailboxes.clone(),
            turn: 0,
        };
        let connections = connections(config, &shared, 0);
        let event_loop =
            EventLoop::new(poller, Arc::clone(&mailbox), connections, Role::First(Box::new(front)), config.busy_poll);
        let handle = {
            let (mailbox, failure) = (Arc::clone(&mailbox), Arc::clone(&failure));
            spawn(THREAD_NAME.into(), move || first_thread(event_loop, &mailbox, others, &failure, on_event))?
        };
        Ok(Self { address, shared, failure, first: Some(FirstThread { mailbox, handle }) })
    }

    /// Where the server listens, with the port that the kernel chose if none was asked for.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Connects to the server, writes `data`, ends that side, reads to the end and closes. How it went comes as
    /// [`Event::Settled`] under `id`, which the caller keeps unique.
    ///
    /// False if the server has ended; then nothing comes.
    #[must_use]
    pub fn send(&self, id: u64, data: Vec<u8>, timeout: Duration) -> bool {
        self.post(Command::Send(Request { id, data, deadline: Instant::now() + timeout }))
    }

    /// Gives up a send: it is settled with `ECANCELED`, and its connection reset. Nothing happens if it is over.
    pub fn cancel(&self, id: u64) {
        self.post(Command::Cancel(id));
    }

    /// Stops without losing what has been begun: takes the backlog, closes the listener, finishes the sends, echoes what
    /// has arrived, and closes. What is not done after `timeout` is cut off. [`Event::Ended`] says when it is over.
    pub fn stop(&self, timeout: Duration) {
        self.post(Command::Stop(Instant::now() + timeout));
    }

    /// What the server has done since it started.
    ///
    /// # Errors
    /// The message of the panic that ended an I/O thread.
    pub fn stats(&self) -> std::result::Result<Stats, &str> {
        match self.failure.0.get() {
            Some(message) => Err(message),
            None => Ok(self.shared.stats()),
        }
    }

    /// Closes everything at once, and returns when the threads have ended: at once after [`Event::Ended`]. Only
    /// [`Self::stats`] is left.
    ///
    /// An owner that is garbage-collected calls it at the end, or the thread's stack and the descriptor of its mailbox
    /// outlive the server by a collection: a loop of starts and stops had up to 60 of each.
    pub fn release(&mut self) {
        self.stop(Duration::ZERO);
        if let Some(first) = self.first.take() {
            // Its panics are caught and reported on the thread itself.
            let _ = first.handle.join();
        }
    }

    fn post(&self, command: Command) -> bool {
        self.first.as_ref().is_some_and(|first| first.mailbox.post(command))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release();
    }
}

/// The message of the first panic on an I/O thread.
#[derive(Debug, Default)]
struct Failure(OnceLock<String>);

impl Failure {
    /// Runs the life of an I/O thread, and notes a panic. What `life` owns is dropped when this returns.
    fn watch(&self, life: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(life)) {
            self.0.get_or_init(|| panic_message(&*panic));
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

/// The threads of a server but the first. Dropping it ends them.
struct Others {
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Vec<JoinHandle<()>>,
}

impl Others {
    fn start(config: &Config, shared: &Arc<Shared>, failure: &Arc<Failure>, first: &Arc<Mailbox>) -> Result<Self> {
        let mut others = Self { mailboxes: Vec::new(), threads: Vec::new() };
        for number in 1..config.threads.get() {
            let poller = Poller::new()?;
            let mailbox = Arc::new(Mailbox::new(&poller, WAKER)?);
            let connections = connections(config, shared, number);
            let role = Role::Other(Arc::clone(first));
            let event_loop = EventLoop::new(poller, Arc::clone(&mailbox), connections, role, config.busy_poll);
            let (failure, first) = (Arc::clone(failure), Arc::clone(first));
            others.mailboxes.push(Arc::clone(&mailbox));
            let body = move || other_thread(event_loop, &mailbox, &first, &failure);
            others.threads.push(spawn(format!("{THREAD_NAME}-{number}"), body)?);
        }
        Ok(others)
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for mailbox in &self.mailboxes {
            mailbox.post(Command::Stop(Instant::now()));
        }
        for thread in self.threads.drain(..) {
            // Its panics are caught and reported on the thread itself.
            let _ = thread.join();
        }
    }
}

fn connections(config: &Config, shared: &Arc<Shared>, thread: usize) -> Connections {
    Connections::new(Workspace::new(Arc::clone(shared), thread), config.idle_timeout)
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    syscalls::with_signals_blocked(|| Builder::new().name(name).spawn(body))
        .map_err(|error| Error { errno: error.raw_os_error().unwrap_or(libc::EAGAIN), syscall: "pthread_create" })
}

/// The life of the first thread. Whatever happens in it, all descriptors of the server are closed, all its other threads
/// have ended, and its last word is [`Event::Ended`].
fn first_thread(
    mut event_loop: EventLoop,
    mailbox: &Mailbox,
    others: Others,
    failure: &Failure,
    mut on_event: impl FnMut(Event),
) {
    failure.watch(|| {
        event_loop.run(|settled| on_event(Event::Settled(settled)));
    });
    drop(event_loop);
    drop(others);
    mailbox.close();
    on_event(Event::Ended(failure.0.get().cloned()));
}

/// The life of another thread, whose end the first is told. If it fails, so does the server.
fn other_thread(mut event_loop: EventLoop, mailbox: &Mailbox, first: &Mailbox, failure: &Failure) {
    failure.watch(|| event_loop.run(drop));
    drop(event_loop);
    mailbox.close();
    let failed = failure.0.get().is_some();
    first.post(if failed { Command::Stop(Instant::now()) } else { Command::ThreadEnded });
}
