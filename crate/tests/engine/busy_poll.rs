//! When the loop polls before it sleeps, and for how long.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use echo_node::busy_poll::BusyPoll;

const TIME: Duration = Duration::from_micros(50);
/// How long a poll takes.
const POLL: Duration = Duration::from_micros(10);
const LONG: Duration = Duration::from_secs(1);

/// A poller on a clock of its own: an event comes at a given time from the beginning of each wait.
struct Scene {
    busy_poll: BusyPoll,
    now: Cell<Instant>,
    /// How long each call to the poller was to sleep at most.
    calls: RefCell<Vec<Option<Duration>>>,
}

impl Scene {
    fn new(time: Duration, cpus: usize) -> Self {
        Self { busy_poll: BusyPoll::new(time, cpus), now: Cell::new(Instant::now()), calls: RefCell::default() }
    }

    /// Waits once, and says how many events came, and what the poller was asked.
    fn wait(
        &mut self,
        may_poll: bool,
        timeout: Option<Duration>,
        event: Option<Duration>,
    ) -> (usize, Vec<Option<Duration>>) {
        self.calls.take();
        let due = event.map(|after| self.now.get() + after);
        let events = self.busy_poll.wait(
            may_poll,
            timeout,
            || self.now.get(),
            |sleep| {
                self.calls.borrow_mut().push(sleep);
                let now = self.now.get() + if sleep == Some(Duration::ZERO) { POLL } else { Duration::ZERO };
                let end = sleep.map(|sleep| now + sleep);
                let next = [due, end].into_iter().flatten().min().expect("it sleeps without end");
                self.now.set(now.max(next.min(now + sleep.unwrap_or(LONG))));
                Ok(usize::from(due.is_some_and(|due| due <= self.now.get())))
            },
        );
        (events.unwrap(), self.calls.take())
    }

    fn polls(&mut self, event: Duration) -> usize {
        let (_, calls) = self.wait(true, Some(LONG), Some(event));
        calls.iter().filter(|sleep| **sleep == Some(Duration::ZERO)).count()
    }
}

#[test]
fn an_event_that_comes_soon_is_met_without_a_sleep() {
    let mut scene = Scene::new(TIME, 2);
    let zero = Some(Duration::ZERO);
    assert_eq!(scene.wait(true, Some(LONG), Some(POLL * 3)), (1, vec![zero; 3]));
    assert_eq!(scene.wait(true, None, Some(POLL)), (1, vec![zero]));
}

#[test]
fn it_polls_for_its_time_and_then_sleeps_for_the_rest() {
    let mut scene = Scene::new(TIME, 2);
    let zero = Some(Duration::ZERO);
    let sleep = Some(LONG.saturating_sub(TIME));
    assert_eq!(scene.wait(true, Some(LONG), None), (0, vec![zero, zero, zero, zero, zero, sleep]));
    assert_eq!(scene.wait(true, None, Some(LONG)).1.last(), Some(&None));
}

#[test]
fn it_polls_no_longer_than_it_may_wait() {
    let mut scene = Scene::new(TIME, 2);
    let zero = Some(Duration::ZERO);
    assert_eq!(scene.wait(true, Some(POLL * 2), None), (0, vec![zero, zero, zero]));
    // Not to sleep at all needs one call.
    assert_eq!(scene.wait(true, zero, None), (0, vec![zero]));
}

#[test]
fn it_only_sleeps_where_polling_does_not_pay_or_is_turned_off() {
    let asleep = vec![Some(LONG)];
    assert_eq!(Scene::new(TIME, 2).wait(false, Some(LONG), Some(POLL)), (1, asleep.clone()));
    assert_eq!(Scene::new(TIME, 1).wait(true, Some(LONG), Some(POLL)), (1, asleep.clone()));
    assert_eq!(Scene::new(Duration::ZERO, 2).wait(true, Some(LONG), Some(POLL)), (1, asleep));
}

#[test]
fn three_misses_in_a_row_end_it() {
    let mut scene = Scene::new(TIME, 2);
    for _ in 0..2 {
        assert_eq!(scene.polls(TIME * 2), 5);
    }
    // A hit in between begins anew.
    assert_eq!(scene.polls(POLL), 1);
    for _ in 0..3 {
        assert_eq!(scene.polls(TIME * 2), 5);
    }
    for _ in 0..3 {
        assert_eq!(scene.polls(TIME * 2), 0);
    }
}

#[test]
fn a_sleep_that_was_short_begins_it_again() {
    let mut scene = Scene::new(TIME, 2);
    for _ in 0..3 {
        scene.polls(TIME * 2);
    }
    // As long as polling would have lasted: it would just have missed the event.
    assert_eq!(scene.polls(TIME), 0);
    assert_eq!(scene.polls(TIME), 0);
    // That no event came says nothing, however short the sleep.
    assert_eq!(scene.wait(true, Some(POLL), None), (0, vec![Some(POLL)]));
    assert_eq!(scene.polls(TIME.saturating_sub(Duration::from_nanos(1))), 0);
    assert_eq!(scene.polls(POLL), 1);
}

#[test]
fn it_may_pay_between_the_messages_of_a_few() {
    let mut busy_poll = BusyPoll::new(TIME, 2);
    assert!(busy_poll.may_pay(0, 0, false));
    assert!(busy_poll.may_pay(4, 16 * 1024 - 1, false));
    assert!(!busy_poll.may_pay(5, 0, false));
    assert!(!busy_poll.may_pay(1, 64, true));
    assert!(busy_poll.may_pay(1, 64, false));
}

#[test]
fn it_does_not_pay_at_the_end_of_a_large_message() {
    let mut busy_poll = BusyPoll::new(TIME, 2);
    for _ in 0..2 {
        assert!(!busy_poll.may_pay(1, 16 * 1024, false));
        // Its last bytes, and other messages in between.
        for _ in 0..3 {
            assert!(!busy_poll.may_pay(1, 64, false));
        }
    }
    assert!(busy_poll.may_pay(1, 64, false));
    assert!(busy_poll.may_pay(1, 64, false));
}
