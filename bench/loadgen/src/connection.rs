//! One connection to the server: how it is opened, what it still has to send, and what must come back.

use crate::cli::Load;
use crate::pattern::Pattern;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait before trying again for a free port.
const PORT_RETRY: Duration = Duration::from_millis(1);

/// Connects. While this side is out of free ports (a closed one comes back after a second) it waits for one: that is the
/// client's shortage, and no failure of the server.
pub fn connect(load: &Load) -> io::Result<TcpStream> {
    let begin = Instant::now();
    let stream = loop {
        match TcpStream::connect_timeout(&(load.host, load.port).into(), load.timeout) {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable && begin.elapsed() < load.timeout => {
                sleep(PORT_RETRY);
            }
            result => break result?,
        }
    };
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(load.timeout))?;
    Ok(stream)
}

/// Fails unless the bytes that came back are those that were sent.
pub fn compare(answer: &[u8], message: &[u8]) -> io::Result<()> {
    if answer == message { Ok(()) } else { Err(io::Error::new(ErrorKind::InvalidData, "wrong bytes came back")) }
}

/// One connection, its stream of messages all of one size.
pub struct Connection {
    stream: TcpStream,
    /// Which of the pattern's streams this connection sends
    number: u64,
    /// Bytes per message
    size: u64,
    /// Bytes that should have been sent by now
    offered: u64,
    /// Bytes written to the socket
    sent: u64,
    /// Bytes that came back
    received: u64,
    /// The time when each message under way should have been sent, oldest first
    intended: VecDeque<Duration>,
    /// Whether the poller has been asked to tell when the socket takes more
    pub waits_to_write: bool,
}

impl Connection {
    /// Takes a connected non-blocking socket.
    pub fn new(stream: TcpStream, number: u64, size: u64) -> Self {
        let intended = VecDeque::new();
        Self { stream, number, size, offered: 0, sent: 0, received: 0, intended, waits_to_write: false }
    }

    /// The socket, for the poller.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Adds one message, which should leave at `time`.
    pub fn offer(&mut self, time: Duration) {
        self.offered += self.size;
        self.intended.push_back(time);
    }

    /// Writes what the socket takes. Whether anything is left then.
    pub fn send(&mut self, pattern: &Pattern) -> io::Result<bool> {
        while self.sent < self.offered {
            match self.stream.write(pattern.at(self.number, self.sent, self.offered - self.sent)) {
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Reads once and compares. The end of the stream is an error: no server may close first.
    pub fn receive(&mut self, pattern: &Pattern, buffer: &mut [u8]) -> io::Result<()> {
        let count = match self.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        let expected = pattern.at(self.number, self.received, count as u64);
        self.received += count as u64;
        compare(if self.received <= self.sent { &buffer[..count] } else { &[] }, expected)
    }

    /// Takes the oldest message under way if all of it has come back: the time it should have been sent.
    pub fn complete(&mut self) -> Option<Duration> {
        let outstanding = self.intended.len() as u64;
        let complete = self.received >= self.offered - (outstanding.checked_sub(1)?) * self.size;
        if complete { self.intended.pop_front() } else { None }
    }
}
