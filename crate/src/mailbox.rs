//! How other threads speak to an I/O thread: a queue of commands, and a way to wake it.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::connection::Connection;
use crate::error::Result;
use crate::poller::{Poller, Waker};

/// What an I/O thread can be told.
pub enum Command {
    /// Carry out a send: its id, the data, and the time that it may take.
    Send(u64, Vec<u8>, Duration),
    /// Give up the send with this id.
    Cancel(u64),
    /// Serve a connection that the first thread has accepted.
    Adopt(Connection),
    /// Serve what is ready now, then drop this.
    CatchUp(Arc<CatchUp>),
    /// Another thread of the server has ended.
    ThreadEnded,
    /// Finish what has been begun, within this time.
    Stop(Duration),
}

/// Shared by the threads that are to catch up with their events. The first thread is woken when all have dropped it.
pub struct CatchUp(pub Arc<Waker>);

impl Drop for CatchUp {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// The end for those who post.
#[derive(Clone)]
pub struct Mailbox {
    commands: Sender<Command>,
    /// Ends the thread's wait.
    pub waker: Arc<Waker>,
}

/// The thread's own end. Dropped, it refuses commands from then on.
pub struct Inbox {
    commands: Receiver<Command>,
    /// Makes the thread's own next wait return.
    pub waker: Arc<Waker>,
}

/// Both ends, with wake-ups through the poller. Fails as [`Waker::new`] does.
pub fn mailbox(poller: &Poller) -> Result<(Mailbox, Inbox)> {
    let waker = Arc::new(Waker::new(poller)?);
    let (sender, receiver) = mpsc::channel();
    Ok((Mailbox { commands: sender, waker: Arc::clone(&waker) }, Inbox { commands: receiver, waker }))
}

impl Mailbox {
    /// Leaves a command; false if the thread has ended and will not take it.
    pub fn post(&self, command: Command) -> bool {
        let taken = self.commands.send(command).is_ok();
        self.waker.wake();
        taken
    }
}

impl Inbox {
    /// Takes all commands, in the order they were posted.
    pub fn take(&self) -> impl Iterator<Item = Command> {
        self.waker.reset();
        self.commands.try_iter()
    }
}
