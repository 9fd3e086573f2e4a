//! The client's side of one send, as a state machine that is driven by readiness: connect, write, half-close, read to the
//! end, close.

use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::poller::Interest;
use crate::syscalls;

/// What a caller wants sent.
pub struct Request {
    /// Names the send in what is said of it later. The caller sees to it that no two have the same.
    pub id: u64,
    /// What to write. May be empty: that is a connection without a byte.
    pub data: Vec<u8>,
    /// When to give it up, on the clock of the thread.
    pub deadline: Duration,
}

/// How far an exchange is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Connecting,
    Writing,
    Reading,
}

/// A send on its way.
pub struct Exchange {
    /// What is sent.
    pub request: Request,
    socket: OwnedFd,
    /// Its own address, which the server sees as the peer's.
    pub address: SocketAddrV4,
    to: SocketAddrV4,
    stage: Stage,
    /// What the poller waits for on its behalf; nothing before it is registered.
    pub interest: Option<Interest>,
    written: usize,
    /// What has come back.
    pub received: Vec<u8>,
}

impl AsFd for Exchange {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Exchange {
    /// Opens a socket and starts to connect. Fails as socket(2), setsockopt(2), connect(2) and getsockname(2) do; then
    /// the request comes back, and can be tried again.
    pub fn open(request: Request, to: SocketAddrV4) -> std::result::Result<Self, (Error, Request)> {
        match connect(to) {
            Ok((socket, address, is_connected)) => Ok(Self {
                // What comes back is as long as what is sent.
                received: Vec::with_capacity(request.data.len()),
                request,
                socket,
                address,
                to,
                stage: if is_connected { Stage::Writing } else { Stage::Connecting },
                interest: None,
                written: 0,
            }),
            Err(error) => Err((error, request)),
        }
    }

    /// Whether the server cannot know of it yet.
    pub fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    /// The system call that the exchange waits for.
    pub fn waits_in(&self) -> &'static str {
        match self.stage {
            Stage::Connecting => "connect",
            Stage::Writing => "write",
            Stage::Reading => "read",
        }
    }

    /// Does what can be done now: to be called after every event, and harmless without one. True when it is over, and all
    /// that came back is in [`Self::received`].
    pub fn advance(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let is_over = match self.stage {
            Stage::Connecting => self.finish_connecting(buffer),
            Stage::Writing => self.write_and_read(buffer),
            Stage::Reading => self.read(buffer),
        };
        is_over.or_else(|error| if error.would_block() { Ok(false) } else { Err(error) })
    }

    /// What it waits for.
    pub fn wanted(&self) -> Interest {
        match self.stage {
            Stage::Connecting => Interest::Writable,
            Stage::Writing => Interest::Both,
            Stage::Reading => Interest::Readable,
        }
    }

    /// Makes the coming close a RST, so that the server drops what it has of an exchange that is given up.
    pub fn abort(&self) {
        // A failure leaves an ordinary close.
        let _ = syscalls::set_linger_zero(&self.socket);
    }

    fn finish_connecting(&mut self, buffer: &mut [u8]) -> Result<bool> {
        if !syscalls::connect(&self.socket, self.to)? {
            return Ok(false);
        }
        self.stage = Stage::Writing;
        self.write_and_read(buffer)
    }

    /// Reads between writes: a server that echoes while we only write would fill both sockets' buffers, and both would
    /// wait for the other.
    fn write_and_read(&mut self, buffer: &mut [u8]) -> Result<bool> {
        match syscalls::write(&self.socket, &self.request.data[self.written..]) {
            Err(error) if error.would_block() => {}
            // The server has ended the connection, and takes no more. What it wrote before is still to be read.
            Err(Error { errno: libc::EPIPE, .. }) => {
                self.stage = Stage::Reading;
                return self.read(buffer);
            }
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

/// A socket that connects, its address, and whether it is connected already: on loopback the handshake is over when
/// connect(2) returns.
fn connect(to: SocketAddrV4) -> Result<(OwnedFd, SocketAddrV4, bool)> {
    let socket = syscalls::socket()?;
    // Without it the client's port could not be listened on until its TIME_WAIT is over.
    syscalls::setsockopt(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let is_connected = syscalls::connect(&socket, to)?;
    let address = syscalls::getsockname(&socket)?;
    Ok((socket, address, is_connected))
}
