//! Sends and the server's side of them share the descriptors of the process: near the limit they wait for each other.
//!
//! Alone in its file: it changes the limit of the process.

mod support;

use std::process::Command;
use std::time::Duration;

use echo_node::server::Report;
use support::{DEFAULTS, start};

const SENDS: usize = 500;
/// Fewer than the sends that may be on the wire at once would need.
const DESCRIPTORS_LEFT: usize = 40;

#[test]
fn all_are_carried_out() {
    let running = start(&DEFAULTS);
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let limit = format!("--nofile={}:", open + DESCRIPTORS_LEFT);
    let pid = std::process::id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());

    for id in 0..SENDS {
        assert!(running.server.send(id as u64, b"hello".into(), Duration::from_secs(60)));
    }
    let mut settled = 0;
    while settled < SENDS {
        let Ok(Report::Settled(sends)) = running.events.recv_timeout(Duration::from_secs(60)) else {
            panic!("{settled} of {SENDS} sends are settled, and no more");
        };
        for send in &sends {
            assert_eq!(send.result.as_deref(), Ok(&b"hello"[..]));
        }
        settled += sends.len();
    }
    assert_eq!(running.stats().total_connections, SENDS as u64);
}
