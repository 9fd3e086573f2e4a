//! The calls of Linux. Every descriptor is made with its flags by the call that makes it: none can leak into a child process,
//! whatever another thread forks in between.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use libc::{c_int, c_void, sockaddr_in};

use super::{check, getsockopt, owned, retry, setsockopt, with_address};
use crate::drain::Received;
use crate::error::{Error, Result};

/// Of linux/sockios.h; libc does not have it for glibc.
const SIOCOUTQNSD: libc::Ioctl = 0x894b;

/// The state of a connection that is over: libc lacks it, see `tcp_states.h` of the kernel.
const TCP_CLOSE: u8 = 7;

/// `tcp_info` of linux/tcp.h; what libc has of it lacks the last field.
#[derive(Clone, Copy)]
#[repr(C)]
struct TcpInfo {
    before: [u32; 13],
    last_data_recv: u32,
    between: [u32; 3],
    rtt: u32,
    behind: [u32; 8],
    others: [u64; 3],
    bytes_received: u64,
}

/// How long a connection, or what a client has written, may be on its way through loopback after the client's call: Linux delivers it
/// within the call.
pub const DELIVERY: Duration = Duration::ZERO;

/// Lets the other threads that wait for this core run, and goes on: `sched_yield(2)`.
pub fn yield_now() {
    thread::yield_now();
}

/// What to ask listen(2) for: anything, the kernel lowers it to its own limit.
pub fn possible_backlog(backlog: c_int) -> c_int {
    backlog
}

/// A TCP socket over IPv4: socket(2).
pub fn socket() -> Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    owned(check("socket", unsafe { libc::socket(libc::AF_INET, kind, 0) }))
}

/// Takes one connection from the backlog, with the address of its peer: accept(2), in Linux's form with flags.
pub fn accept(listener: impl AsFd) -> Result<(OwnedFd, SocketAddrV4)> {
    let fd = listener.as_fd().as_raw_fd();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    with_address(|name, length| {
        // SAFETY: the kernel writes at most `length` bytes to `name`; both outlive the call.
        owned(retry("accept", || unsafe { libc::accept4(fd, name, length, flags) }))
    })
}

/// Whether it is connected by now, or why it will not be. A second connect(2) says it.
pub fn finish_connect(socket: impl AsFd, address: SocketAddrV4) -> Result<bool> {
    super::connect(socket, address)
}

/// Whether clients can connect to this address, to which a socket is bound that does not listen yet. bind(2) takes multicast and
/// broadcast addresses, too; connect(2) says that there is no way to those, and is refused elsewhere. It says so of this machine's
/// own addresses, too, while the loopback interface is down.
pub fn is_connectable(address: SocketAddrV4) -> Result<bool> {
    if [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST].contains(address.ip()) {
        return Ok(true);
    }
    let refusal = super::connect(socket()?, address).map_err(|error| error.errno);
    Ok(refusal != Err(libc::ENETUNREACH))
}

/// An error as the engine knows it: as Linux says it.
pub fn as_known(error: Error) -> Error {
    error
}

/// How many bytes the peer has not acknowledged yet: `SIOCOUTQ` of tcp(7).
pub fn unacknowledged(socket: impl AsFd) -> Result<u32> {
    let mut count: c_int = 0;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: TIOCOUTQ (SIOCOUTQ is another name for it) writes one int to `count`, which outlives the call.
    check("ioctl", unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut count) })?;
    Ok(count.cast_unsigned())
}

/// Whether everything that was written is on its way. If not, the socket counts as writable only when it is: `SIOCOUTQNSD` and
/// `TCP_NOTSENT_LOWAT` of tcp(7).
pub fn is_sent(socket: impl AsFd) -> Result<bool> {
    let mut count: c_int = 0;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: SIOCOUTQNSD writes one int to `count`, which outlives the call.
    check("ioctl", unsafe { libc::ioctl(fd, SIOCOUTQNSD, &raw mut count) })?;
    if count > 0 {
        setsockopt(&socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, 1)?;
    }
    Ok(count == 0)
}

/// Writes what there is room for, and says how much that was: write(2).
pub fn write(fd: impl AsFd, data: &[u8]) -> Result<usize> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the kernel reads at most `data.len()` bytes from `data`, which outlives the call.
    retry("write", || unsafe { libc::write(fd, data.as_ptr().cast::<c_void>(), data.len()) })
}

/// Whether a TCP connection is over, so that nothing is on its way any more. `SIOCOUTQ` does not say so: `TCP_INFO` of tcp(7), whose
/// first byte is the state.
pub fn is_over(socket: impl AsFd) -> bool {
    getsockopt::<u8>(socket, libc::IPPROTO_TCP, libc::TCP_INFO).is_ok_and(|state| state == TCP_CLOSE)
}

/// A connection may be asked at any time how long ago its peer acknowledged something.
pub const KNOWS_LAST_ACKNOWLEDGEMENT: bool = true;

/// How long ago the peer last acknowledged something: `TCP_INFO` of tcp(7).
pub fn since_acknowledgement(socket: impl AsFd) -> Result<Duration> {
    let info: libc::tcp_info = getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(Duration::from_millis(info.tcpi_last_ack_recv.into()))
}

/// What has come in on a TCP connection: `TCP_INFO` and `SIOCINQ` of tcp(7), the latter being `FIONREAD` by another name.
pub fn received(socket: impl AsFd) -> Result<Received> {
    let info: TcpInfo = getsockopt(&socket, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    let mut waiting: c_int = 0;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: FIONREAD writes one int to `waiting`, which outlives the call.
    check("ioctl", unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut waiting) })?;
    Ok(Received {
        bytes: info.bytes_received,
        waiting: waiting.cast_unsigned() as usize,
        since: Duration::from_millis(info.last_data_recv.into()),
        round_trip: Duration::from_micros(info.rtt.into()),
    })
}

/// A counter to wake a poller with: eventfd(2).
pub fn eventfd() -> Result<OwnedFd> {
    // SAFETY: takes no pointer.
    owned(check("eventfd", unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) }))
}

/// A new epoll instance: `epoll_create1(2)`.
pub fn epoll_create() -> Result<OwnedFd> {
    // SAFETY: takes no pointer.
    owned(check("epoll_create1", unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }))
}

/// Adds, changes or removes a descriptor: `epoll_ctl(2)`.
pub fn epoll_ctl(epoll: impl AsFd, operation: c_int, fd: impl AsFd, mut event: libc::epoll_event) -> Result<()> {
    let (epoll, fd) = (epoll.as_fd().as_raw_fd(), fd.as_fd().as_raw_fd());
    // SAFETY: the kernel reads one event from the pointer, which outlives the call.
    check("epoll_ctl", unsafe { libc::epoll_ctl(epoll, operation, fd, &raw mut event) }).map(drop)
}

/// Waits for events, at most `timeout` milliseconds (-1: without end), and says how many came: `epoll_wait(2)`.
///
/// SIGSTOP and SIGCONT interrupt it (signal(7)). It is not made again, because by then the time may be over.
pub fn epoll_wait(epoll: impl AsFd, events: &mut [libc::epoll_event], timeout: c_int) -> Result<usize> {
    let room = c_int::try_from(events.len()).unwrap_or(c_int::MAX);
    let epoll = epoll.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `room` events to `events`, which is borrowed for us alone.
    check("epoll_wait", unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), room, timeout) })
}

/// An address as the kernel takes it.
#[expect(clippy::cast_possible_truncation, reason = "AF_INET is 2")]
pub fn to_sockaddr(address: SocketAddrV4) -> sockaddr_in {
    sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}
