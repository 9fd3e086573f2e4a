//! How the listening socket is made.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

use crate::error::{Error, Result};
use crate::syscalls;

/// Binds and listens. Returns where, too, with the port that the kernel chose if none was asked for. Fails as socket(2),
/// setsockopt(2), bind(2), listen(2) and getsockname(2) do, above all with `EADDRINUSE` (of bind or of listen), `EACCES`
/// and `EADDRNOTAVAIL`. Then no descriptor is left open.
pub fn listen(address: SocketAddrV4, backlog: i32) -> Result<(OwnedFd, SocketAddrV4)> {
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
    if !syscalls::is_connectable(address)? {
        return Err(Error { errno: libc::EADDRNOTAVAIL, syscall: "bind" });
    }
    syscalls::listen(&socket, backlog)?;
    Ok((socket, address))
}
