//! What is sent: bytes that tell where in which stream they belong, so that a lost, doubled, swapped or misdirected byte
//! is noticed.

/// The stream repeats after this many bytes. A prime: no message or buffer size divides it, so an answer that is off by
/// a whole message or buffer differs from the right one.
const PERIOD: usize = 65_521;

/// Neighbouring streams start this far apart in the period.
const STRIDE: u64 = 4_099;

/// The bytes of all streams.
pub struct Pattern {
    bytes: Vec<u8>,
}

impl Pattern {
    /// Makes the bytes: a xorshift sequence, as good as random for telling positions apart. `at` gives at most `longest`
    /// of them at once.
    pub fn new(longest: u64) -> Self {
        let longest = usize::try_from(longest).expect("fits the address space");
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let period: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(PERIOD)
        .collect();
        let bytes = period.iter().copied().cycle().take(PERIOD + longest).collect();
        Self { bytes }
    }

    /// Up to `length` bytes of the stream number `stream` from `offset` on; fewer if that is very many.
    pub fn at(&self, stream: u64, offset: u64, length: u64) -> &[u8] {
        let from = usize::try_from((stream * STRIDE + offset) % PERIOD as u64).expect("less than the period");
        let longest = (self.bytes.len() - PERIOD) as u64;
        let length = usize::try_from(length.min(longest)).expect("less than all bytes");
        &self.bytes[from..from + length]
    }
}

#[cfg(test)]
mod tests {
    use super::{PERIOD, Pattern};

    #[test]
    fn pieces_join_to_the_same_stream() {
        let pattern = Pattern::new(1 << 20);
        let whole = pattern.at(3, 0, 200_000);
        let joined: Vec<u8> =
            (0..200_000).step_by(1_000).flat_map(|offset| pattern.at(3, offset, 1_000)).copied().collect();
        assert_eq!(whole, joined);
    }

    #[test]
    fn neighbouring_messages_and_streams_differ() {
        let pattern = Pattern::new(1 << 20);
        assert_ne!(pattern.at(0, 0, 64), pattern.at(0, 64, 64));
        assert_ne!(pattern.at(0, 0, 64), pattern.at(1, 0, 64));
    }

    #[test]
    fn the_end_of_the_period_and_long_requests_stay_within_bounds() {
        let pattern = Pattern::new(1 << 20);
        assert_eq!(pattern.at(0, PERIOD as u64 - 1, u64::MAX).len(), 1 << 20);
    }
}
