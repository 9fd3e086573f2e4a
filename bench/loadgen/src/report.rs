//! What a run found, for people and for programs.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

const MICROSECOND: f64 = 1_000.0;
const MIB: f64 = 1_048_576.0;

/// What a run found.
#[derive(Serialize)]
pub struct Report {
    /// The kind of load
    pub mode: &'static str,
    /// Connections, or requests under way at once
    pub connections: u32,
    /// Bytes a message
    pub size: u64,
    /// From the first message's intended time to the last answer
    pub seconds: f64,
    /// Messages, cycles or requests completed
    pub messages: u64,
    /// The same a second
    pub per_second: f64,
    /// MiB echoed a second
    pub mib_per_second: f64,
    /// Reads that brought a wrong byte, or wrong replies
    pub mismatches: u64,
    /// Connections that died, and messages that never came back
    pub failures: u64,
    /// Times from the intended sending to the complete answer, in microseconds
    pub latency: Latency,
}

/// Percentiles in microseconds.
#[derive(Serialize)]
pub struct Latency {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// What is counted while a run goes on.
pub struct Tally {
    /// Messages, cycles or requests completed
    pub messages: u64,
    /// Reads that brought a wrong byte, or wrong replies
    pub mismatches: u64,
    /// Connections that died, and messages that never came back
    pub failures: u64,
    latency: Histogram<u64>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let longest = Duration::from_secs(600).as_nanos().try_into().expect("fits 64 bits");
        let latency = Histogram::new_with_bounds(1, longest, 3).expect("valid bounds");
        Self { messages: 0, mismatches: 0, failures: 0, latency }
    }

    /// Counts one message that took this many nanoseconds.
    pub fn complete(&mut self, nanoseconds: u64) {
        self.messages += 1;
        self.latency.saturating_record(nanoseconds);
    }

    /// Adds what another thread counted.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.mismatches += other.mismatches;
        self.failures += other.failures;
        self.latency.add(&other.latency).expect("the same bounds");
    }

    /// Whether every byte was right and every connection lived.
    pub fn is_clean(&self) -> bool {
        self.mismatches == 0 && self.failures == 0
    }

    /// Sums up.
    #[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn report(&self, mode: &'static str, connections: u32, size: u64, elapsed: Duration) -> Report {
        let seconds = elapsed.as_secs_f64();
        // Without any message there is no time either.
        let per_second = if self.messages == 0 { 0.0 } else { self.messages as f64 / seconds };
        let percentile = |quantile| self.latency.value_at_quantile(quantile) as f64 / MICROSECOND;
        Report {
            mode,
            connections,
            size,
            seconds,
            messages: self.messages,
            per_second,
            mib_per_second: per_second * size as f64 / MIB,
            mismatches: self.mismatches,
            failures: self.failures,
            latency: Latency {
                mean: self.latency.mean() / MICROSECOND,
                p50: percentile(0.5),
                p90: percentile(0.9),
                p99: percentile(0.99),
                p999: percentile(0.999),
                max: self.latency.max() as f64 / MICROSECOND,
            },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, connections, size, seconds, messages, per_second, mib_per_second, .. } = self;
        let Latency { p50, p99, p999, max, .. } = self.latency;
        write!(
            f,
            "{mode}: {messages} x {size} B over {connections} in {seconds:.2} s = {per_second:.0}/s, \
             {mib_per_second:.1} MiB/s; p50 {p50:.1} us, p99 {p99:.1} us, p99.9 {p999:.1} us, max {max:.0} us; \
             {} mismatches, {} failures",
            self.mismatches, self.failures
        )
    }
}
