//! Connections that are idle.

use crate::cli::Load;
use crate::connection::connect;
use crate::pattern::Pattern;
use crate::report::Tally;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Instant;

/// Carries it out. Once all connections are open it says so on standard output, in a line of its own.
pub fn run(load: &Load) -> io::Result<Value> {
    let pattern = Pattern::new(load.size);
    let begin = Instant::now();
    let mut tally = Tally::new();
    let mut streams = Vec::new();
    while streams.len() < load.connections as usize && tally.is_clean() {
        let stream = connect(load)?;
        echo(&stream, pattern.at(streams.len() as u64, 0, load.size), &mut tally);
        streams.push(stream);
    }
    if tally.is_clean() {
        println!("{{\"event\":\"open\",\"connections\":{}}}", load.connections);
        sleep(load.limits.duration);
        let end = Instant::now() + load.timeout;
        for (index, stream) in streams.iter().enumerate() {
            if tally.is_clean() || Instant::now() < end {
                echo(stream, pattern.at(index as u64, load.size, load.size), &mut tally);
            } else {
                // The server has had its chance.
                tally.failures += 1;
            }
        }
    }
    Ok(tally.report(load.size, begin.elapsed()))
}

fn echo(stream: &TcpStream, message: &[u8], tally: &mut Tally) {
    let start = Instant::now();
    let result = exchange(stream, message);
    tally.count(start.elapsed(), &result);
}

/// Whether the same bytes came back.
fn exchange(mut stream: &TcpStream, message: &[u8]) -> io::Result<bool> {
    stream.write_all(message)?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer == message)
}
