//! Loads that need no poller: blocking calls of the standard library.

use crate::cli::Load;
use crate::connection::connect;
use crate::pattern::Pattern;
use crate::report::Tally;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::Instant;

/// Connects, echoes one message, half-closes, reads to the end, closes; in a thread per connection. The latency is the
/// cycle's.
pub fn churn(load: &Load) -> Value {
    let pattern = Pattern::new(load.size);
    let begin = Instant::now();
    let cycles = AtomicU64::new(0);
    let work = || {
        let mut tally = Tally::new();
        // A second failure ends it, or a dead server would be asked for ever.
        while begin.elapsed() < load.limits.duration && tally.failures < 2 {
            let number = cycles.fetch_add(1, Ordering::Relaxed);
            if number >= load.limits.messages {
                break;
            }
            tally.time(|| cycle(load, pattern.at(number, 0, load.size)));
        }
        tally
    };
    let mut total = Tally::new();
    scope(|scope| {
        let threads: Vec<_> = (0..load.connections).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            total.add(&thread.join().expect("a thread panicked"));
        }
    });
    total.report(load.size, begin.elapsed())
}

/// Whether all bytes came back, and nothing but these.
fn cycle(load: &Load, message: &[u8]) -> io::Result<bool> {
    let mut stream = connect(load)?;
    stream.write_all(message)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::with_capacity(message.len() + 1);
    stream.read_to_end(&mut answer)?;
    Ok(answer == message)
}

/// Holds connections that are idle. Once all are open it says so on standard output, in a line of its own. The first
/// failure ends it: the run is void then.
pub fn idle(load: &Load) -> io::Result<Value> {
    let pattern = Pattern::new(load.size);
    let begin = Instant::now();
    let mut tally = Tally::new();
    let mut streams = Vec::new();
    while streams.len() < load.connections as usize && tally.is_clean() {
        let stream = connect(load)?;
        tally.time(|| exchange(&stream, pattern.at(streams.len() as u64, 0, load.size)));
        streams.push(stream);
    }
    if tally.is_clean() {
        println!("{{\"event\":\"open\",\"connections\":{}}}", load.connections);
        sleep(load.limits.duration);
    }
    for (index, stream) in streams.iter().enumerate() {
        if tally.is_clean() {
            tally.time(|| exchange(stream, pattern.at(index as u64, load.size, load.size)));
        }
    }
    Ok(tally.report(load.size, begin.elapsed()))
}

/// Whether the same bytes came back.
fn exchange(mut stream: &TcpStream, message: &[u8]) -> io::Result<bool> {
    stream.write_all(message)?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer)?;
    Ok(answer == message)
}
