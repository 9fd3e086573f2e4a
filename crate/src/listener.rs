//! The listening socket. It pauses when there are no descriptors or no memory for the clients in the backlog.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::poller::{Interest, Poller, Source};
use crate::syscalls;

/// How long the listener pauses at most. The end of a connection ends the pause sooner. Other parts of the process and
/// other processes free descriptors too, and nobody tells of it.
const PAUSE: Duration = Duration::from_millis(100);

/// So many broken connections in a row are the fault of something else: the listener pauses, or the loop would spin.
const BROKEN_IN_A_ROW: usize = 64;

/// A listening socket.
pub struct Listener {
    socket: OwnedFd,
    /// It pauses until this moment, when [`Self::resume`] is to be called at the latest. The poller does not report it
    /// meanwhile: level-triggered, a listener that cannot be served would wake the loop without end.
    pub paused_until: Option<Duration>,
}

impl Listener {
    /// Binds and listens. Returns where, too, with the port that the kernel chose if none was asked for. Fails as
    /// socket(2), setsockopt(2), bind(2), listen(2) and getsockname(2) do, above all with
    /// `EADDRINUSE` (of bind or of listen), `EACCES` and `EADDRNOTAVAIL`. Then no descriptor is left open.
    pub fn bind(address: SocketAddrV4, backlog: i32) -> Result<(Self, SocketAddrV4)> {
        let socket = syscalls::socket()?;
        // Lets a restarted server have its port back while old connections are in TIME_WAIT. SO_REUSEPORT would hide that
        // another server listens there.
        syscalls::setsockopt(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        // Accepted sockets inherit these. Without the first, pipelined messages meet stalls of 40 ms (Nagle's algorithm
        // against delayed acknowledgements); the second finds peers that are gone without a word; the
        // third leaves urgent data in its place in the stream (RFC 6093).
        syscalls::setsockopt(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        syscalls::setsockopt(&socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
        syscalls::setsockopt(&socket, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1)?;
        syscalls::bind(&socket, address)?;
        let address = syscalls::getsockname(&socket)?;
        // bind(2) takes broadcast and multicast addresses, too, but nobody can connect to them. At others the attempt is
        // refused, for nobody listens yet.
        if let Err(Error { errno: libc::ENETUNREACH, .. }) = syscalls::connect(syscalls::socket()?, address) {
            return Err(Error { errno: libc::EADDRNOTAVAIL, syscall: "bind" });
        }
        syscalls::listen(&socket, backlog)?;
        Ok((Self { socket, paused_until: None }, address))
    }

    /// Has the poller report that a client waits. Fails as [`Poller::add`] does.
    pub fn register(&self, poller: &Poller) -> Result<()> {
        poller.add(&self.socket, Source::Listener, Interest::Readable)
    }

    /// Takes one connection from the backlog, with the address of its peer, if a client waits there and can be served
    /// now.
    pub fn accept(&mut self, context: &Context) -> Option<(OwnedFd, SocketAddrV4)> {
        if self.is_paused() {
            return None;
        }
        for _ in 0..BROKEN_IN_A_ROW {
            match syscalls::accept(&self.socket) {
                Ok(accepted) => return Some(accepted),
                Err(Error { errno: libc::EAGAIN, .. }) => return None,
                // Said also where no client waits.
                Err(Error { errno: libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM, .. }) => {
                    if syscalls::is_readable(&self.socket).is_ok_and(|is_readable| !is_readable) {
                        return None;
                    }
                    break;
                }
                // ECONNABORTED, EPERM and the like (accept(2)): the connection is gone. There may be others behind it.
                Err(_) => {}
            }
        }
        context.poller.remove(&self.socket);
        self.paused_until = Some(context.clock.after(PAUSE));
        None
    }

    /// Whether it pauses.
    pub fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    /// Ends the pause. If that fails it goes on.
    pub fn resume(&mut self, context: &Context) {
        // In case it was not removed: then it could not be added.
        context.poller.remove(&self.socket);
        let resumed = self.register(&context.poller);
        self.paused_until = resumed.err().map(|_| context.clock.after(PAUSE));
    }

    /// Closes it. Clients that still wait in the backlog are reset by the kernel.
    pub fn close(self, poller: &Poller) {
        poller.remove(&self.socket);
    }
}
