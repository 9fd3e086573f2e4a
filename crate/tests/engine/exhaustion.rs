//! With no descriptor left, clients wait in the backlog, and the server does not spin.
//!
//! The server is the example `serve`, in a process of its own with few descriptors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, bound, echo, wait_until};

/// What the process may have open, the server's own descriptors included.
const DESCRIPTORS: usize = 64;
const CLIENTS: usize = 200;
const WINDOW: Duration = Duration::from_secs(1);

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn clients_wait_until_descriptors_come_free() {
    let (mut process, address) = serve(&["127.0.0.1:0"]);
    let clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(&address).unwrap()).collect();
    wait_until("no descriptor is left", || open_descriptors(&process) >= DESCRIPTORS);

    assert_sleeps(&process);

    // Each that leaves makes room for the next in the backlog.
    for client in clients {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        echo(&client, b"at last");
    }
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn a_stop_makes_room_for_the_clients_that_wait() {
    let (mut process, address) = serve(&["127.0.0.1:0"]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(&address).unwrap()).collect();
    wait_until("no descriptor is left", || open_descriptors(&process) >= DESCRIPTORS);
    for client in &mut clients {
        client.write_all(b"in time").unwrap();
    }
    drop(process.stdin.take());
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "in time");
    }
    assert!(process.wait().unwrap().success());
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn a_server_that_nobody_is_connected_to_does_not_poll() {
    // As long as it may: a second for each of three polls in vain.
    let (mut process, address) = serve(&["127.0.0.1:0", "1000000"]);
    assert_sleeps(&process);
    let client = TcpStream::connect(&address).unwrap();
    echo(&client, b"hello");
    let descriptors = open_descriptors(&process);
    drop(client);
    wait_until("the connection is closed", || open_descriptors(&process) < descriptors);
    assert_sleeps(&process);
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
}

/// Whether the server does nothing while nothing happens.
fn assert_sleeps(process: &Child) {
    let (before, start) = (cpu_time(process), Instant::now());
    // A window to measure in, not a wait for something.
    thread::sleep(WINDOW);
    let used = cpu_time(process).saturating_sub(before);
    let share = used.as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(share < 0.05, "the server used {:.1} % of a core", share * 100.0);
}

/// The example `serve`, with these arguments and few descriptors.
fn serve(arguments: &[&str]) -> (Child, String) {
    bound();
    let mut process = Command::new("prlimit")
        .arg(format!("--nofile={DESCRIPTORS}"))
        .arg(example("serve"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("prlimit, of util-linux, is installed");
    let mut address = String::new();
    BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
    (process, address.trim().to_owned())
}

/// Cargo builds the examples before it runs the tests, beside them.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is not built: run cargo build --examples", path.display());
    path
}

fn open_descriptors(process: &Child) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count()
}

/// What all threads have used: the first figures of /proc/PID/task/TID/schedstat, in nanoseconds.
fn cpu_time(process: &Child) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let used = tasks.map(|task| {
        let schedstat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        schedstat.split_whitespace().next().unwrap().parse().map(Duration::from_nanos).unwrap()
    });
    used.sum()
}
