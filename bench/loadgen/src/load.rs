//! Closed, pipelined, bulk and open loop: one thread, one poller, any number of connections.

use crate::cli::{Limits, Target};
use crate::connect::{connect, resolve};
use crate::connection::{Connection, Received};
use crate::pattern::Pattern;
use crate::poll::{Poller, Ready};
use crate::report::{Report, Tally};
use std::io;
use std::time::{Duration, Instant};

/// Large enough that the client makes fewer calls a MiB than any server.
const BUFFER: usize = 256 * 1024;

/// The longest sleep between two looks at the clock.
const NAP: Duration = Duration::from_millis(100);

/// When the next message leaves.
#[derive(Clone, Copy)]
pub enum Pace {
    /// When an answer is complete; so many of each connection are under way at once
    Window(u32),
    /// So many a second, whatever the server does
    Rate(u32),
}

/// What to do.
pub struct Plan {
    /// The name for the report
    pub mode: &'static str,
    /// The server
    pub target: Target,
    /// When to stop
    pub limits: Limits,
    /// Connections
    pub connections: u32,
    /// Bytes a message
    pub size: u64,
    /// When the next message leaves
    pub pace: Pace,
    /// Whether to poll instead of sleeping
    pub spin: bool,
}

/// A run under way.
struct Run<'a> {
    plan: &'a Plan,
    pattern: Pattern,
    /// `None` once a connection has died
    connections: Vec<Option<Connection>>,
    poller: Poller,
    buffer: Vec<u8>,
    tally: Tally,
    begin: Instant,
    /// Messages offered so far
    issued: u64,
    /// Nanoseconds since the beginning when the last answer was complete
    last_progress: u64,
}

/// Carries the plan out.
pub fn run(plan: &Plan) -> io::Result<(Report, bool)> {
    let mut run = Run::open(plan)?;
    let mut ready = Vec::new();
    run.start()?;
    while run.goes_on() {
        ready.clear();
        let patience = run.patience();
        ready.extend(run.poller.wait(patience)?);
        for event in &ready {
            run.serve(*event)?;
        }
        run.issue_due()?;
    }
    run.tally.failures += run.under_way();
    let elapsed = Duration::from_nanos(run.last_progress);
    Ok((run.tally.report(plan.mode, plan.connections, plan.size, elapsed), run.tally.is_clean()))
}

impl<'a> Run<'a> {
    fn open(plan: &'a Plan) -> io::Result<Self> {
        let address = resolve(&plan.target)?;
        let poller = Poller::new()?;
        let mut connections = Vec::new();
        for number in 0..plan.connections {
            let stream = connect(&address, plan.target.timeout)?;
            stream.set_nonblocking(true)?;
            poller.add(&stream, number as usize)?;
            connections.push(Some(Connection::new(stream, u64::from(number), plan.size)));
        }
        Ok(Self {
            plan,
            pattern: Pattern::new(),
            connections,
            poller,
            buffer: vec![0; BUFFER],
            tally: Tally::new(),
            begin: Instant::now(),
            issued: 0,
            last_progress: 0,
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).expect("a run shorter than centuries")
    }

    fn start(&mut self) -> io::Result<()> {
        self.begin = Instant::now();
        let Pace::Window(depth) = self.plan.pace else { return self.issue_due() };
        for index in 0..self.connections.len() {
            let now = self.now();
            for _ in 0..depth {
                self.issue(index, now);
            }
            self.send(index)?;
        }
        Ok(())
    }

    /// Offers one more message unless the run's end has come.
    fn issue(&mut self, index: usize, time: u64) {
        let over = self.issued >= self.plan.limits.messages || u128::from(time) >= self.plan.limits.duration.as_nanos();
        if let Some(connection) = self.connections[index].as_mut().filter(|_| !over) {
            connection.offer(time);
            self.issued += 1;
        }
    }

    /// When the message after the last one offered should leave at a fixed rate, in nanoseconds.
    fn due(&self, rate: u32) -> u64 {
        self.issued * 1_000_000_000 / u64::from(rate)
    }

    /// At a fixed rate, offers every message whose time has come, on the connections in turn.
    fn issue_due(&mut self) -> io::Result<()> {
        let Pace::Rate(rate) = self.plan.pace else { return Ok(()) };
        while self.due(rate) <= self.now() {
            let (before, time) = (self.issued, self.due(rate));
            let turn = usize::try_from(before % self.connections.len() as u64).expect("an index");
            let Some(index) = self.next_alive(turn) else { break };
            self.issue(index, time);
            if self.issued == before {
                break;
            }
            self.send(index)?;
        }
        Ok(())
    }

    fn next_alive(&self, turn: usize) -> Option<usize> {
        let count = self.connections.len();
        (turn..turn + count).map(|index| index % count).find(|index| self.connections[*index].is_some())
    }

    fn under_way(&self) -> u64 {
        self.connections.iter().flatten().map(|connection| connection.under_way() as u64).sum()
    }

    /// Whether anything is still to come: an answer, unless none has come for too long, or a message to be sent.
    fn goes_on(&self) -> bool {
        let now = self.now();
        let idle = Duration::from_nanos(now - self.last_progress.min(now));
        let outstanding = self.issued > self.tally.messages + self.tally.failures;
        let stuck = outstanding && idle > self.plan.target.timeout;
        let ended = self.issued >= self.plan.limits.messages || u128::from(now) >= self.plan.limits.duration.as_nanos();
        let alive = self.connections.iter().any(Option::is_some);
        alive && !stuck && (outstanding || !ended)
    }

    /// How long the poller may sleep.
    fn patience(&self) -> Duration {
        match self.plan.pace {
            _ if self.plan.spin => Duration::ZERO,
            Pace::Window(_) => NAP,
            Pace::Rate(rate) => Duration::from_nanos(self.due(rate).saturating_sub(self.now())).min(NAP),
        }
    }

    fn serve(&mut self, event: Ready) -> io::Result<()> {
        if event.write {
            self.send(event.index)?;
        }
        if event.read {
            self.receive(event.index)?;
        }
        Ok(())
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = self.connections[index].as_mut() else { return Ok(()) };
        match connection.send(&self.pattern) {
            Ok(more) if more == connection.waits_to_write => Ok(()),
            Ok(more) => {
                connection.waits_to_write = more;
                self.poller.watch(connection.stream(), index, more)
            }
            Err(_) => {
                self.bury(index);
                Ok(())
            }
        }
    }

    fn receive(&mut self, index: usize) -> io::Result<()> {
        let Some(connection) = self.connections[index].as_mut() else { return Ok(()) };
        match connection.receive(&self.pattern, &mut self.buffer) {
            Ok(Received::Good) => self.complete(index),
            Ok(Received::Mismatch) => {
                self.tally.mismatches += 1;
                self.bury(index);
                Ok(())
            }
            Err(_) => {
                self.bury(index);
                Ok(())
            }
        }
    }

    /// Counts the messages that are back, and in a closed loop sends as many again.
    fn complete(&mut self, index: usize) -> io::Result<()> {
        let now = self.now();
        let mut completed = 0;
        while let Some(intended) = self.connections[index].as_mut().and_then(Connection::complete) {
            self.tally.complete(now - intended.min(now));
            completed += 1;
        }
        if completed == 0 {
            return Ok(());
        }
        self.last_progress = now;
        if let Pace::Window(_) = self.plan.pace {
            for _ in 0..completed {
                self.issue(index, now);
            }
            self.send(index)?;
        }
        Ok(())
    }

    /// Drops a dead connection; every message it still owed has failed, and so has the connection if it owed none.
    fn bury(&mut self, index: usize) {
        if let Some(dead) = self.connections[index].take() {
            self.tally.failures += (dead.under_way() as u64).max(1);
        }
    }
}
