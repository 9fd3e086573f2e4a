//! How other threads speak to an I/O thread: a queue of commands, and a way to wake it.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::error::Result;
use crate::exchange::Request;
use crate::poller::{Poller, Token, Waker};

/// What an I/O thread can be told.
#[derive(Debug)]
pub enum Command {
    /// Carry out a send.
    Send(Request),
    /// Give up the send with this id.
    Cancel(u64),
    /// Serve a connection that another thread has accepted.
    Adopt(OwnedFd),
    /// Try to accept again: a descriptor has been closed.
    ResumeAccepting,
    /// Another thread of the server has ended: look whether it was the last.
    ThreadEnded,
    /// Finish what has been begun, close everything at this moment at the latest, and end.
    Stop(Instant),
}

/// The queue. It is closed when its thread ends.
#[derive(Debug)]
pub struct Mailbox {
    queue: Mutex<Queue>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Command>,
    closed: bool,
}

impl Mailbox {
    /// A mailbox whose wake-ups the poller reports under `token`.
    ///
    /// # Errors
    /// Those of [`Waker::new`].
    pub fn new(poller: &Poller, token: Token) -> Result<Self> {
        Ok(Self { queue: Mutex::default(), waker: Waker::new(poller, token)? })
    }

    /// Leaves a command; false if the thread has ended and will not take it.
    pub fn post(&self, command: Command) -> bool {
        let mut queue = self.queue();
        if queue.closed {
            return false;
        }
        let asleep = queue.commands.is_empty();
        queue.commands.push(command);
        drop(queue);
        // Behind an earlier command it is found anyway: one wake-up serves all until the thread takes them.
        if asleep {
            self.waker.wake();
        }
        true
    }

    /// Takes all commands, in the order in which they were left.
    pub fn take(&self) -> Vec<Command> {
        // First: a command that comes in between is taken now and wakes the thread once in vain, never the other way round.
        self.waker.reset();
        std::mem::take(&mut self.queue().commands)
    }

    /// Refuses commands from now on.
    pub fn close(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        queue.commands = Vec::new();
    }

    /// Whether its thread has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue().closed
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here can panic half-way, so the queue is sound even if its lock is said not to be.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
