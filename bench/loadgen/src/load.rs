//! Closed and open loop: one thread, one poller, any number of connections.

use crate::cli::Load;
use crate::connect::connect;
use crate::connection::Connection;
use crate::pattern::Pattern;
use crate::poll::{Poller, Ready};
use crate::report::{Report, Tally};
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
    /// `None` once a connection has died
    connections: Vec<Option<Connection>>,
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
pub fn run(load: &Load, pace: Pace) -> io::Result<Report> {
    let mut run = Run::open(load, pace)?;
    run.start();
    let mut ready = Vec::new();
    while run.goes_on() {
        ready.extend(run.poller.wait(run.patience())?);
        for event in ready.drain(..) {
            run.serve(event);
        }
        run.issue_due();
    }
    run.tally.failures += run.connections.iter().flatten().map(Connection::under_way).sum::<u64>();
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
            connections.push(Some(Connection::new(stream, u64::from(number), load.size)));
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

    fn start(&mut self) {
        self.begin = Instant::now();
        let Pace::Window(depth) = self.pace else { return };
        for index in 0..self.connections.len() {
            self.issue(index, depth, self.begin.elapsed());
        }
    }

    /// Whether a message that should leave at this time is one too many.
    fn is_over(&self, time: Duration) -> bool {
        self.issued >= self.load.limits.messages || time >= self.load.limits.duration
    }

    /// Offers so many more messages, up to the end of the run, and sends what can be sent.
    fn issue(&mut self, index: usize, count: u32, time: Duration) {
        for _ in 0..count {
            if self.is_over(time) {
                break;
            }
            let Some(connection) = self.connections[index].as_mut() else { break };
            connection.offer(time);
            self.issued += 1;
        }
        self.send(index);
    }

    /// When the message after the last one offered should leave at a fixed rate.
    fn due(&self, rate: u32) -> Duration {
        Duration::from_nanos(self.issued * 1_000_000_000 / u64::from(rate))
    }

    /// At a fixed rate, offers every message whose time has come, on the connections in turn.
    fn issue_due(&mut self) {
        let Pace::Rate(rate) = self.pace else { return };
        while self.due(rate) <= self.begin.elapsed() && !self.is_over(self.due(rate)) {
            let Some(index) = self.next_alive() else { break };
            self.issue(index, 1, self.due(rate));
        }
    }

    fn next_alive(&self) -> Option<usize> {
        let count = self.connections.len();
        let turn = usize::try_from(self.issued % count as u64).expect("an index");
        (turn..turn + count).map(|index| index % count).find(|index| self.connections[*index].is_some())
    }

    /// Whether anything is still to come: an answer, unless none has come for too long, or a message to be sent.
    fn goes_on(&self) -> bool {
        let now = self.begin.elapsed();
        let outstanding = self.issued > self.tally.messages + self.tally.failures;
        let stuck = outstanding && now.saturating_sub(self.last_progress) > self.load.timeout;
        let alive = self.connections.iter().any(Option::is_some);
        alive && !stuck && (outstanding || !self.is_over(now))
    }

    /// How long the poller may sleep.
    fn patience(&self) -> Duration {
        match self.pace {
            Pace::Window(_) => NAP,
            Pace::Rate(rate) => self.due(rate).saturating_sub(self.begin.elapsed()).min(NAP),
        }
    }

    fn serve(&mut self, event: Ready) {
        if event.write {
            self.send(event.index);
        }
        if event.read {
            self.receive(event.index);
        }
    }

    fn send(&mut self, index: usize) {
        let Some(connection) = self.connections[index].as_mut() else { return };
        let sent = connection.send(&self.pattern).and_then(|more| {
            if more == connection.waits_to_write {
                return Ok(());
            }
            connection.waits_to_write = more;
            self.poller.watch(connection.stream(), index, more)
        });
        if let Err(error) = sent {
            self.bury(index, &error);
        }
    }

    fn receive(&mut self, index: usize) {
        let Some(connection) = self.connections[index].as_mut() else { return };
        if let Err(error) = connection.receive(&self.pattern, &mut self.buffer) {
            return self.bury(index, &error);
        }
        let now = self.begin.elapsed();
        let mut completed = 0;
        while let Some(intended) = connection.complete() {
            self.tally.complete(now.saturating_sub(intended));
            completed += 1;
        }
        if completed > 0 {
            self.last_progress = now;
            if let Pace::Window(_) = self.pace {
                self.issue(index, completed, now);
            }
        }
    }

    /// Drops a dead connection; every message it still owed has failed, and so has the connection if it owed none.
    fn bury(&mut self, index: usize, error: &io::Error) {
        self.tally.mismatches += u64::from(error.kind() == ErrorKind::InvalidData);
        if let Some(dead) = self.connections[index].take() {
            self.tally.failures += dead.under_way().max(1);
        }
    }
}
