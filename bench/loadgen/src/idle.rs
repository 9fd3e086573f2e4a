//! Many connections that do nothing.

use crate::cli::Idle;
use crate::connect::{connect, resolve};
use crate::machine::raise_descriptor_limit;
use crate::pattern::Pattern;
use crate::report::{Report, Tally};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Instant;

/// The connections, and what came of them.
struct Holding<'a> {
    args: &'a Idle,
    pattern: Pattern,
    streams: Vec<TcpStream>,
    tally: Tally,
}

/// Carries it out. Once all connections are open it says so on standard output, in a line of its own.
pub fn run(args: &Idle, json: bool) -> io::Result<(Report, bool)> {
    raise_descriptor_limit()?;
    let begin = Instant::now();
    let mut holding = Holding { args, pattern: Pattern::new(), streams: Vec::new(), tally: Tally::new() };
    holding.open()?;
    if holding.tally.is_clean() {
        announce(args.connections, json);
        sleep(args.duration);
        holding.echo_all();
    }
    let Holding { tally, .. } = holding;
    Ok((tally.report("idle", args.connections, args.size, begin.elapsed()), tally.is_clean()))
}

fn announce(connections: u32, json: bool) {
    if json {
        println!("{{\"event\":\"open\",\"connections\":{connections}}}");
    } else {
        println!("idle: {connections} connections open");
    }
}

impl Holding<'_> {
    /// Opens all connections, up to the first that does not echo.
    fn open(&mut self) -> io::Result<()> {
        let address = resolve(&self.args.target)?;
        while self.streams.len() < self.args.connections as usize && self.tally.is_clean() {
            let stream = connect(&address, self.args.target.timeout)?;
            stream.set_read_timeout(Some(self.args.target.timeout))?;
            self.streams.push(stream);
            self.echo(self.streams.len() - 1, 0);
        }
        Ok(())
    }

    /// Echoes on all of them. Past the timeout the server has had its chance, and the rest have failed.
    fn echo_all(&mut self) {
        let begin = Instant::now();
        for index in 0..self.streams.len() {
            if self.tally.failures > 0 && begin.elapsed() > self.args.target.timeout {
                self.tally.failures += (self.streams.len() - index) as u64;
                return;
            }
            self.echo(index, self.args.size);
        }
    }

    /// Echoes one message, which starts at `offset` in the connection's stream.
    fn echo(&mut self, index: usize, offset: u64) {
        let message = self.pattern.at(index as u64, offset, self.args.size);
        let start = Instant::now();
        match exchange(&self.streams[index], message) {
            Ok(true) if message.is_empty() => {}
            Ok(true) => self.tally.complete(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)),
            Ok(false) => self.tally.mismatches += 1,
            Err(_) => self.tally.failures += 1,
        }
    }
}

fn exchange(mut stream: &TcpStream, message: &[u8]) -> io::Result<bool> {
    stream.write_all(message)?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer == message)
}
