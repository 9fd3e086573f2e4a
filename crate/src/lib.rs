//! A TCP echo server (RFC 862) made of the system calls `socket`, `bind`, `listen`, `accept`, `read` and `write`.
//!
//! [`server::Server`] is the way in. The data goes straight down: server, event loop, connection or exchange, system
//! calls.

pub mod address;
pub mod connection;
pub mod error;
pub mod event_loop;
pub mod exchange;
pub mod listener;
pub mod mailbox;
pub mod poller;
pub mod send_queue;
pub mod server;
pub mod slots;
pub mod stats;
mod syscalls;
