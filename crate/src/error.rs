//! What a failed system call leaves behind: which call it was, and why it failed.

use std::io;

/// The result of a system call.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed system call.
///
/// The number is the positive `errno` of `errno(3)`. Names and texts are not kept here: Rust has them in
/// [`io::Error`], Node.js in `util.getSystemErrorMap()`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Error {
    /// Why: a positive number of `errno(3)`, such as `EADDRINUSE`.
    pub errno: i32,
    /// Where: the name of the call, such as `bind`.
    pub syscall: &'static str,
}

impl Error {
    /// The error that the calling thread's last system call left in `errno`.
    pub fn last(syscall: &'static str) -> Self {
        Self { errno: io::Error::last_os_error().raw_os_error().unwrap_or(0), syscall }
    }

    /// Whether a non-blocking call only says "not now": wait for the poller, then call again.
    pub fn would_block(self) -> bool {
        // EWOULDBLOCK is the same number on Linux.
        self.errno == libc::EAGAIN
    }
}
