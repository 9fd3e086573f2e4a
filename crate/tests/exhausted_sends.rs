//! Sends and the server's side of them share the descriptors of the process: near the limit they wait for each other.
//!
//! Alone in its file: it changes the limit of the process.

mod support;

use std::process::Command;
use std::time::Duration;

use echo_node::server::Report;
use support::{DEFAULTS, start};

/// The soft limit of the tests.
const PLENTY: usize = 1000;

/// Lets the process open so many descriptors.
fn limit(descriptors: usize) {
    let (pid, limit) = (std::process::id().to_string(), format!("--nofile={descriptors}:"));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

/// Sends so much to each of so many servers while so many descriptors are left.
fn carry_out(servers: usize, sends: usize, descriptors_left: usize) {
    limit(PLENTY);
    let servers: Vec<_> = (0..servers).map(|_| start(&DEFAULTS)).collect();
    // One of these belongs to the reading itself.
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() - 1;
    limit(open + descriptors_left);
    for id in 0..sends {
        for running in &servers {
            assert!(running.server.send(id as u64, b"hello".into(), Duration::from_secs(60)));
        }
    }
    for running in &servers {
        let mut settled = 0;
        while settled < sends {
            let Ok(Report::Settled(some)) = running.events.recv_timeout(Duration::from_secs(60)) else {
                panic!("{settled} of {sends} sends are settled, and no more");
            };
            for send in &some {
                assert_eq!(send.result.as_deref(), Ok(&b"hello"[..]));
            }
            settled += some.len();
        }
        assert_eq!(running.stats().total_connections, sends as u64);
    }
}

#[test]
fn all_are_carried_out() {
    // Fewer descriptors than the sends that may be on the wire at once would need.
    carry_out(1, 500, 40);
    // Each server could take the descriptor that the other needs.
    carry_out(2, 100, 2);
    carry_out(2, 100, 3);
}
