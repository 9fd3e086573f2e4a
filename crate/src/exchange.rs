//! The client's side of one send, as a state machine that is driven by readiness: connect, write, half-close, read to the
//! end, close.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::poller::Interest;
use crate::syscalls;

/// How much more may come back than was sent. A server that writes without end would fill the memory.
pub const MOST_BEYOND: usize = 16 * 1024 * 1024;

/// How far an exchange is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Connecting,
    Writing,
    /// Everything is written, and our side not ended yet.
    Written,
    Reading,
}

/// A send on its way.
pub struct Exchange {
    /// Set up by [`Self::open`].
    pub socket: OwnedFd,
    /// Its own address, which the server sees as the peer's.
    pub address: SocketAddrV4,
    /// The server has taken its connection from the backlog.
    pub is_accepted: bool,
    /// It will not be accepted soon: nobody waits for that.
    pub is_late: bool,
    to: SocketAddrV4,
    stage: Stage,
    /// What the poller waits for on its behalf; nothing before it is registered.
    pub interest: Option<Interest>,
    written: usize,
    /// Why it has failed, if it has: what came back before is read first.
    failure: Option<Error>,
    /// What has come back.
    pub received: Vec<u8>,
    /// When to look at it again without an event.
    pub next_look: Option<Moment>,
}

impl Exchange {
    /// Opens a socket and starts to connect, for so many bytes. `needs_spare` if the server is in this process. Fails as
    /// socket(2), setsockopt(2), connect(2) and getsockname(2) do.
    pub fn open(to: SocketAddrV4, length: usize, needs_spare: bool) -> Result<Self> {
        let socket = syscalls::socket()?;
        // The server's side needs a descriptor, too: of two servers near the limit each could wait for that of the other.
        let _spare = needs_spare.then(|| socket.try_clone().map_err(|_| Error::last("accept"))).transpose()?;
        // Without it the client's port could not be listened on until its TIME_WAIT is over.
        syscalls::setsockopt(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        // An urgent byte of the answer is a byte of it, as on the server's side: RFC 9293, 3.8.5.
        syscalls::setsockopt(&socket, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1)?;
        syscalls::connect(&socket, to)?;
        let stage = Stage::Connecting;
        let address = syscalls::getsockname(&socket)?;
        // 0.0.0.0 is this machine: Linux takes 127.0.0.1 for it.
        if address.port() == to.port() && (address.ip() == to.ip() || to.ip().is_unspecified()) {
            // Nobody listens, but the kernel has chosen the port itself for the client, and a socket that connects to itself
            // hears all that it says: RFC 9293, 3.5, simultaneous open.
            syscalls::reset_at_close(&socket);
            return Err(Error { errno: libc::ECONNREFUSED, syscall: "connect" });
        }
        // What comes back is as long as what is sent.
        let received = Vec::with_capacity(length);
        Ok(Self {
            socket,
            address,
            is_accepted: false,
            is_late: false,
            to,
            stage,
            interest: None,
            written: 0,
            failure: None,
            received,
            next_look: None,
        })
    }

    /// Whether the handshake is not over.
    pub fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    /// The system call that the exchange waits for.
    pub fn waits_in(&self) -> &'static str {
        match self.stage {
            Stage::Connecting => "connect",
            Stage::Writing => "write",
            Stage::Written | Stage::Reading => "read",
        }
    }

    /// Does what can be done now to send `data`: to be called after every event, and harmless without one. True when it is
    /// over, and all that came back is in [`Self::received`].
    pub fn advance(&mut self, data: &[u8], buffer: &mut [u8]) -> Result<bool> {
        let is_over = match self.stage {
            Stage::Connecting => self.finish_connecting(data, buffer),
            Stage::Writing => self.write_and_read(data, buffer),
            Stage::Written | Stage::Reading => self.read(data, buffer),
        };
        is_over.or_else(|error| if error.would_block() { Ok(false) } else { Err(error) })
    }

    /// What it waits for.
    pub fn wanted(&self) -> Interest {
        match self.stage {
            Stage::Connecting => Interest::Writable,
            Stage::Writing => Interest::Both,
            Stage::Written | Stage::Reading => Interest::Readable,
        }
    }

    /// Whether everything is written, and our side is to be ended: [`Self::half_close`].
    pub fn is_written(&self) -> bool {
        self.stage == Stage::Written
    }

    /// Ends our side. What comes back until the peer ends its own is still read.
    pub fn half_close(&mut self) -> Result<()> {
        self.stage = Stage::Reading;
        match syscalls::shutdown_write(&self.socket) {
            // The peer has reset the connection: read(2) says so.
            Err(Error { errno: libc::ENOTCONN, .. }) => Ok(()),
            result => result,
        }
    }

    /// Makes the coming close a RST, so that the server drops what it has of an exchange that is given up.
    pub fn abort(&self) {
        syscalls::reset_at_close(&self.socket);
    }

    /// On loopback, where the handshake is over when connect(2) returns, it finds it so at once.
    fn finish_connecting(&mut self, data: &[u8], buffer: &mut [u8]) -> Result<bool> {
        if !syscalls::finish_connect(&self.socket, self.to)? {
            return Ok(false);
        }
        self.stage = Stage::Writing;
        self.write_and_read(data, buffer)
    }

    /// Reads between writes: a server that echoes while we only write would fill both sockets' buffers, and both would
    /// wait for the other.
    fn write_and_read(&mut self, data: &[u8], buffer: &mut [u8]) -> Result<bool> {
        match syscalls::write(&self.socket, &data[self.written..]) {
            Err(error) if error.would_block() => {}
            // The server takes no more, because it has ended the connection (EPIPE) or lost it. What it wrote before is still
            // to be read.
            Err(error @ Error { errno: libc::EPIPE | libc::ECONNRESET, .. }) => {
                self.failure = (error.errno != libc::EPIPE).then_some(error);
                self.stage = Stage::Reading;
                return self.read(data, buffer);
            }
            result => self.written += result?,
        }
        if self.written < data.len() {
            return self.read(data, buffer);
        }
        self.stage = Stage::Written;
        Ok(false)
    }

    /// Reads once, and again when all of `data` is back, as the end comes with it; true at the end of input, or when far too
    /// much has come.
    fn read(&mut self, data: &[u8], buffer: &mut [u8]) -> Result<bool> {
        let read = syscalls::read(&self.socket, buffer)?;
        self.received.extend_from_slice(&buffer[..read]);
        if self.received.len() > data.len() + MOST_BEYOND {
            self.abort();
            return Ok(true);
        }
        if read == 0 {
            return self.failure.map_or(Ok(true), Err);
        }
        if self.received.len() == data.len() { self.read(data, buffer) } else { Ok(false) }
    }
}
