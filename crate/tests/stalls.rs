//! After a stall nobody is cut off whose data waits: timers and limits are judged after the input that is already there.
//!
//! A callback that blocks the I/O thread stands for all that keeps it from running: a stopped process, other processes that
//! take the CPU, a turn of the loop that takes long.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use echo_node::deadline::Deadline;
use echo_node::server::{Config, Event};
use support::{Running, echo, start_stalling};

const AMPLE: Duration = Duration::from_secs(60);

impl Running {
    fn settled(&self) -> Vec<echo_node::sends::Settled> {
        match self.events.recv_timeout(AMPLE).unwrap() {
            Event::Settled(settled) => settled,
            Event::Ended(failure) => panic!("the server ended: {failure:?}"),
        }
    }
}

/// Longer than the time that is limited.
fn sleep_longer_than(time: Duration) {
    std::thread::sleep(time * 3);
}

#[test]
fn connections_whose_data_waits_are_not_idle() {
    let idle_timeout = Duration::from_millis(300);
    // More than one wait of the poller takes.
    let count = 600;
    let (running, go_on) = start_stalling(&Config { idle_timeout: Some(idle_timeout), ..Config::default() });
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
    let timeout = Duration::from_millis(100);
    let (running, go_on) = start_stalling(&Config::default());
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
    let (running, go_on) = start_stalling(&Config::default());
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

#[test]
fn a_client_that_left_during_a_stall_makes_room_for_the_next() {
    let (running, go_on) = start_stalling(&Config { max_connections: Some(2), ..Config::default() });
    let first = running.connect();
    echo(&first, b"before");
    running.stall();
    let mut last = first;
    for _ in 0..100 {
        last.shutdown(Shutdown::Both).unwrap();
        last = running.connect();
    }
    drop(go_on);
    echo(&last, b"after");
    assert_eq!(running.stats().rejected_connections, 0);
}

#[test]
fn a_deadline_is_put_off_once_by_as_much_as_it_is_late() {
    let start = Instant::now();
    let after = |milliseconds| start + Duration::from_millis(milliseconds);
    let mut punctual = Deadline::new(after(1000));
    assert!(!punctual.has_passed(after(999)));
    assert!(punctual.has_passed(after(1000)));
    assert!(Deadline::new(after(1000)).has_passed(after(1020)), "a busy loop is no stall");

    let mut late = Deadline::new(after(1000));
    assert!(!late.has_passed(after(1300)));
    assert!(!late.has_passed(after(1599)));
    assert!(late.has_passed(after(2500)), "it was put off already");

    let mut very_late = Deadline::new(after(1000));
    assert!(!very_late.has_passed(after(9000)));
    assert_eq!(very_late.at, after(10_000), "put off by a second at most");
    very_late.shorten(after(9500));
    assert!(very_late.has_passed(after(9500)));
}

/// What the other tests rely on.
#[test]
fn a_stalled_server_serves_nobody() {
    let (running, go_on) = start_stalling(&Config::default());
    running.stall();
    let mut client = TcpStream::connect(running.server.address()).unwrap();
    client.write_all(b"hello").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(client.read(&mut [0]).is_err());
    drop(go_on);
}
