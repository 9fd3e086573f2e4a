//! Connect, echo one message, half-close, read to the end, close. Blocking threads: each call's latency is the cycle's.

use crate::cli::Churn;
use crate::connect::{connect, resolve};
use crate::pattern::Pattern;
use crate::report::{Report, Tally};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What the threads share.
struct Shared<'a> {
    args: &'a Churn,
    address: SocketAddr,
    pattern: Pattern,
    begin: Instant,
    /// Cycles begun
    begun: AtomicU64,
}

/// Carries it out.
pub fn run(args: &Churn) -> io::Result<(Report, bool)> {
    let address = resolve(&args.target)?;
    let shared = Shared { args, address, pattern: Pattern::new(), begin: Instant::now(), begun: AtomicU64::new(0) };
    let mut tally = Tally::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..args.connections).map(|_| scope.spawn(|| shared.work())).collect();
        for thread in threads {
            tally.add(&thread.join().expect("a thread panicked"));
        }
    });
    let report = tally.report("churn", args.connections, args.size, shared.begin.elapsed());
    Ok((report, tally.is_clean()))
}

impl Shared<'_> {
    /// One thread's cycles. A second failure ends them, lest a dead server be asked for ever.
    fn work(&self) -> Tally {
        let mut tally = Tally::new();
        while self.begin.elapsed() < self.args.limits.duration && tally.failures < 2 {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            if number >= self.args.limits.messages {
                break;
            }
            let start = Instant::now();
            match self.cycle(number) {
                Ok(true) => tally.complete(nanoseconds(start.elapsed())),
                Ok(false) => tally.mismatches += 1,
                Err(_) => tally.failures += 1,
            }
        }
        tally
    }

    /// Whether all bytes came back, and nothing but these.
    fn cycle(&self, number: u64) -> io::Result<bool> {
        let message = self.pattern.at(number, 0, self.args.size);
        let mut stream = connect(&self.address, self.args.target.timeout)?;
        stream.set_read_timeout(Some(self.args.target.timeout))?;
        stream.write_all(message)?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::with_capacity(message.len() + 1);
        stream.read_to_end(&mut answer)?;
        Ok(answer == message)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
