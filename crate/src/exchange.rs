//! The client's side of one send, as a state machine that is driven by readiness: connect, write, half-close, read to the
//! end, close.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use crate::address::Address;
use crate::error::{Error, Result};
use crate::poller::Interest;
use crate::syscalls;

/// What a caller wants sent.
#[derive(Debug)]
pub struct Request {
    /// Names the send in what is said of it later. The caller sees to it that no two have the same.
    pub id: u64,
    /// What is written. May be empty: that is a connection without a byte.
    pub data: Vec<u8>,
    /// When it is given up.
    pub deadline: Instant,
}

/// How far an exchange is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Connecting,
    Writing,
    Reading,
}

/// A send on its way.
#[derive(Debug)]
pub struct Exchange {
    request: Request,
    socket: OwnedFd,
    to: Address,
    stage: Stage,
    /// What the poller waits for on its behalf; nothing before it is registered.
    pub interest: Option<Interest>,
    written: usize,
    received: Vec<u8>,
}

/// What the event loop is to do with an exchange next.
#[derive(Debug)]
pub enum Progress {
    /// Call again when this has come.
    WaitFor(Interest),
    /// It is over: what came back, or why nothing did.
    Done(Result<Vec<u8>>),
}

impl AsFd for Exchange {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Exchange {
    /// Opens a socket and starts to connect.
    ///
    /// # Errors
    /// Those of socket(2), setsockopt(2) and connect(2), with the request, which can be tried again.
    pub fn open(request: Request, to: Address) -> std::result::Result<Self, (Error, Request)> {
        match Self::connecting_socket(to) {
            Ok(socket) => Ok(Self {
                // What comes back is as long as what is sent.
                received: Vec::with_capacity(request.data.len()),
                request,
                socket,
                to,
                stage: Stage::Connecting,
                interest: None,
                written: 0,
            }),
            Err(error) => Err((error, request)),
        }
    }

    fn connecting_socket(to: Address) -> Result<OwnedFd> {
        let socket = syscalls::socket()?;
        // Without it the client's port could not be listened on until its TIME_WAIT is over.
        syscalls::setsockopt(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        match syscalls::connect(&socket, to) {
            Err(error) if !error.would_block() => Err(error),
            _ => Ok(socket),
        }
    }

    /// The id of the send.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.request.id
    }

    /// When the send is given up.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.request.deadline
    }

    /// Whether the server cannot know of it yet.
    #[must_use]
    pub fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    /// The system call that the exchange waits for.
    #[must_use]
    pub fn waits_in(&self) -> &'static str {
        match self.stage {
            Stage::Connecting => "connect",
            Stage::Writing => "write",
            Stage::Reading => "read",
        }
    }

    /// Does what can be done now: to be called after every event, and harmless without one.
    pub fn ready(&mut self, buffer: &mut [u8]) -> Progress {
        let result = match self.stage {
            Stage::Connecting => self.finish_connecting(buffer),
            Stage::Writing => self.write_and_read(buffer),
            Stage::Reading => self.read(buffer),
        };
        match result {
            Ok(true) => Progress::Done(Ok(std::mem::take(&mut self.received))),
            Ok(false) => Progress::WaitFor(self.wanted()),
            Err(error) if error.would_block() => Progress::WaitFor(self.wanted()),
            Err(error) => Progress::Done(Err(error)),
        }
    }

    /// Makes the coming close a RST, so that the server drops what it has of an exchange that is given up.
    pub fn abort(&self) {
        // A failure leaves an ordinary close.
        let _ = syscalls::set_linger_zero(&self.socket);
    }

    fn wanted(&self) -> Interest {
        match self.stage {
            Stage::Connecting => Interest::Writable,
            Stage::Writing => Interest::Both,
            Stage::Reading => Interest::Readable,
        }
    }

    /// On loopback the handshake is over when the first connect(2) returns, so this succeeds without a turn of the poller.
    fn finish_connecting(&mut self, buffer: &mut [u8]) -> Result<bool> {
        syscalls::connect(&self.socket, self.to)?;
        self.stage = Stage::Writing;
        self.write_and_read(buffer)
    }

    /// Reads between writes: a server that echoes while we only write would fill both sockets' buffers, and both would wait
    /// for the other.
    fn write_and_read(&mut self, buffer: &mut [u8]) -> Result<bool> {
        match syscalls::write(&self.socket, &self.request.data[self.written..]) {
            Err(error) if error.would_block() => {}
            result => self.written += result?,
        }
        if self.written < self.request.data.len() {
            return self.read(buffer);
        }
        syscalls::shutdown_write(&self.socket)?;
        self.stage = Stage::Reading;
        Ok(false)
    }

    /// Reads once; true at the end of input.
    fn read(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let read = syscalls::read(&self.socket, buffer)?;
        self.received.extend_from_slice(&buffer[..read]);
        Ok(read == 0)
    }
}
