//! Sends and the server's side of them share the descriptors of the process: near the limit they wait for each other.
//!
//! Alone in its file: it changes the limit of the process.

mod support;

use std::process::Command;
use std::time::Duration;

use echo_node::server::Report;
use support::{DEFAULTS, Running, start};

/// Lets the process open so many descriptors.
fn limit(descriptors: usize) {
    let (pid, limit) = (std::process::id().to_string(), format!("--nofile={descriptors}:"));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

/// Sends so often to each of these servers.
fn carry_out(servers: &[Running], sends: usize) {
    for id in 0..sends {
        for running in servers {
            assert!(running.server.send(id as u64, b"hello".into(), Duration::from_secs(60)));
        }
    }
    for running in servers {
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
    }
}

#[test]
fn all_are_carried_out() {
    let (one, two) = ([start(&DEFAULTS)], [start(&DEFAULTS), start(&DEFAULTS)]);
    // One of these belongs to the reading itself.
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() - 1;
    // Fewer than the sends that may be on the wire at once would need.
    limit(open + 40);
    carry_out(&one, 500);
    assert_eq!(one[0].stats().total_connections, 500);
    // Each server could take the descriptor that the other needs. Never more than before, which valgrind does not bear.
    for left in [3, 2] {
        limit(open + left);
        carry_out(&two, 100);
    }
    assert!(two.iter().all(|running| running.stats().total_connections == 200));
}
