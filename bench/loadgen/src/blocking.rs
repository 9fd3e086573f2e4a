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
    in_threads(load, vec![(); load.connections as usize], |number, ()| cycle(load, pattern.at(number, 0, load.size)))
}

/// Connections with a thread each, which sends its next message when the answer to the one before is complete.
pub fn crowd(load: &Load) -> io::Result<Value> {
    let pattern = Pattern::new(load.size);
    let streams: Vec<_> = (0..load.connections).map(|_| connect(load)).collect::<io::Result<_>>()?;
    in_threads(load, streams, |number, stream| echo(stream, pattern.at(number, 0, load.size)))
}

/// Does the work over and over, with a number that no other has, in a thread for each of these.
fn in_threads<T: Send>(
    load: &Load,
    each: Vec<T>,
    work: impl Fn(u64, &mut T) -> io::Result<()> + Sync,
) -> io::Result<Value> {
    let begin = Instant::now();
    let numbers = AtomicU64::new(0);
    let run = |mut state: T| {
        let mut tally = Tally::new();
        while begin.elapsed() < load.limits.duration {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            if number >= load.limits.messages {
                break;
            }
            let start = Instant::now();
            work(number, &mut state)?;
            tally.complete(start.elapsed());
        }
        Ok(tally)
    };
    let mut total = Tally::new();
    scope(|scope| {
        let threads: Vec<_> = each.into_iter().map(|state| scope.spawn(|| run(state))).collect();
        threads.into_iter().try_for_each(|thread| {
            let tally: io::Result<Tally> = thread.join().expect("a thread panicked");
            tally.map(|tally| total.add(&tally))
        })
    })?;
    Ok(total.report(load.size, begin.elapsed()))
}

/// Fails unless the same bytes come back.
fn echo(mut stream: &TcpStream, message: &[u8]) -> io::Result<()> {
    stream.write_all(message)?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer)?;
    compare(&answer, message)
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
    let mut time = |stream: &TcpStream, index: usize, offset: u64| {
        let start = Instant::now();
        echo(stream, pattern.at(index as u64, offset, load.size))?;
        tally.complete(start.elapsed());
        io::Result::Ok(())
    };
    let mut streams = Vec::new();
    for index in 0..load.connections as usize {
        let stream = connect(load)?;
        time(&stream, index, 0)?;
        streams.push(stream);
    }
    println!("{{\"event\":\"open\",\"connections\":{}}}", load.connections);
    sleep(load.limits.duration);
    for (index, stream) in streams.iter().enumerate() {
        time(stream, index, load.size)?;
    }
    Ok(tally.report(load.size, begin.elapsed()))
}
