//! Loads that need no poller: blocking calls of the standard library.

use crate::cli::Load;
use crate::connection::{compare, connect};
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
pub fn churn(load: &Load) -> io::Result<Value> {
    let pattern = Pattern::new(load.size);
    let begin = Instant::now();
    let cycles = AtomicU64::new(0);
    let work = || {
        let mut tally = Tally::new();
        while begin.elapsed() < load.limits.duration {
            let number = cycles.fetch_add(1, Ordering::Relaxed);
            if number >= load.limits.messages {
                break;
            }
            let start = Instant::now();
            cycle(load, pattern.at(number, 0, load.size))?;
            tally.complete(start.elapsed());
        }
        Ok(tally)
    };
    let mut total = Tally::new();
    scope(|scope| {
        let threads: Vec<_> = (0..load.connections).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            let tally: io::Result<Tally> = thread.join().expect("a thread panicked");
            tally.map(|tally| total.add(&tally))
        })
    })?;
    Ok(total.report(load.size, begin.elapsed()))
}

/// Fails unless all bytes come back, and nothing but these.
fn cycle(load: &Load, message: &[u8]) -> io::Result<()> {
    let mut stream = connect(load)?;
    stream.write_all(message)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::with_capacity(message.len() + 1);
    stream.read_to_end(&mut answer)?;
    compare(&answer, message)
}

/// Holds connections that are idle. Once all are open it says so on standard output, in a line of its own.
pub fn idle(load: &Load) -> io::Result<Value> {
    let pattern = Pattern::new(load.size);
    let begin = Instant::now();
    let mut tally = Tally::new();
    let mut echo = |mut stream: &TcpStream, index: usize, offset: u64| {
        let start = Instant::now();
        let message = pattern.at(index as u64, offset, load.size);
        stream.write_all(message)?;
        let mut answer = vec![0; message.len()];
        stream.read_exact(&mut answer)?;
        tally.complete(start.elapsed());
        compare(&answer, message)
    };
    let mut streams = Vec::new();
    for index in 0..load.connections as usize {
        let stream = connect(load)?;
        echo(&stream, index, 0)?;
        streams.push(stream);
    }
    println!("{{\"event\":\"open\",\"connections\":{}}}", load.connections);
    sleep(load.limits.duration);
    for (index, stream) in streams.iter().enumerate() {
        echo(stream, index, load.size)?;
    }
    Ok(tally.report(load.size, begin.elapsed()))
}
