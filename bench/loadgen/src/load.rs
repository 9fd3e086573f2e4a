//! Closed and open loop: one thread, one poller, any number of connections.

use crate::cli::Load;
use crate::connection::{Connection, connect};
use crate::pattern::Pattern;
use crate::poll::Poller;
use crate::report::Tally;
use rustix::event::epoll::EventFlags;
use serde_json::Value;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// Large enough that the client makes fewer calls per MiB than any server.
const BUFFER: usize = 256 * 1024;

/// The most that is handed to one `write`.
const LARGEST_PIECE: u64 = 1 << 20;

/// The longest sleep between two looks at the clock.
const NAP: Duration = Duration::from_millis(100);

/// When the next message leaves.
#[derive(Clone, Copy)]
pub enum Pace {
    /// When an answer is complete; so many are under way at once, per connection
    Window(u32),
    /// So many per second, whatever the server does
    Rate(u32),
}

/// A run under way. Its times count from the beginning.
struct Run<'a> {
    load: &'a Load,
    pace: Pace,
    pattern: Pattern,
    connections: Vec<Connection>,
    poller: Poller,
    buffer: Vec<u8>,
    tally: Tally,
    begin: Instant,
    /// Messages offered so far
    issued: u64,
    /// When the last answer was complete
    last_progress: Duration,
}

/// Carries it out.
pub fn run(load: &Load, pace: Pace) -> io::Result<Value> {
    let mut run = Run::open(load, pace)?;
    run.carry_out()?;
    Ok(run.tally.report(load.size, run.last_progress))
}

impl<'a> Run<'a> {
    fn open(load: &'a Load, pace: Pace) -> io::Result<Self> {
        let poller = Poller::new()?;
        let mut connections = Vec::new();
        for number in 0..load.connections {
            let stream = connect(load)?;
            stream.set_nonblocking(true)?;
            poller.add(&stream, number as usize)?;
            connections.push(Connection::new(stream, u64::from(number), load.size));
        }
        Ok(Self {
            load,
            pace,
            pattern: Pattern::new(LARGEST_PIECE),
            connections,
            poller,
            buffer: vec![0; BUFFER],
            tally: Tally::new(),
            begin: Instant::now(),
            issued: 0,
            last_progress: Duration::ZERO,
        })
    }

    fn carry_out(&mut self) -> io::Result<()> {
        self.begin = Instant::now();
        if let Pace::Window(depth) = self.pace {
            for index in 0..self.connections.len() {
                self.issue(index, depth, self.begin.elapsed())?;
            }
        }
        let mut ready = Vec::new();
        while self.goes_on() {
            ready.extend(self.poller.wait(self.patience())?);
            for (index, events) in ready.drain(..) {
                self.serve(index, events)?;
            }
            self.issue_due()?;
        }
        if self.outstanding() == 0 { Ok(()) } else { Err(ErrorKind::TimedOut.into()) }
    }

    /// Messages offered and not yet back.
    fn outstanding(&self) -> u64 {
        self.issued - self.tally.messages()
    }

    /// Whether a message that should leave at this time is one too many.
    fn is_over(&self, time: Duration) -> bool {
        self.issued >= self.load.limits.messages || time >= self.load.limits.duration
    }

    /// Whether anything is still to come: an answer, unless none has come for too long, or a message to be sent.
    fn goes_on(&self) -> bool {
        let now = self.begin.elapsed();
        if self.outstanding() == 0 {
            return !self.is_over(now);
        }
        now.saturating_sub(self.last_progress) <= self.load.timeout
    }

    /// How long the poller may sleep.
    fn patience(&self) -> Duration {
        match self.pace {
            Pace::Window(_) => NAP,
            Pace::Rate(rate) => self.due(rate).saturating_sub(self.begin.elapsed()).min(NAP),
        }
    }

    /// When the message after the last one offered should leave at a fixed rate.
    fn due(&self, rate: u32) -> Duration {
        Duration::from_nanos(self.issued * 1_000_000_000 / u64::from(rate))
    }

    /// At a fixed rate, offers every message whose time has come, on the connections in turn.
    fn issue_due(&mut self) -> io::Result<()> {
        let Pace::Rate(rate) = self.pace else { return Ok(()) };
        while self.due(rate) <= self.begin.elapsed() && !self.is_over(self.due(rate)) {
            let turn = self.issued % self.connections.len() as u64;
            self.issue(usize::try_from(turn).expect("an index"), 1, self.due(rate))?;
        }
        Ok(())
    }

    /// Offers so many more messages, up to the end of the run, and sends what can be sent.
    fn issue(&mut self, index: usize, count: u32, time: Duration) -> io::Result<()> {
        for _ in 0..count {
            if !self.is_over(time) {
                self.connections[index].offer(time);
                self.issued += 1;
            }
        }
        self.send(index)
    }

    fn serve(&mut self, index: usize, events: EventFlags) -> io::Result<()> {
        if events.contains(EventFlags::OUT) {
            self.send(index)?;
        }
        // Errors and hang-ups come unasked; a read tells what they are.
        if events.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP) {
            self.receive(index)?;
        }
        Ok(())
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let more = connection.send(&self.pattern)?;
        if more != connection.waits_to_write {
            connection.waits_to_write = more;
            self.poller.watch(connection.stream(), index, more)?;
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.receive(&self.pattern, &mut self.buffer)?;
        let now = self.begin.elapsed();
        let mut completed = 0;
        while let Some(intended) = connection.complete() {
            self.tally.complete(now.saturating_sub(intended));
            completed += 1;
        }
        if completed == 0 {
            return Ok(());
        }
        self.last_progress = now;
        match self.pace {
            Pace::Window(_) => self.issue(index, completed, now),
            Pace::Rate(_) => Ok(()),
        }
    }
}
