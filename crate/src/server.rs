//! A server: an I/O thread, and the handle by which other threads start it, speak to it and stop it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::connection::Workspace;
use crate::error::{Error, Result};
use crate::event_loop::{EventLoop, Limits, Settled, WAKER};
use crate::exchange::Request;
use crate::listener::Listener;
use crate::mailbox::{Command, Mailbox};
use crate::poller::Poller;
use crate::stats::{Counters, Stats};
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
    /// What limits the server.
    pub limits: Limits,
}

impl Default for Config {
    /// Any free port of 127.0.0.1, a backlog of 511, no limits.
    fn default() -> Self {
        Self { address: Address { ip: Address::LOOPBACK, port: 0 }, backlog: 511, limits: Limits::default() }
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
    mailbox: Arc<Mailbox>,
    counters: Arc<Counters>,
    failure: Arc<OnceLock<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens and starts the I/O thread. `on_event` is called on that thread, and must not block it.
    ///
    /// # Errors
    /// Those of [`Listener::bind`], and of the calls that make the poller and the thread. Nothing is left behind.
    pub fn start(config: &Config, on_event: impl FnMut(Event) + Send + 'static) -> Result<Self> {
        let listener = Listener::bind(config.address, config.backlog)?;
        let address = listener.address();
        let poller = Poller::new()?;
        let mailbox = Arc::new(Mailbox::new(&poller, WAKER)?);
        let counters = Arc::new(Counters::default());
        let work = Workspace::new(Arc::new(AtomicUsize::new(0)), Arc::clone(&counters));
        let event_loop = EventLoop::new(poller, Arc::clone(&mailbox), listener, config.limits, work)?;
        let failure = Arc::new(OnceLock::new());
        let thread = {
            let (mailbox, failure) = (Arc::clone(&mailbox), Arc::clone(&failure));
            spawn(move || io_thread(event_loop, &mailbox, &failure, on_event))?
        };
        Ok(Self { address, mailbox, counters, failure, thread: Some(thread) })
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
        self.mailbox.post(Command::Send(Request { id, data, deadline: Instant::now() + timeout }))
    }

    /// Gives up a send: it is settled with `ECANCELED`, and its connection reset. Nothing happens if it is over.
    pub fn cancel(&self, id: u64) {
        self.mailbox.post(Command::Cancel(id));
    }

    /// Stops without losing what has been begun: takes the backlog, closes the listener, finishes the sends, echoes what
    /// has arrived, and closes. What is not done after `timeout` is cut off. [`Event::Ended`] says when it is over.
    pub fn stop(&self, timeout: Duration) {
        self.mailbox.post(Command::Stop(Instant::now() + timeout));
    }

    /// What the server has done since it started.
    ///
    /// # Errors
    /// The message of the panic that ended the I/O thread.
    pub fn stats(&self) -> std::result::Result<Stats, &str> {
        match self.failure.get() {
            Some(message) => Err(message),
            None => Ok(self.counters.snapshot()),
        }
    }
}

impl Drop for Server {
    /// Closes everything at once, and returns when the thread has ended.
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
        if let Some(thread) = self.thread.take() {
            // Its panics are caught and reported on the thread itself.
            let _ = thread.join();
        }
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    syscalls::with_signals_blocked(|| Builder::new().name(THREAD_NAME.into()).spawn(body))
        .map_err(|error| Error { errno: error.raw_os_error().unwrap_or(libc::EAGAIN), syscall: "pthread_create" })
}

/// The life of the I/O thread. Whatever happens in it, its descriptors are closed, and its last word is [`Event::Ended`].
fn io_thread(event_loop: EventLoop, mailbox: &Mailbox, failure: &OnceLock<String>, mut on_event: impl FnMut(Event)) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // Moved in, so that a panic closes every descriptor before it is reported.
        let mut event_loop = event_loop;
        event_loop.run(|settled| on_event(Event::Settled(settled)));
    }));
    let message = outcome.err().map(|panic| panic_message(&*panic));
    if let Some(message) = &message {
        failure.get_or_init(|| message.clone());
    }
    mailbox.close();
    on_event(Event::Ended(message));
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
