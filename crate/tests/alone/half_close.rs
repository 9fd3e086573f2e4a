//! A client that has ended its side, and has not read its echoes yet, is a connection as any other: the kernel gives up the rest
//! of one that is closed, and no limit counts it.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::alone;
use crate::support::{DEFAULTS, NO_FAULTS, PATIENCE, Running, echo, noise, start};
use echo_node::connection::Cut;
use echo_node::faults::Faults;
use echo_node::shared::Config;
use socket2::SockRef;

/// More than the client's kernel takes, less than the server's.
const SIZE: usize = 400_000;

/// A client that has written and ended, and whose echoes the server's kernel cannot send.
fn ended(running: &Running) -> TcpStream {
    let mut stream = running.connect();
    SockRef::from(&stream).set_recv_buffer_size(50_000).unwrap();
    let before = running.stats().total_bytes;
    stream.write_all(&noise(SIZE)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    running.wait_for("everything is written", |stats| stats.total_bytes == before + SIZE as u64);
    // Time for the end of input, behind it.
    echo(&running.connect(), b"after it");
    stream
}

fn read(mut stream: &TcpStream) -> Vec<u8> {
    let mut data = Vec::new();
    stream.read_to_end(&mut data).unwrap();
    data
}

#[cfg_attr(not(target_os = "linux"), ignore = "its sizes fit the buffers of Linux")]
#[test]
fn it_stays_until_everything_is_sent() {
    let _alone = alone();
    let late = Faults { delay: (Duration::from_millis(1), Duration::from_millis(1)), ..NO_FAULTS };
    for faults in [None, Some(late)] {
        let running = start(&Config { threads: 2.try_into().unwrap(), ..DEFAULTS });
        running.server.set_faults(faults);
        let stream = ended(&running);
        running.wait_for("the other has left", |stats| stats.active_connections == 1);
        assert!(read(&stream) == noise(SIZE), "what came back is not what was sent");
        running.wait_for("it is closed", |stats| stats.active_connections == 0);
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "its sizes fit the buffers of Linux")]
#[test]
fn it_takes_its_place_among_those_that_may_be_open() {
    let _alone = alone();
    let running = start(&Config { max_connections: 2, ..DEFAULTS });
    let stream = ended(&running);
    running.wait_for("the other has left", |stats| stats.active_connections == 1);
    let _second = running.connect();
    assert_eq!(running.connect().read(&mut [0]).unwrap(), 0);
    assert_eq!(running.stats().rejected_connections, 1);
    assert_eq!(read(&stream).len(), SIZE);
}

#[cfg_attr(not(target_os = "linux"), ignore = "its sizes fit the buffers of Linux")]
#[test]
fn it_may_be_idle() {
    let _alone = alone();
    let running = start(&Config { idle_timeout: Duration::from_millis(300), ..DEFAULTS });
    let _stream = ended(&running);
    running.wait_for("it is closed", |stats| stats.active_connections == 0);
}

#[cfg_attr(not(target_os = "linux"), ignore = "its sizes fit the buffers of Linux")]
#[test]
fn it_is_gone_when_its_client_is() {
    let _alone = alone();
    let running = start(&DEFAULTS);
    let stream = ended(&running);
    running.wait_for("the other has left", |stats| stats.active_connections == 1);
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    running.wait_for("it is closed", |stats| stats.active_connections == 0);
}

#[cfg_attr(not(target_os = "linux"), ignore = "its sizes fit the buffers of Linux")]
#[test]
fn it_may_be_cut() {
    let _alone = alone();
    for cut in [Cut::Close, Cut::Reset] {
        let running = start(&DEFAULTS);
        let _stream = ended(&running);
        running.wait_for("the other has left", |stats| stats.active_connections == 1);
        running.server.cut_all(cut);
        running.wait_for("it is cut", |stats| stats.active_connections == 0);
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "its sizes fit the buffers of Linux")]
#[test]
fn a_stop_waits_for_it_until_its_deadline() {
    let _alone = alone();
    let running = start(&DEFAULTS);
    let stream = ended(&running);
    running.server.stop(PATIENCE);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(read(&stream).len(), SIZE);
    assert_eq!(running.wait_for_end(), None);

    let running = start(&DEFAULTS);
    let _stream = ended(&running);
    let begin = Instant::now();
    running.server.stop(Duration::from_millis(300));
    assert_eq!(running.wait_for_end(), None);
    assert!(begin.elapsed() >= Duration::from_millis(300), "cut off after {:?}", begin.elapsed());
}

#[cfg_attr(not(target_os = "linux"), ignore = "its sizes fit the buffers of Linux")]
#[test]
fn meanwhile_the_loop_sleeps() {
    let _alone = alone();
    let running = start(&DEFAULTS);
    let _stream = ended(&running);
    let before = cpu_times();
    thread::sleep(Duration::from_millis(500));
    let used = cpu_times().into_iter().map(|(thread, time)| time - before.get(&thread).unwrap_or(&time)).max();
    assert!(used < Some(250_000_000), "it took {used:?} ns of CPU time");
}

/// What each I/O thread of this process has used, in nanoseconds.
fn cpu_times() -> HashMap<PathBuf, u64> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let of = |task: PathBuf| {
        let is_ours = fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("echo-io"));
        let schedstat = fs::read_to_string(task.join("schedstat")).ok().filter(|_| is_ours)?;
        Some((task, schedstat.split_whitespace().next()?.parse().ok()?))
    };
    tasks.filter_map(of).collect()
}
