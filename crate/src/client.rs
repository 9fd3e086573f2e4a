//! A client: an I/O thread that carries out sends to any server, and the handle by which other threads speak to it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::context::Context;
use crate::error::Result;
use crate::event_loop::EventLoop;
use crate::mailbox::{Mailbox, Message, mailbox};
use crate::sends::{Outgoing, Sends};
use crate::server::{Report, run, spawn};
use crate::shared::{Config, Shared};

/// The name of its thread.
const THREAD_NAME: &str = "echo-client";

/// An event loop with nobody to serve.
const CONFIG: Config = Config {
    address: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
    backlog: 0,
    max_connections: 0,
    idle_timeout: Duration::ZERO,
    busy_poll: Duration::ZERO,
    threads: NonZeroUsize::MIN,
    observed: false,
    faults: None,
};

/// A client, until it is dropped. That gives up its sends.
pub struct Client {
    mailbox: Mailbox,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Starts the thread, on which `on_report` is called with [`Report::Settled`], and must not block it. If the thread
    /// fails, [`Report::Ended`] says why. Fails as the calls that make the poller and the thread do.
    pub fn start(on_report: impl Fn(Report) + Send + Sync + 'static) -> Result<Self> {
        let shared = Arc::new(Shared::new(CONFIG));
        let context = Context::new(&shared, 0)?;
        let (mailbox, inbox) = mailbox(&context.poller)?;
        let event_loop = EventLoop::new(context, inbox, Sends::new(false), None);
        let thread = spawn(THREAD_NAME.into(), move || {
            run(event_loop, &shared, &on_report);
            on_report(Report::Ended(shared.panic.get().cloned()));
        })?;
        Ok(Self { mailbox, thread: Some(thread) })
    }

    /// Connects, writes, ends that side, reads to the end and closes. How it went comes as [`Report::Settled`] under the id of
    /// the send, which the caller keeps unique. After a failure of the thread nothing comes.
    pub fn send(&self, outgoing: Outgoing) {
        self.mailbox.post(Message::Send(outgoing));
    }

    /// Gives up a send: it is settled with `ECANCELED`, and its connection reset. Nothing happens if it is over.
    pub fn cancel(&self, id: u64) {
        self.mailbox.post(Message::Cancel(id));
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.mailbox.post(Message::Stop(Duration::ZERO));
        if let Some(thread) = self.thread.take() {
            // Its panics are caught and reported on the thread itself.
            let _ = thread.join();
        }
    }
}
