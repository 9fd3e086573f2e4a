//! How other threads speak to an I/O thread: a queue of messages, and a way to wake it.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::connection::{Connection, Cut};
use crate::error::Result;
use crate::poller::{Poller, Waker};
use crate::sends::Outgoing;

/// What an I/O thread can be told.
pub enum Message {
    /// Carry out a send.
    Send(Outgoing),
    /// Give up the send with this id.
    Cancel(u64),
    /// Serve a connection that the first thread has accepted.
    Adopt(Connection),
    /// Cut the connection in this slot, if it is still the one with this id.
    Cut(usize, u64, Cut),
    /// Cut all connections, and say how many they are.
    CutAll(Cut, Sender<usize>),
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
    messages: Sender<Message>,
    /// Ends the thread's wait.
    pub waker: Arc<Waker>,
}

/// The thread's own end. Dropped, it refuses messages from then on.
pub struct Inbox {
    messages: Receiver<Message>,
    /// Makes the thread's own next wait return.
    pub waker: Arc<Waker>,
}

/// Both ends, with wake-ups through the poller. Fails as [`Waker::new`] does.
pub fn mailbox(poller: &Poller) -> Result<(Mailbox, Inbox)> {
    let waker = Arc::new(Waker::new(poller)?);
    let (sender, receiver) = mpsc::channel();
    Ok((Mailbox { messages: sender, waker: Arc::clone(&waker) }, Inbox { messages: receiver, waker }))
}

impl Mailbox {
    /// Leaves a message; false if the thread has ended and will not take it.
    pub fn post(&self, message: Message) -> bool {
        let taken = self.messages.send(message).is_ok();
        self.waker.wake();
        taken
    }
}

impl Inbox {
    /// Takes all messages, in the order they were posted.
    pub fn take(&self) -> impl Iterator<Item = Message> {
        self.waker.reset();
        self.messages.try_iter()
    }
}
