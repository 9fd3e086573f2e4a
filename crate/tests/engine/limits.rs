//! The limits of a server, at their edges.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    DEFAULTS, NO_FAULTS, PATIENCE, echo, noise, start, start_stalling, wait_until, write_until_blocked,
};
use echo_node::faults::Faults;
use echo_node::server::Report;
use echo_node::shared::Config;
use socket2::SockRef;

#[test]
fn connections_over_the_limit_read_an_end_and_are_counted() {
    let running = start(&Config { max_connections: 2, ..DEFAULTS });
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
    let running = start(&Config { max_connections: 4, threads: 3.try_into().unwrap(), ..DEFAULTS });
    let streams: Vec<_> = (0..4).map(|_| running.connect()).collect();
    for stream in &streams {
        echo(stream, b"in");
    }
    assert_eq!(running.connect().read(&mut [0]).unwrap(), 0);
    assert_eq!(running.stats().rejected_connections, 1);
}

#[test]
fn clients_that_never_exceed_the_limit_are_never_turned_away() {
    for threads in [1, 2, 4] {
        let clients = 8;
        let config = Config { max_connections: clients, threads: threads.try_into().unwrap(), ..DEFAULTS };
        let running = start(&config);
        let address = running.server.address;
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let stream = TcpStream::connect(address).unwrap();
                        echo(&stream, b"hello");
                        close(stream);
                    }
                });
            }
        });
        let stats = running.stats();
        assert_eq!((stats.total_connections, stats.rejected_connections), (800, 0), "{threads} threads");
    }
}

#[test]
fn one_at_a_time_is_within_a_limit_of_one() {
    for threads in [1, 2] {
        let config = Config { max_connections: 1, threads: threads.try_into().unwrap(), ..DEFAULTS };
        let running = start(&config);
        for _ in 0..250 {
            close(running.connect());
            // Its end comes behind a message whose echo nobody reads.
            let mut stream = running.connect();
            stream.write_all(b"hello").unwrap();
            drop(stream);
        }
        running.wait_for("all were accepted", |stats| stats.total_connections + stats.rejected_connections == 500);
        assert_eq!(running.stats().rejected_connections, 0, "{threads} threads");
    }
}

#[test]
fn a_client_that_is_turned_away_reads_an_end_whatever_it_writes() {
    let running = start(&Config { max_connections: 1, ..DEFAULTS });
    let first = running.connect();
    echo(&first, b"in");
    for length in [0, 1, 100_000, 8 << 20] {
        let data = noise(length);
        // From here on it has a second.
        let mut stream = running.connect();
        stream.write_all(&data).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "after {length} bytes");
    }
    assert_eq!(running.stats().rejected_connections, 4);
    assert_eq!(running.stats().active_connections, 1);
}

#[test]
fn a_send_that_is_turned_away_comes_back_empty_whatever_its_size() {
    let running = start(&Config { max_connections: 1, ..DEFAULTS });
    let first = running.connect();
    echo(&first, b"in");
    for (id, length) in [(1, 0), (2, 100), (3, 4_000_000), (4, 50_000_000)] {
        assert!(running.server.send(id, noise(length), PATIENCE));
        let Ok(Report::Settled(settled)) = running.events.recv_timeout(PATIENCE) else {
            panic!("a send is not settled")
        };
        assert_eq!(settled[0].result, Ok(Vec::new()), "{length} bytes");
    }
}

#[test]
fn those_turned_away_who_stay_are_closed_after_a_second() {
    let running = start(&Config { max_connections: 1, ..DEFAULTS });
    let first = running.connect();
    echo(&first, b"in");
    // More than may linger at once.
    let others: Vec<_> = (0..300).map(|_| running.connect()).collect();
    for mut other in &others {
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
    }
    for other in &others {
        // The first byte after the close is answered with a reset.
        wait_until("it is closed", || {
            let mut stream = other;
            stream.write(b"?").is_err()
        });
    }
    echo(&first, b"still in");
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let idle_timeout = Duration::from_secs(2);
    let running = start(&Config { idle_timeout, ..DEFAULTS });
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

#[test]
fn a_client_that_reads_slowly_is_not_idle() {
    let running = start(&Config { idle_timeout: Duration::from_secs(1), ..DEFAULTS });
    let mut stream = running.connect();
    // In a larger one a quarter, of which macOS tells the server, may take longer than the limit to come free.
    SockRef::from(&stream).set_recv_buffer_size(200_000).unwrap();
    let written = write_until_blocked(&stream, usize::MAX);
    let (start, mut read) = (Instant::now(), 0);
    let mut piece = vec![0; 20_000];
    // Nothing but these reads happens for several times the limit.
    while start.elapsed() < Duration::from_secs(4) {
        thread::sleep(Duration::from_millis(50));
        read += stream.read(&mut piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    read += stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(read, written);
}

/// After so many timeouts the server has looked once at what a client has not read, and it is not time yet to look again. On macOS
/// it looks in each tick.
const BETWEEN_LOOKS: f64 = if cfg!(target_os = "linux") { 1.6 } else { 0.6 };

#[test]
fn a_client_is_idle_from_the_last_that_it_read() {
    let idle_timeout = Duration::from_secs(1);
    let running = start(&Config { idle_timeout, ..DEFAULTS });
    let mut stream = running.connect();
    let message = noise(1 << 20);
    stream.write_all(&message).unwrap();
    thread::sleep(idle_timeout.mul_f64(BETWEEN_LOOKS));
    stream.read_exact(&mut vec![0; message.len()]).unwrap();
    let start = Instant::now();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    // The kernel says when that was to a few milliseconds, and the idle clock has 16 ticks.
    assert!(start.elapsed() >= idle_timeout * 15 / 16, "closed after {:?}", start.elapsed());
}

#[test]
fn a_client_that_reads_nothing_is_idle() {
    let running = start(&Config { idle_timeout: Duration::from_millis(200), ..DEFAULTS });
    let stream = running.connect();
    write_until_blocked(&stream, usize::MAX);
    running.wait_for("it is closed", |stats| stats.active_connections == 0);
}

#[test]
fn a_stall_is_hardly_any_idleness_for_a_client_that_has_just_read() {
    let idle_timeout = Duration::from_secs(1);
    let (running, go_on) = start_stalling(&Config { idle_timeout, ..DEFAULTS });
    let mut stream = running.connect();
    let message = noise(1 << 20);
    stream.write_all(&message).unwrap();
    thread::sleep(idle_timeout.mul_f64(BETWEEN_LOOKS));
    stream.read_exact(&mut vec![0; message.len()]).unwrap();
    running.stall();
    thread::sleep(idle_timeout * 3 / 2);
    drop(go_on);
    thread::sleep(idle_timeout / 10);
    stream.write_all(b"!").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 1, "it was closed as idle");
}

#[test]
fn large_sends_are_not_idle_however_short_the_time() {
    let chunks = Faults { chunk: 1 << 20, ..NO_FAULTS };
    for threads in [1, 4] {
        for faults in [None, Some(chunks)] {
            large_sends_are_not_idle(threads.try_into().unwrap(), faults);
        }
    }
}

fn large_sends_are_not_idle(threads: NonZeroUsize, faults: Option<Faults>) {
    let running = start(&Config { idle_timeout: Duration::from_millis(2), threads, faults, ..DEFAULTS });
    let data = noise(4 << 20);
    for id in 0..64 {
        assert!(running.server.send(id, data.clone(), PATIENCE));
    }
    let mut settled = 0;
    while settled < 64 {
        let Ok(Report::Settled(sends)) = running.events.recv_timeout(PATIENCE) else { panic!("a send is not settled") };
        for send in &sends {
            assert_eq!(send.result.as_ref().map(Vec::len), Ok(4 << 20), "send {}", send.id);
        }
        settled += sends.len();
    }
}

fn close(stream: TcpStream) {
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream);
}
