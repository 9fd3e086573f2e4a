//! The calls of Darwin: macOS. Sources are Apple's man pages and the kernel, XNU (bsd/kern, bsd/netinet).
//!
//! No call makes a descriptor with its flags: a child that another thread forks between the call and the one that sets
//! close-on-exec inherits it.

use std::hint;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use libc::{c_int, c_short, c_void, kevent64_s, sockaddr_in, socklen_t, timespec};

use super::{check, getsockopt, length_of, owned, retry, setsockopt, with_address};
use crate::drain::Received;
use crate::error::{Error, Result};

/// The state of a connection that is over: `netinet/tcp_fsm.h`.
const TCPS_CLOSED: u8 = 0;

/// How long a connection, or what a client has written, may be on its way through loopback after the client's call: XNU leaves it to a
/// thread of its own (`lo_output`).
pub const DELIVERY: Duration = Duration::from_millis(5);

/// Goes on: on an Intel processor a thread that yields with `sched_yield(2)` has the lowest priority for 10 ms (`swtch_pri` of XNU), whatever
/// comes for it meanwhile.
pub fn yield_now() {
    hint::spin_loop();
}

/// What to ask listen(2) for: XNU keeps it in a short (`so_qlimit`, solisten), and of a greater one a negative number may remain, with which
/// nobody can connect.
pub fn possible_backlog(backlog: c_int) -> c_int {
    backlog.min(c_short::MAX.into())
}

/// A TCP socket over IPv4: socket(2). Writing to a connection that is gone makes no signal: on Darwin SIGPIPE goes to the
/// process, and blocking it on a thread does not help. What a listener accepts inherits that, and that it does not block
/// (`sonewconn` and `accept` of XNU).
pub fn socket() -> Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let socket = close_on_exec(check("socket", unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) }))?;
    // SAFETY: takes no pointer.
    check("fcntl", unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    setsockopt(&socket, libc::SOL_SOCKET, libc::SO_NOSIGPIPE, 1)?;
    Ok(socket)
}

/// Takes one connection from the backlog, with the address of its peer: accept(2).
pub fn accept(listener: impl AsFd) -> Result<(OwnedFd, SocketAddrV4)> {
    let fd = listener.as_fd().as_raw_fd();
    // XNU takes the connection from the backlog before it looks for a descriptor, and drops it if there is none. So it is
    // asked for one first. Another thread may take it in between, and a full table of the system (`ENFILE`) does not show.
    // SAFETY: takes no pointer.
    drop(owned(check("accept", unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) }))?);
    with_address(|name, length: *mut socklen_t| {
        // SAFETY: the kernel writes at most `length` bytes to `name`; both outlive the call.
        let socket = close_on_exec(retry("accept", || unsafe { libc::accept(fd, name, length) }))?;
        // A connection that was reset in the backlog may come without an address.
        // SAFETY: `length` points to what the kernel has just written.
        if unsafe { *length } == 0 { Err(Error { errno: libc::ECONNABORTED, syscall: "accept" }) } else { Ok(socket) }
    })
}

/// A new descriptor that no child inherits.
fn close_on_exec(returned: Result<usize>) -> Result<OwnedFd> {
    let fd = owned(returned)?;
    // SAFETY: takes no pointer.
    check("fcntl", unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(fd)
}

/// Whether it is connected by now, or why it will not be: `SO_ERROR` says why, and getpeername(2) whether. A second
/// connect(2) would not tell a refusal.
pub fn finish_connect(socket: impl AsFd, _: SocketAddrV4) -> Result<bool> {
    pending_error(&socket)?;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `length` bytes to `name`; both outlive the call.
    match with_address(|name, length| check("getpeername", unsafe { libc::getpeername(fd, name, length) })) {
        Ok(_) => Ok(true),
        Err(Error { errno: libc::ENOTCONN, .. }) => pending_error(&socket).map(|()| false),
        // `EINVAL`: it has ended between the two calls.
        Err(_) => pending_error(&socket).and(Err(Error { errno: libc::ECONNRESET, syscall: "connect" })),
    }
}

/// Takes the error that a connect has left.
fn pending_error(socket: impl AsFd) -> Result<()> {
    let errno: c_int = getsockopt(socket, libc::SOL_SOCKET, libc::SO_ERROR)?;
    if errno == 0 { Ok(()) } else { Err(Error { errno, syscall: "connect" }) }
}

/// Whether clients can connect to this address, to which a socket is bound. bind(2) has refused the others, with `EAFNOSUPPORT`
/// (`tcp_usr_bind`), but for broadcast addresses of one network.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it takes a call that can fail")]
pub fn is_connectable(_: SocketAddrV4) -> Result<bool> {
    Ok(true)
}

/// An error as the engine knows it: as Linux says it.
pub fn as_known(error: Error) -> Error {
    let errno = match (error.syscall, error.errno) {
        // Of multicast and broadcast addresses (`tcp_usr_bind`, `tcp_usr_connect_common`); and of a client's port in TIME_WAIT, which
        // kernels before macOS 11.5 may choose (`in_pcbbind`).
        ("bind", libc::EAFNOSUPPORT) | ("connect", libc::EADDRINUSE) => libc::EADDRNOTAVAIL,
        ("connect", libc::EAFNOSUPPORT) => libc::ENETUNREACH,
        // The port that XNU has chosen for the client is the one to connect to, on which then nobody listens (`tcp_connect`;
        // libuv #2503).
        ("connect", libc::EINVAL) => libc::ECONNREFUSED,
        // There is no connection any more.
        ("shutdown", libc::EINVAL) => libc::ENOTCONN,
        (_, errno) => errno,
    };
    Error { errno, ..error }
}

/// Whether everything that was written is on its way. Darwin does not say: it is taken to be.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it takes a call that can fail")]
pub fn is_sent(_: impl AsFd) -> Result<bool> {
    Ok(true)
}

/// Writes what there is room for, and says how much that was: write(2), of no more than an int can count. Where XNU finds no
/// memory for a part (`ENOBUFS`), it does not say what it has taken before, so to try again could write bytes twice.
pub fn write(fd: impl AsFd, data: &[u8]) -> Result<usize> {
    let (raw, length) = (fd.as_fd().as_raw_fd(), data.len().min(c_int::MAX as usize));
    // SAFETY: the kernel reads at most `length` bytes from `data`, which has as many and outlives the call.
    match retry("write", || unsafe { libc::write(raw, data.as_ptr().cast::<c_void>(), length) }) {
        // `sosend` says the one before it looks why the connection is gone; the other comes while it is torn down (libuv #3405, mio #1364),
        // and for ever when a filter takes the flows of programs over (`necp_socket_should_use_flow_divert`).
        Err(error @ Error { errno: libc::EPIPE | libc::EPROTOTYPE, .. }) => Err(why_gone(&fd).unwrap_or(error)),
        result => result,
    }
}

fn why_gone(socket: impl AsFd) -> Option<Error> {
    let errno = getsockopt(socket, libc::SOL_SOCKET, libc::SO_ERROR).unwrap_or(0);
    (errno != 0).then_some(Error { errno, syscall: "write" })
}

/// How many bytes the peer has not acknowledged yet: `SO_NWRITE`, which the header sys/socket.h describes.
pub fn unacknowledged(socket: impl AsFd) -> Result<u32> {
    getsockopt::<c_int>(socket, libc::SOL_SOCKET, libc::SO_NWRITE).map(c_int::cast_unsigned)
}

/// Whether a TCP connection is over, so that nothing is on its way any more. `SO_NWRITE` does not say so (`tcp_close` leaves the buffer as it
/// was), nor may `SO_ERROR`: `TCP_CONNECTION_INFO`, whose first byte is the state; it fails where there is no connection at all.
pub fn is_over(socket: impl AsFd) -> bool {
    getsockopt::<u8>(socket, libc::IPPROTO_TCP, libc::TCP_CONNECTION_INFO).map_or(true, |state| state == TCPS_CLOSED)
}

/// A connection is to be asked soon what its peer has acknowledged: later nobody can tell when that was.
pub const KNOWS_LAST_ACKNOWLEDGEMENT: bool = false;

/// How long ago the peer last acknowledged something. Darwin does not say, so it is taken for just now.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it takes a call that can fail")]
pub fn since_acknowledgement(_: impl AsFd) -> Result<Duration> {
    Ok(Duration::ZERO)
}

/// What has come in on a TCP connection: `TCP_CONNECTION_INFO` of `netinet/tcp.h`, whose times are milliseconds (`tcp_fill_info`), and
/// `SO_NREAD`. When the last bytes came Darwin does not say, so it is taken for just now.
pub fn received(socket: impl AsFd) -> Result<Received> {
    let info: libc::tcp_connection_info = getsockopt(&socket, libc::IPPROTO_TCP, libc::TCP_CONNECTION_INFO)?;
    let waiting: c_int = getsockopt(socket, libc::SOL_SOCKET, libc::SO_NREAD)?;
    Ok(Received {
        bytes: info.tcpi_rxbytes,
        waiting: waiting.cast_unsigned() as usize,
        since: Duration::ZERO,
        round_trip: Duration::from_millis(info.tcpi_srtt.into()),
    })
}

/// A new kernel event queue: kqueue(2).
pub fn kqueue() -> Result<OwnedFd> {
    // SAFETY: takes no pointer.
    close_on_exec(check("kqueue", unsafe { libc::kqueue() }))
}

/// Makes changes, and waits for events at most for `timeout` (`None`: without end); says how many came: kevent64(2), whose
/// events have no pointer in them.
pub fn kevent(
    queue: impl AsFd,
    changes: &[kevent64_s],
    events: &mut [kevent64_s],
    timeout: Option<timespec>,
) -> Result<usize> {
    let room = |length: usize| c_int::try_from(length).unwrap_or(c_int::MAX);
    let (fd, to) = (queue.as_fd().as_raw_fd(), events.as_mut_ptr());
    // Without it XNU arms a timer to wait for no time at all, too.
    let is_zero = timeout.is_some_and(|time| time.tv_sec == 0 && time.tv_nsec == 0);
    let flags = if is_zero { libc::KEVENT_FLAG_IMMEDIATE } else { 0 };
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads `changes`, writes at most as many events as `events` has, which is borrowed for us alone, and
    // reads the time, if there is one; all outlive the call.
    check("kevent64", unsafe {
        libc::kevent64(fd, changes.as_ptr(), room(changes.len()), to, room(events.len()), flags, timeout)
    })
}

/// An address as the kernel takes it.
#[expect(clippy::cast_possible_truncation, reason = "AF_INET and the length are less than 256")]
pub fn to_sockaddr(address: SocketAddrV4) -> sockaddr_in {
    sockaddr_in {
        sin_len: length_of::<sockaddr_in>() as u8,
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}
