//! The system calls, one safe function each. This is the only module with unsafe code.
//!
//! A descriptor is an [`OwnedFd`], so closing is dropping; borrowed ones come as `impl AsFd`, so none is used after its
//! end. Every descriptor is made close-on-exec, and every socket non-blocking.
//!
//! Here stands what all systems have in common; what differs is in a module for each, with the same functions.

#![allow(unsafe_code)]

use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, c_void, sockaddr, sockaddr_in, socklen_t};

use crate::error::{Error, Result};

#[cfg(target_os = "linux")]
#[path = "syscalls/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "syscalls/darwin.rs"]
mod system;

pub use system::*;

/// The calling convention: a negative number says that `errno` has the reason.
fn check<N: TryInto<usize>>(syscall: &'static str, returned: N) -> Result<usize> {
    returned.try_into().map_err(|_| as_known(Error::last(syscall)))
}

/// The same for calls that a signal can interrupt: they are made again (signal(7)).
fn retry<N: TryInto<usize>>(syscall: &'static str, mut call: impl FnMut() -> N) -> Result<usize> {
    loop {
        match call().try_into() {
            Ok(returned) => return Ok(returned),
            Err(_) => match as_known(Error::last(syscall)) {
                Error { errno: libc::EINTR, .. } => {}
                error => return Err(error),
            },
        }
    }
}

/// The same for calls that return a new descriptor.
fn owned(returned: Result<usize>) -> Result<OwnedFd> {
    // SAFETY: every caller has the descriptor fresh from the kernel, and no one else has it.
    returned.map(|fd| unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).expect("the kernel gave out an int")) })
}

/// Sets a socket option: setsockopt(2).
pub fn setsockopt<T: Copy>(socket: impl AsFd, level: c_int, name: c_int, value: T) -> Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let value = ptr::from_ref(&value).cast::<c_void>();
    // SAFETY: the pointer and the length describe a value that outlives the call; `T` is plain C data.
    check("setsockopt", unsafe { libc::setsockopt(fd, level, name, value, length_of::<T>()) }).map(drop)
}

/// Reads a socket option: getsockopt(2). `T` is a type of libc's that is valid when all its bytes are zero.
fn getsockopt<T: Copy>(socket: impl AsFd, level: c_int, name: c_int) -> Result<T> {
    let (mut value, mut length) = (MaybeUninit::<T>::zeroed(), length_of::<T>());
    let (fd, to) = (socket.as_fd().as_raw_fd(), value.as_mut_ptr().cast::<c_void>());
    // SAFETY: the kernel writes at most `length` bytes to `value`; both outlive the call.
    check("getsockopt", unsafe { libc::getsockopt(fd, level, name, to, &raw mut length) })?;
    // SAFETY: it is plain C data, for which zeros are valid, too.
    Ok(unsafe { value.assume_init() })
}

/// Makes the coming close a RST: `SO_LINGER` of socket(7). A failure leaves an ordinary close.
pub fn reset_at_close(socket: impl AsFd) {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    let _ = setsockopt(socket, libc::SOL_SOCKET, libc::SO_LINGER, at_once);
}

/// Gives the socket its local address: bind(2).
pub fn bind(socket: impl AsFd, address: SocketAddrV4) -> Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let name = to_sockaddr(address);
    let name = ptr::from_ref(&name).cast::<sockaddr>();
    // SAFETY: the pointer and the length describe a `sockaddr_in` that outlives the call.
    check("bind", unsafe { libc::bind(fd, name, length_of::<sockaddr_in>()) }).map(drop)
}

/// Opens the socket for connections: listen(2).
pub fn listen(socket: impl AsFd, backlog: c_int) -> Result<()> {
    // SAFETY: takes no pointer.
    check("listen", unsafe { libc::listen(socket.as_fd().as_raw_fd(), possible_backlog(backlog)) }).map(drop)
}

/// The socket's own address: getsockname(2).
pub fn getsockname(socket: impl AsFd) -> Result<SocketAddrV4> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `length` bytes to `name`; both outlive the call.
    with_address(|name, length| check("getsockname", unsafe { libc::getsockname(fd, name, length) }))
        .map(|(_, address)| address)
}

/// Makes a call that writes an address.
fn with_address<T>(call: impl FnOnce(*mut sockaddr, *mut socklen_t) -> Result<T>) -> Result<(T, SocketAddrV4)> {
    let mut name = to_sockaddr(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    let mut length = length_of::<sockaddr_in>();
    let result = call((&raw mut name).cast::<sockaddr>(), &raw mut length)?;
    Ok((result, SocketAddrV4::new(name.sin_addr.s_addr.to_ne_bytes().into(), u16::from_be(name.sin_port))))
}

/// Starts to connect, and says whether it is connected at once: connect(2). How else it ends says [`finish_connect`].
pub fn connect(socket: impl AsFd, address: SocketAddrV4) -> Result<bool> {
    let fd = socket.as_fd().as_raw_fd();
    let name = to_sockaddr(address);
    let name = ptr::from_ref(&name).cast::<sockaddr>();
    // SAFETY: the pointer and the length describe a `sockaddr_in` that outlives the call.
    match retry("connect", || unsafe { libc::connect(fd, name, length_of::<sockaddr_in>()) }) {
        Ok(_) | Err(Error { errno: libc::EISCONN, .. }) => Ok(true),
        Err(Error { errno: libc::EINPROGRESS | libc::EALREADY, .. }) => Ok(false),
        // connect(2): for a TCP socket it means that all client ports are taken, and nothing is under way.
        Err(Error { errno: libc::EAGAIN, syscall }) => Err(Error { errno: libc::EADDRNOTAVAIL, syscall }),
        Err(error) => Err(error),
    }
}

/// Reads what is there, at most the buffer's length; 0 is the end of input: read(2).
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`, which is borrowed for us alone.
    retry("read", || unsafe { libc::read(fd, buffer.as_mut_ptr().cast::<c_void>(), buffer.len()) })
}

/// Ends our side of the connection, so that the peer reads an end: shutdown(2) with `SHUT_WR`. `ENOTCONN` says that there is no
/// connection any more.
pub fn shutdown_write(socket: impl AsFd) -> Result<()> {
    // SAFETY: takes no pointer.
    check("shutdown", unsafe { libc::shutdown(socket.as_fd().as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// Takes the error that the socket has pending, and fails with it: `SO_ERROR` of socket(7).
pub fn take_error(socket: impl AsFd) -> Result<()> {
    let errno: c_int = getsockopt(socket, libc::SOL_SOCKET, libc::SO_ERROR)?;
    if errno == 0 { Ok(()) } else { Err(Error { errno, syscall: "read" }) }
}

/// Whether there is something to read or to accept now: poll(2).
pub fn is_readable(fd: impl AsFd) -> Result<bool> {
    let mut entry = libc::pollfd { fd: fd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the kernel writes to one entry, which outlives the call.
    check("poll", unsafe { libc::poll(&raw mut entry, 1, 0) }).map(|count| count > 0)
}

/// Ends the process at once: `_exit(2)`.
pub fn exit(code: i32) -> ! {
    // SAFETY: takes no pointer, and nothing of the process runs after it.
    unsafe { libc::_exit(code) }
}

/// Runs `body` with every signal blocked on the calling thread: `pthread_sigmask(3)`.
///
/// A thread that is spawned meanwhile inherits the mask, so no signal of the process is ever delivered to it.
pub fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the whole set it is given.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `all` is initialised, `before` has room for the set that is written there. It can fail only for a first
    // argument other than the three that exist.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let result = body();
    // SAFETY: `before` was initialised by the call above; a null pointer says that the old set is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    result
}

#[expect(clippy::cast_possible_truncation, reason = "no option and no address is longer than a few bytes")]
fn length_of<T>() -> socklen_t {
    size_of::<T>() as socklen_t
}
