//! Connect, echo one message, half-close, read to the end, close. Blocking threads: each call's latency is the cycle's.

use crate::cli::Load;
use crate::connection::connect;
use crate::pattern::Pattern;
use crate::report::Tally;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Carries it out.
pub fn run(load: &Load) -> Value {
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
            let start = Instant::now();
            let result = cycle(load, pattern.at(number, 0, load.size));
            tally.count(start.elapsed(), &result);
        }
        tally
    };
    let mut total = Tally::new();
    thread::scope(|scope| {
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
