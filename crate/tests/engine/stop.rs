//! A stop loses nothing of what has been begun, and ends in time.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{DEFAULTS, PATIENCE, echo, noise, start, wait_until, write_until_blocked};
use echo_node::server::Report;
use echo_node::shared::Config;

#[test]
fn idle_connections_end_at_once() {
    let running = start(&DEFAULTS);
    let mut streams: Vec<_> = (0..10).map(|_| running.connect()).collect();
    for stream in &streams {
        echo(stream, b"hello");
    }
    running.server.stop(PATIENCE);
    assert_eq!(running.wait_for_end(), None);
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    assert_eq!(running.stats().active_connections, 0);
    assert!(TcpStream::connect(running.server.address.to_string()).is_err());
}

#[test]
fn it_ends_as_soon_as_the_last_echo_is_acknowledged() {
    // The client keeps its socket, and its kernel takes some milliseconds to acknowledge: nobody may wait for the
    // deadline.
    for _ in 0..20 {
        let running = start(&DEFAULTS);
        let streams: Vec<_> = (0..10).map(|_| running.connect()).collect();
        for stream in &streams {
            echo(stream, b"the last");
        }
        let start = Instant::now();
        running.server.stop(PATIENCE);
        assert_eq!(running.wait_for_end(), None);
        assert!(start.elapsed() < PATIENCE / 10, "it took {:?}", start.elapsed());
    }
}

#[test]
fn what_has_arrived_is_echoed_though_the_client_goes_on_writing() {
    check_what_has_arrived_is_echoed(1);
}

#[test]
fn what_has_arrived_is_echoed_by_every_thread() {
    // The first thread has no connection of its own, and must wait for the other one.
    check_what_has_arrived_is_echoed(2);
}

fn check_what_has_arrived_is_echoed(threads: usize) {
    let running = start(&Config { threads: threads.try_into().unwrap(), ..DEFAULTS });
    let mut stream = running.connect();
    // More than the reader has taken, and more than the kernel holds: the rest is with the server.
    let sent = noise(4 << 20);
    let mut writer = stream.try_clone().unwrap();
    let data = sent.clone();
    // It fails when the server has ended, and is to.
    let writing = thread::spawn(move || drop(writer.write_all(&data)));
    running.wait_for("echoes wait to be read", |stats| stats.total_bytes > 1 << 18);
    running.server.stop(PATIENCE);

    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    // On macOS a client that goes on writing finds the reset behind the last echo.
    assert!(ended.is_ok() || cfg!(target_os = "macos"), "{ended:?} after {} bytes", answer.len());
    assert!(answer == sent[..answer.len()], "what came back is not what was sent");
    assert_eq!(answer.len() as u64, running.stats().total_bytes, "counted, and lost");
    drop(stream);
    writing.join().unwrap();
    assert_eq!(running.wait_for_end(), None);
}

#[test]
fn clients_in_the_backlog_are_served() {
    let running = start(&DEFAULTS);
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = running.connect();
            stream.write_all(b"before the stop").unwrap();
            stream
        })
        .collect();
    running.server.stop(PATIENCE);
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "before the stop");
    }
    assert_eq!(running.wait_for_end(), None);
}

#[test]
fn sends_in_flight_and_in_the_queue_are_finished() {
    let running = start(&Config { threads: 2.try_into().unwrap(), ..DEFAULTS });
    let count = 500;
    for id in 0..count {
        assert!(running.server.send(id, noise(20_000), PATIENCE));
    }
    running.server.stop(PATIENCE);
    let mut finished = 0;
    while let Report::Settled(settled) = running.events.recv_timeout(PATIENCE).unwrap() {
        finished += settled.iter().filter(|one| one.result.as_ref().is_ok_and(|data| data.len() == 20_000)).count();
    }
    assert_eq!(finished as u64, count);
}

#[test]
fn what_is_not_over_at_the_deadline_is_cut_off() {
    let running = start(&Config { threads: 2.try_into().unwrap(), ..DEFAULTS });
    let (silent, other) = (running.connect(), running.connect());
    write_until_blocked(&silent, usize::MAX);
    write_until_blocked(&other, usize::MAX);
    let timeout = Duration::from_millis(300);
    let start = Instant::now();
    running.server.stop(timeout);
    assert_eq!(running.wait_for_end(), None);
    assert!(start.elapsed() >= timeout, "cut off after {:?}", start.elapsed());
    assert_eq!(running.stats().active_connections, 0);
    assert!(!running.server.send(1, Vec::new(), PATIENCE), "a server that has ended takes a send");
}

#[test]
fn clients_that_come_without_end_do_not_hold_it_up() {
    let running = start(&Config { max_connections: 1, ..DEFAULTS });
    let first = running.connect();
    echo(&first, b"in");
    let address = running.server.address.to_string();
    let is_over = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..4)
        .map(|_| {
            let (address, is_over, start) = (address.clone(), Arc::clone(&is_over), Instant::now());
            thread::spawn(move || {
                while !is_over.load(Relaxed) && start.elapsed() < PATIENCE {
                    drop(TcpStream::connect(&address));
                }
            })
        })
        .collect();
    running.wait_for("they come", |stats| stats.rejected_connections > 1000);
    let start = Instant::now();
    running.server.stop(Duration::from_millis(100));
    assert_eq!(running.wait_for_end(), None);
    assert!(start.elapsed() < PATIENCE / 2, "it took {:?}", start.elapsed());
    is_over.store(true, Relaxed);
    for flood in floods {
        flood.join().unwrap();
    }
}

#[test]
fn a_second_stop_can_shorten_the_first() {
    let running = start(&DEFAULTS);
    let silent = running.connect();
    write_until_blocked(&silent, usize::MAX);
    running.server.stop(PATIENCE);
    running.server.stop(Duration::ZERO);
    assert_eq!(running.wait_for_end(), None);
}

#[test]
fn dropping_a_server_frees_its_port_at_once() {
    let running = start(&DEFAULTS);
    let stream = running.connect();
    echo(&stream, b"hello");
    let address = running.server.address;
    drop(running);
    let again = start(&Config { address, ..DEFAULTS });
    echo(&again.connect(), b"again");
    assert_eq!(again.server.address, address);
}

#[test]
fn a_discarding_connection_ends_with_its_client() {
    let running = start(&DEFAULTS);
    let mut stream = running.connect();
    write_until_blocked(&stream, usize::MAX);
    running.server.stop(PATIENCE);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => assert_eq!(answer.len() as u64, running.stats().total_bytes),
        Err(error) => assert_ne!(error.kind(), ErrorKind::ConnectionReset, "after {} bytes", answer.len()),
    }
    drop(stream);
    wait_until("it is closed", || running.stats().active_connections == 0);
    assert_eq!(running.wait_for_end(), None);
}

#[test]
fn clients_over_the_limit_do_not_hold_it_up() {
    for threads in [1, 2] {
        let config = Config { max_connections: 1, threads: threads.try_into().unwrap(), ..DEFAULTS };
        for _ in 0..20 {
            let running = start(&config);
            let first = running.connect();
            echo(&first, b"in");
            let second = running.connect();
            drop(first);
            let start = Instant::now();
            running.server.stop(PATIENCE);
            assert_eq!(running.wait_for_end(), None);
            assert!(start.elapsed() < PATIENCE / 10, "it took {:?}", start.elapsed());
            drop(second);
        }
    }
}

#[test]
fn all_in_the_backlog_read_an_end_however_many_are_over_the_limit() {
    let running = start(&Config { max_connections: 1, ..DEFAULTS });
    let first = running.connect();
    echo(&first, b"in");
    let others: Vec<_> = (0..400).map(|_| running.connect()).collect();
    running.server.stop(PATIENCE);
    for mut other in others {
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
    }
    assert_eq!(running.wait_for_end(), None);
}
