//! After a stall nobody is cut off whose data waits: timers and limits are judged after the input that is already there.
//!
//! A callback that blocks the I/O thread stands for all that keeps it from running: a stopped process, other processes
//! that take the CPU, a turn of the loop that takes long.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{DEFAULTS, NO_FAULTS, PATIENCE, Running, bound, echo, start_stalling, wait_until};
use echo_node::clock::Clock;
use echo_node::faults::Faults;
use echo_node::server::{Report, Server, THREAD_NAME};
use echo_node::shared::Config;

impl Running {
    fn settled(&self) -> Vec<echo_node::sends::Settled> {
        match self.events.recv_timeout(PATIENCE).unwrap() {
            Report::Settled(settled) => settled,
            other => panic!("not a send that is over: {other:?}"),
        }
    }
}

/// Longer than the time that is limited.
fn sleep_longer_than(time: Duration) {
    std::thread::sleep(time * 3 / 2);
}

#[test]
fn connections_whose_data_waits_are_not_idle() {
    // All clients have to be here before the first of them is idle, also under valgrind.
    let idle_timeout = Duration::from_secs(4);
    // More than one wait of the poller takes.
    let count = 600;
    let (running, go_on) = start_stalling(&Config { idle_timeout, ..DEFAULTS });
    let clients: Vec<_> = (0..count).map(|_| running.connect()).collect();
    for client in &clients {
        echo(client, b"before");
    }
    running.stall();
    for mut client in &clients {
        client.write_all(b"meanwhile").unwrap();
    }
    sleep_longer_than(idle_timeout);
    drop(go_on);
    for mut client in &clients {
        let mut answer = [0; 9];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"meanwhile");
    }
    // And who has nothing to say is closed as ever.
    for mut client in clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn sends_past_their_deadline_are_carried_out() {
    // Long enough to carry them out afterwards, also under valgrind.
    let timeout = Duration::from_secs(1);
    let (running, go_on) = start_stalling(&DEFAULTS);
    running.stall();
    // More than may be on the wire at once.
    let count = 100;
    for id in 0..count {
        assert!(running.server.send(id, vec![b'x'; 1000], timeout));
    }
    sleep_longer_than(timeout);
    drop(go_on);
    let mut results = Vec::new();
    while results.len() < usize::try_from(count).unwrap() {
        results.extend(running.settled());
    }
    for settled in results {
        assert_eq!(settled.result.map(|data| data.len()), Ok(1000), "send {}", settled.id);
    }
}

#[test]
fn a_stop_past_its_deadline_echoes_what_has_arrived() {
    let timeout = Duration::from_millis(100);
    let (running, go_on) = start_stalling(&DEFAULTS);
    let clients: Vec<_> = (0..300).map(|_| running.connect()).collect();
    for client in &clients {
        echo(client, b"before");
    }
    running.stall();
    for mut client in &clients {
        client.write_all(b"in time").unwrap();
    }
    running.server.stop(timeout);
    sleep_longer_than(timeout);
    drop(go_on);
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "in time");
    }
    assert_eq!(running.wait_for_end(), None);
}

#[cfg_attr(not(target_os = "linux"), ignore = "macOS lets 128 clients wait")]
#[test]
fn a_client_that_left_during_a_stall_makes_room_for_the_next() {
    for threads in [1, 2, 4] {
        let config = Config { max_connections: 2, threads: threads.try_into().unwrap(), ..DEFAULTS };
        let (running, go_on) = start_stalling(&config);
        let first = running.connect();
        echo(&first, b"before");
        running.stall();
        let mut last = first;
        for _ in 0..300 {
            // Its end comes behind its message.
            last.write_all(b"unread").unwrap();
            last.shutdown(Shutdown::Both).unwrap();
            last = running.connect();
        }
        drop(go_on);
        echo(&last, b"after");
        assert_eq!(running.stats().rejected_connections, 0, "{threads} threads");
    }
}

#[test]
fn the_clock_counts_little_of_a_stall() {
    let milliseconds = Duration::from_millis;
    let mut present = Instant::now();
    let mut clock = Clock::default();
    let mut wait = |clock: &mut Clock, time, timeout| {
        clock.begin_wait(Some(Duration::ZERO), || present);
        present += milliseconds(time);
        clock.end_wait(present, milliseconds(timeout));
    };
    wait(&mut clock, 3, 25);
    wait(&mut clock, 50, 25);
    assert_eq!(clock.now(), milliseconds(53), "a busy machine is no stall");
    wait(&mut clock, 51, 25);
    wait(&mut clock, 9_000_000, 0);
    assert_eq!(clock.now(), milliseconds(128));
    assert_eq!(clock.deadline(present + milliseconds(5), milliseconds(100)), milliseconds(233));
    let stalled = present + milliseconds(10_000);
    assert_eq!(clock.deadline(stalled, milliseconds(100)), milliseconds(278), "nor does a deadline move by it");
    assert_eq!(clock.begin_wait(None, || present), None);
    assert_eq!(clock.deadline(present + milliseconds(50), milliseconds(100)), milliseconds(228), "it stands still");
    clock.begin_wait(Some(Duration::ZERO), || present + milliseconds(50));
    clock.end_wait(present + milliseconds(60), milliseconds(25));
    assert_eq!(clock.now(), milliseconds(138));
}

#[test]
fn a_deadline_passes_one_wait_after_it_was_reached() {
    let start = Instant::now();
    let mut clock = Clock::default();
    let deadline = clock.after(Duration::from_millis(30));
    assert_eq!(clock.begin_wait(Some(deadline), || start), Some(deadline));
    assert_eq!(clock.toward(deadline), Duration::from_millis(25), "a stall would show by then");
    clock.end_wait(start + Duration::from_millis(31), Duration::from_millis(25));
    assert!(!clock.has_passed(deadline));
    assert_eq!(clock.toward(deadline), deadline);
    clock.end_wait(start + Duration::from_millis(31), Duration::ZERO);
    assert!(clock.has_passed(deadline));
}

#[test]
fn even_a_deadline_of_no_time_is_one_wait_away() {
    let clock = Clock::default();
    assert!(!clock.has_passed(clock.deadline(Instant::now(), Duration::ZERO)));
}

#[test]
fn a_row_of_moments_keeps_its_step_although_each_is_late() {
    let start = Instant::now();
    let (second, late) = (Duration::from_secs(1), Duration::from_millis(3));
    let mut clock = Clock::default();
    let mut next = second;
    for count in 1..=100 {
        let timeout = clock.begin_wait(Some(next), || start).unwrap();
        clock.end_wait(start + count * second + late, timeout);
        assert_eq!(clock.now(), count * second + late);
        next = clock.next_in_row(next, second);
        assert_eq!(next, (count + 1) * second);
    }
    // Not twice at once for one that was missed.
    for _ in 0..50 {
        clock.begin_wait(Some(next), || start);
        clock.end_wait(start + 200 * second, Duration::from_secs(300));
    }
    assert_eq!(clock.next_in_row(next, second), clock.now() + second);
    // The present is missed.
    let last = clock.now().checked_sub(second).unwrap();
    assert_eq!(clock.next_in_row(last, second), clock.now() + second);
}

/// What the other tests rely on.
#[test]
fn a_stalled_server_serves_nobody() {
    let (running, go_on) = start_stalling(&DEFAULTS);
    running.stall();
    let mut client = TcpStream::connect(running.server.address).unwrap();
    client.write_all(b"hello").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(client.read(&mut [0]).is_err());
    drop(go_on);
}

/// One thread of two is held up: the stop gives it its time, and the other does not end before it.
#[test]
fn a_stop_leaves_each_thread_its_time() {
    bound();
    let (timeout, delay) = (Duration::from_millis(600), Duration::from_millis(50));
    let faults = Some(Faults { delay: (delay, delay), ..NO_FAULTS });
    let config = Config { threads: 2.try_into().unwrap(), observed: true, faults, ..DEFAULTS };
    let (ended, end) = channel();
    let (go_on, stall) = channel::<()>();
    let (stalls, is_stalled) = channel();
    let stall = Mutex::new(stall);
    let server = Server::start(&config, move |report| match report {
        // The second thread tells of the second connection, which is dealt out to it at once.
        Report::Events if thread::current().name() != Some(THREAD_NAME) => {
            let _ = stalls.send(());
            let _ = stall.lock().unwrap().recv();
        }
        Report::Ended(failure) => ended.send(failure).unwrap(),
        _ => {}
    });
    let server = server.unwrap();
    let connect = || TcpStream::connect(server.address).unwrap();
    let first = connect();
    wait_until("the first connection is told of", || !server.take_events().0.is_empty());
    let mut second = connect();
    is_stalled.recv_timeout(PATIENCE).unwrap();

    second.write_all(b"in time").unwrap();
    server.stop(timeout);
    sleep_longer_than(timeout);
    assert!(end.try_recv().is_err(), "it ends before all threads do");
    drop(go_on);
    let mut answer = String::new();
    second.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "in time");
    assert_eq!(end.recv_timeout(PATIENCE).unwrap(), None);
    drop(first);
}
