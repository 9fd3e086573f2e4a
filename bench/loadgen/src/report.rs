//! What a run found.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use std::io;
use std::time::{Duration, Instant};

const PERCENTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];
const MIB: f64 = 1_048_576.0;

/// What is counted while a run goes on.
pub struct Tally {
    /// Messages, cycles or requests completed
    pub messages: u64,
    /// Reads that brought a wrong byte, or wrong replies
    pub mismatches: u64,
    /// Connections that died, and messages that never came back
    pub failures: u64,
    /// From the intended sending to the complete answer
    latency: Histogram<u64>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let longest = Duration::from_secs(600).as_nanos().try_into().expect("fits 64 bits");
        let latency = Histogram::new_with_bounds(1, longest, 3).expect("valid bounds");
        Self { messages: 0, mismatches: 0, failures: 0, latency }
    }

    /// Counts one message that took so long.
    pub fn complete(&mut self, time: Duration) {
        self.messages += 1;
        self.latency.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Times one exchange and counts it by its result: whether the right bytes came back.
    pub fn time(&mut self, exchange: impl FnOnce() -> io::Result<bool>) {
        let start = Instant::now();
        match exchange() {
            Ok(true) => self.complete(start.elapsed()),
            Ok(false) => self.mismatches += 1,
            Err(_) => self.failures += 1,
        }
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

    /// Sums up messages of this size; times are in microseconds.
    #[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn report(&self, size: u64, elapsed: Duration) -> Value {
        let seconds = elapsed.as_secs_f64();
        // Without any message there is no time either.
        let per_second = if self.messages == 0 { 0.0 } else { self.messages as f64 / seconds };
        let latency = PERCENTILES.map(|(name, quantile)| {
            let microseconds = self.latency.value_at_quantile(quantile) as f64 / 1_000.0;
            (name.to_owned(), microseconds.into())
        });
        json!({
            "seconds": seconds,
            "messages": self.messages,
            "per_second": per_second,
            "mib_per_second": per_second * size as f64 / MIB,
            "mismatches": self.mismatches,
            "failures": self.failures,
            "latency": Map::from_iter(latency),
        })
    }
}
