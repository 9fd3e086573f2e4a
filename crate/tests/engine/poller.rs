//! How long a wait lasts, and what ends it.

use std::thread;
use std::time::{Duration, Instant};

use echo_node::poller::{Poller, Source, Waker};

use crate::support::bound;

#[test]
fn a_wait_without_a_time_lasts_until_an_event() {
    bound();
    let mut poller = Poller::new().unwrap();
    let waker = Waker::new(&poller).unwrap();
    let waking = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        waker.wake();
        waker
    });
    assert_eq!(poller.wait(None).unwrap(), 1);
    assert_eq!(poller.source(0), Source::Waker);
    waking.join().unwrap();
}

#[test]
fn a_wait_lasts_no_shorter_than_its_time() {
    let mut poller = Poller::new().unwrap();
    for time in [1500, 30_000].map(Duration::from_micros) {
        let begin = Instant::now();
        assert_eq!(poller.wait(Some(time)).unwrap(), 0);
        assert!(begin.elapsed() >= time, "{:?} of {time:?}", begin.elapsed());
    }
}

#[test]
fn wake_ups_end_one_wait_until_they_are_reset() {
    let mut poller = Poller::new().unwrap();
    let waker = Waker::new(&poller).unwrap();
    let mut events = || poller.wait(Some(Duration::ZERO)).unwrap();
    for _ in 0..2 {
        waker.wake();
        waker.wake();
        assert_eq!(events(), 1);
        waker.reset();
        assert_eq!(events(), 0);
    }
}
