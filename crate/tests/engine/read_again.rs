//! When a connection is read again at once after an echo.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use echo_node::read_again::{
    BULK, BYTES_IN_A_ROW, ECHOES_PER_PROBE, FEW, IN_A_ROW, MAX_MISSES, PER_TURN, ReadAgain, TRIES_PER_LOOK, TURN_TIME,
};

/// Asks while no time passes.
fn may_pay(read_again: &mut ReadAgain, found: u32, bytes: usize) -> bool {
    static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);
    read_again.may_pay(found, bytes, || *NOW)
}

/// After how many echoes the next try comes, which finds so many messages.
fn echoes_to_a_try(read_again: &mut ReadAgain, found: u32) -> u32 {
    read_again.begin_turn();
    for echoes in 1..=ECHOES_PER_PROBE {
        if may_pay(read_again, 0, BULK - 1) {
            assert!((1..=found).all(|found| may_pay(read_again, found, BULK - 1)));
            read_again.note(found);
            return echoes;
        }
        read_again.note(0);
    }
    unreachable!("no try after {ECHOES_PER_PROBE} echoes");
}

#[test]
fn at_first_it_is_tried_now_and_then() {
    let mut read_again = ReadAgain::default();
    for _ in 0..3 {
        assert_eq!(echoes_to_a_try(&mut read_again, FEW - 1), ECHOES_PER_PROBE);
    }
}

#[test]
fn what_finds_a_few_is_done_after_each_echo_until_it_has_missed_often() {
    let mut read_again = ReadAgain::default();
    echoes_to_a_try(&mut read_again, FEW);
    for last in [FEW, FEW - 1] {
        for _ in 1..MAX_MISSES {
            assert_eq!(echoes_to_a_try(&mut read_again, 0), 1);
        }
        assert_eq!(echoes_to_a_try(&mut read_again, last), 1);
    }
    assert_eq!(echoes_to_a_try(&mut read_again, 0), ECHOES_PER_PROBE);
}

#[test]
fn a_client_that_was_quick_is_read_again_without_a_question() {
    let mut read_again = ReadAgain::default();
    assert!(!may_pay(&mut read_again, 0, 1));
    assert!((1..IN_A_ROW).all(|found| may_pay(&mut read_again, found, 1)));
    assert!(!may_pay(&mut read_again, IN_A_ROW, 1), "the others wait");
}

#[test]
fn a_client_that_sends_much_is_not_read_for_long() {
    let mut read_again = ReadAgain::default();
    echoes_to_a_try(&mut read_again, FEW);
    let bytes = BYTES_IN_A_ROW / 32;
    for _ in 0..2 {
        assert!((0..31).all(|found| may_pay(&mut read_again, found, bytes)));
        assert!(!may_pay(&mut read_again, 31, bytes), "the others wait");
    }
    assert_eq!(BYTES_IN_A_ROW, 262_144);
}

#[test]
fn a_bulk_transfer_is_not_read_again_and_tells_nothing() {
    let mut read_again = ReadAgain::default();
    echoes_to_a_try(&mut read_again, FEW);
    for _ in 0..2 * MAX_MISSES {
        assert!(!may_pay(&mut read_again, 0, BULK));
        read_again.note(0);
    }
    assert!(may_pay(&mut read_again, 0, BULK - 1));
    assert_eq!(BULK, 16_384);
}

#[test]
fn a_turn_has_an_end() {
    let mut read_again = ReadAgain::default();
    for _ in 0..2 {
        read_again.begin_turn();
        assert_eq!((0..2 * PER_TURN).filter(|_| may_pay(&mut read_again, 1, 1)).count(), PER_TURN as usize);
    }
}

#[test]
fn a_turn_of_slow_system_calls_ends_sooner() {
    let mut read_again = ReadAgain::default();
    let start = Instant::now();
    for _ in 0..2 {
        read_again.begin_turn();
        let mut now = start;
        let mut tries = 0;
        while read_again.may_pay(1, 1, || now) {
            tries += 1;
            now += TURN_TIME / 40;
        }
        // 40 tries take the time. It is not looked at in between.
        assert_eq!(tries, 3 * TRIES_PER_LOOK);
        assert!(!read_again.may_pay(0, 1, || start), "not again in this turn");
    }
    assert_eq!(TURN_TIME.as_millis(), 20);
}

#[test]
fn the_time_of_a_turn_begins_with_its_first_try() {
    let mut read_again = ReadAgain::default();
    let start = Instant::now();
    let last = start + TURN_TIME.saturating_sub(Duration::from_nanos(1));
    assert!((0..TRIES_PER_LOOK).all(|_| read_again.may_pay(1, 1, || start)));
    assert!((0..TRIES_PER_LOOK).all(|_| read_again.may_pay(1, 1, || last)));
    assert!(!read_again.may_pay(1, 1, || start + TURN_TIME));
}
