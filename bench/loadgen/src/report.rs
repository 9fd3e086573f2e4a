//! What a run found.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use std::time::Duration;

const PERCENTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];
const MIB: f64 = 1_048_576.0;

/// The messages, cycles or requests completed, by the time from the intended sending to the complete answer.
pub struct Tally(Histogram<u64>);

impl Tally {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let longest = Duration::from_secs(600).as_nanos().try_into().expect("fits 64 bits");
        Self(Histogram::new_with_bounds(1, longest, 3).expect("valid bounds"))
    }

    /// Counts one that took so long.
    pub fn complete(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds what another thread counted.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the same bounds");
    }

    /// How many there are.
    pub fn messages(&self) -> u64 {
        self.0.len()
    }

    /// Sums up messages of this size; times are in microseconds.
    #[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn report(&self, size: u64, elapsed: Duration) -> Value {
        let seconds = elapsed.as_secs_f64();
        // Without any message there is no time either.
        let per_second = if self.messages() == 0 { 0.0 } else { self.messages() as f64 / seconds };
        let latency = PERCENTILES.map(|(name, quantile)| {
            let microseconds = self.0.value_at_quantile(quantile) as f64 / 1_000.0;
            (name.to_owned(), microseconds.into())
        });
        json!({
            "seconds": seconds,
            "messages": self.messages(),
            "per_second": per_second,
            "mib_per_second": per_second * size as f64 / MIB,
            "latency": Map::from_iter(latency),
        })
    }
}
