//! Takes connections from the backlog, and rests when there are no descriptors or no memory for them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::listener::{Accepted, Listener};
use crate::poller::{Interest, Poller, Token};
use crate::shared::Shared;

/// How long the listener rests at most. Closing a connection ends the rest sooner, but other parts of the process, and
/// other processes, free descriptors too.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener and its place in a poller.
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    token: Token,
    shared: Arc<Shared>,
    /// Out of the poller until this moment. Level-triggered, a listener that cannot be served would wake the loop without
    /// end.
    paused_until: Option<Instant>,
}

impl Acceptor {
    /// Has the poller report under `token` that a client waits.
    ///
    /// # Errors
    /// Those of [`Poller::add`].
    pub fn new(listener: Listener, poller: &Poller, token: Token, shared: Arc<Shared>) -> Result<Self> {
        poller.add(&listener, token, Interest::Readable)?;
        Ok(Self { listener, token, shared, paused_until: None })
    }

    /// Takes one connection from the backlog, and pauses if that cannot be done now.
    pub fn accept(&mut self, poller: &Poller) -> Accepted {
        let accepted = self.listener.accept();
        if matches!(accepted, Accepted::Exhausted) {
            // If it fails, the pause is one turn of the loop long.
            let _ = poller.remove(&self.listener);
            self.pause();
        }
        accepted
    }

    /// Ends a pause, if there is one.
    pub fn resume(&mut self, poller: &Poller) {
        if self.paused_until.is_none() {
            return;
        }
        match poller.add(&self.listener, self.token, Interest::Readable) {
            // EEXIST: it could not be removed.
            Ok(()) | Err(Error { errno: libc::EEXIST, .. }) => {
                self.paused_until = None;
                self.shared.accept_paused.store(false, Relaxed);
            }
            Err(_) => self.pause(),
        }
    }

    /// When to call [`Self::resume`] at the latest.
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        self.paused_until
    }

    fn pause(&mut self) {
        self.paused_until = Some(Instant::now() + PAUSE);
        self.shared.accept_paused.store(true, Relaxed);
    }
}
