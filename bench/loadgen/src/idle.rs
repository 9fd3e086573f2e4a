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

/// Carries it out. Once all connections are open it says so on standard output, in a line of its own.
pub fn run(args: &Idle, json: bool) -> io::Result<(Report, bool)> {
    raise_descriptor_limit()?;
    let address = resolve(&args.target)?;
    let pattern = Pattern::new();
    let mut tally = Tally::new();
    let begin = Instant::now();
    let mut streams = Vec::new();
    for number in 0..args.connections {
        let stream = connect(&address, args.target.timeout)?;
        stream.set_read_timeout(Some(args.target.timeout))?;
        streams.push(stream);
        echo(&streams, number, &pattern, args.size, 0, &mut tally);
    }
    announce(args.connections, json);
    sleep(args.duration);
    for number in 0..args.connections {
        echo(&streams, number, &pattern, args.size, args.size, &mut tally);
    }
    Ok((tally.report("idle", args.connections, args.size, begin.elapsed()), tally.is_clean()))
}

fn announce(connections: u32, json: bool) {
    if json {
        println!("{{\"event\":\"open\",\"connections\":{connections}}}");
    } else {
        println!("idle: {connections} connections open");
    }
}

/// Echoes one message, which starts at `offset` in the connection's stream.
fn echo(streams: &[TcpStream], number: u32, pattern: &Pattern, size: u64, offset: u64, tally: &mut Tally) {
    let message = pattern.at(u64::from(number), offset, size);
    let start = Instant::now();
    match exchange(&streams[number as usize], message) {
        Ok(true) if size > 0 => tally.complete(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)),
        Ok(true) => {}
        Ok(false) => tally.mismatches += 1,
        Err(_) => tally.failures += 1,
    }
}

fn exchange(mut stream: &TcpStream, message: &[u8]) -> io::Result<bool> {
    stream.write_all(message)?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer == message)
}
