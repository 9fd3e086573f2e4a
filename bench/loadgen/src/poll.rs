//! The client's epoll instance.

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Events taken from the kernel at once.
const BATCH: usize = 256;

/// Tells which connections are ready.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// Opens an epoll instance.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(BATCH) })
    }

    /// Watches a connection for input.
    pub fn add(&self, stream: &TcpStream, index: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, stream, EventData::new_u64(index as u64), EventFlags::IN)?)
    }

    /// Watches for input and, if asked, for room to write.
    pub fn watch(&self, stream: &TcpStream, index: usize, write: bool) -> io::Result<()> {
        let interest = if write { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.epoll, stream, EventData::new_u64(index as u64), interest)?)
    }

    /// Waits up to `timeout`, and tells which connections are ready for what.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<impl Iterator<Item = (usize, EventFlags)> + '_> {
        let timeout = Timespec::try_from(timeout).map_err(|_| Errno::INVAL)?;
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let index = |data: EventData| usize::try_from(data.u64()).expect("was a usize");
        Ok(self.events.iter().map(move |&Event { flags, data }| (index(data), flags)))
    }
}
