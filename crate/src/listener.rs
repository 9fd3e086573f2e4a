//! The listening socket, and what to make of the errors of accept(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::address::Address;
use crate::error::Result;
use crate::syscalls;

/// What came of an attempt to accept.
#[derive(Debug)]
pub enum Accepted {
    /// A connection.
    Connection(OwnedFd),
    /// A connection that broke while it waited in the backlog. There may be others behind it.
    Broken,
    /// The backlog is empty.
    Nothing,
    /// The process or the machine has no descriptor or no memory left. The clients wait in the backlog.
    Exhausted,
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    address: Address,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listener {
    /// Binds and listens.
    ///
    /// # Errors
    /// Those of socket(2), setsockopt(2), bind(2), listen(2) and getsockname(2), above all `EADDRINUSE` (of bind or of
    /// listen), `EACCES` and `EADDRNOTAVAIL`. No descriptor is left open.
    pub fn bind(address: Address, backlog: i32) -> Result<Self> {
        let socket = syscalls::socket()?;
        // Lets a restarted server have its port back while old connections are in TIME_WAIT. SO_REUSEPORT would hide that
        // another server listens there.
        syscalls::setsockopt(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        // Accepted sockets inherit these two. Without the first, pipelined messages meet stalls of 40 ms (Nagle's
        // algorithm against delayed acknowledgements); the second finds peers that are gone without a word.
        syscalls::setsockopt(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        syscalls::setsockopt(&socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
        syscalls::bind(&socket, address)?;
        syscalls::listen(&socket, backlog)?;
        let address = syscalls::getsockname(&socket)?;
        Ok(Self { socket, address })
    }

    /// Where it listens, with the port that the kernel chose if none was asked for.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// Takes one connection from the backlog.
    #[must_use]
    pub fn accept(&self) -> Accepted {
        match syscalls::accept(&self.socket) {
            Ok(socket) => Accepted::Connection(socket),
            Err(error) => match error.errno {
                libc::EAGAIN => Accepted::Nothing,
                // accept(2): errors that were pending on the new connection, and one that a firewall refused.
                libc::ECONNABORTED
                | libc::EPERM
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT => Accepted::Broken,
                // EMFILE, ENFILE, ENOBUFS, ENOMEM. The listener stays readable, so without a pause the loop would spin.
                // The same pause serves an errno that is not in the manual: it costs a moment, never the server.
                _ => Accepted::Exhausted,
            },
        }
    }
}
