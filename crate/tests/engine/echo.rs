//! Everything that is sent comes back: RFC 862.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use crate::support::{DEFAULTS, echo, noise, start, start_stalling, write_and_end};
use echo_node::shared::Config;

#[test]
fn messages_come_back_and_are_counted() {
    let running = start(&DEFAULTS);
    let stream = running.connect();
    for length in [1, 64, 4096, 100_000] {
        echo(&stream, &noise(length));
    }
    let stats = running.stats();
    assert_eq!((stats.total_connections, stats.active_connections), (1, 1));
    assert_eq!(stats.total_bytes, 1 + 64 + 4096 + 100_000);
}

#[test]
fn everything_before_a_half_close_comes_back_after_it() {
    let running = start(&DEFAULTS);
    let data = noise(4 << 20);
    let mut stream = running.connect();
    let writer = write_and_end(&stream, data.clone());
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    writer.join().unwrap();
    assert!(answer == data, "{} of {} bytes came back", answer.len(), data.len());
}

#[test]
fn everything_before_a_half_close_comes_back_to_a_slow_reader() {
    let running = start(&DEFAULTS);
    let data = noise(4 << 20);
    let mut stream = running.connect();
    let writer = write_and_end(&stream, data.clone());
    let mut answer = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        // Slow is what it is to be: this is no wait for something.
        thread::sleep(Duration::from_millis(2));
        match stream.read(&mut piece).unwrap() {
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    writer.join().unwrap();
    assert!(answer == data, "{} of {} bytes came back", answer.len(), data.len());
}

#[test]
fn urgent_data_comes_back_in_its_place() {
    let running = start(&DEFAULTS);
    let stream = socket2::Socket::from(running.connect());
    stream.send(b"ab").unwrap();
    stream.send_out_of_band(b"C").unwrap();
    stream.send(b"de").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    std::net::TcpStream::from(stream).read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "abCde");
}

#[test]
fn a_connection_without_a_byte_is_one_connection() {
    let running = start(&DEFAULTS);
    let mut stream = running.connect();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let stats = running.stats();
    assert_eq!((stats.total_connections, stats.total_bytes, stats.active_connections), (1, 0, 0));
}

/// Those that come for one message stay where they were accepted.
#[test]
fn connections_that_last_are_dealt_out_in_turn() {
    let (running, go_on) = start_stalling(&Config { threads: 2.try_into().unwrap(), ..DEFAULTS });
    let [first, second, short] = [(); 3].map(|()| running.connect());
    for stream in [&first, &second] {
        for _ in 0..10 {
            echo(stream, b"hello");
        }
    }
    echo(&short, b"hello");
    running.stall();
    echo(&second, b"not stalled");
    for mut stream in [&first, &short] {
        stream.write_all(b"stalled").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(stream.read(&mut [0]).is_err());
    }
    drop(go_on);
    for mut stream in [&first, &short] {
        stream.set_read_timeout(None).unwrap();
        stream.read_exact(&mut [0; 7]).unwrap();
    }
}

#[test]
fn threads_share_the_connections() {
    let running = start(&Config { threads: 3.try_into().unwrap(), ..DEFAULTS });
    let streams: Vec<_> = (0..30).map(|_| running.connect()).collect();
    for stream in &streams {
        echo(stream, b"hello");
    }
    let stats = running.stats();
    assert_eq!((stats.total_connections, stats.active_connections, stats.total_bytes), (30, 30, 150));
    drop(streams);
    running.wait_for("all are closed", |stats| stats.active_connections == 0);
}
