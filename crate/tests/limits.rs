//! The limits of a server, at their edges.

mod support;

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use echo_node::server::Config;
use support::{echo, start};

#[test]
fn connections_over_the_limit_read_an_end_and_are_counted() {
    let running = start(&Config { max_connections: Some(2), ..Config::default() });
    let first = running.connect();
    let second = running.connect();
    echo(&first, b"one");
    echo(&second, b"two");

    assert_eq!(running.connect().read(&mut [0]).unwrap(), 0);
    let stats = running.stats();
    assert_eq!((stats.total_connections, stats.active_connections, stats.rejected_connections), (2, 2, 1));

    // A place that comes free is given out again.
    close(first);
    running.wait_for("a place is free", |stats| stats.active_connections == 1);
    echo(&running.connect(), b"three");
    assert_eq!(running.stats().rejected_connections, 1);
}

#[test]
fn the_limit_holds_for_all_threads_together() {
    let running = start(&Config { max_connections: Some(4), threads: 3.try_into().unwrap(), ..Config::default() });
    let streams: Vec<_> = (0..4).map(|_| running.connect()).collect();
    for stream in &streams {
        echo(stream, b"in");
    }
    assert_eq!(running.connect().read(&mut [0]).unwrap(), 0);
    assert_eq!(running.stats().rejected_connections, 1);
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let idle_timeout = Duration::from_secs(2);
    let running = start(&Config { idle_timeout: Some(idle_timeout), ..Config::default() });
    let start = Instant::now();
    let mut idle = running.connect();
    let busy = running.connect();
    // The busy one's messages keep the distance that the idle one does not.
    let mut closed = false;
    idle.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while !closed {
        echo(&busy, b"still here");
        closed = matches!(idle.read(&mut [0]), Ok(0));
    }
    assert!(start.elapsed() >= idle_timeout, "closed after {:?}", start.elapsed());
    echo(&busy, b"and still");
    assert_eq!(running.stats().active_connections, 1);
}

fn close(stream: TcpStream) {
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream);
}
