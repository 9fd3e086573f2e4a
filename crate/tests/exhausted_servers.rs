//! Two servers share the descriptors of the process: near the limit each could take the one that the other needs.
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
fn the_sends_of_both_are_carried_out() {
    let servers = [start(&DEFAULTS), start(&DEFAULTS)];
    // One of these belongs to the reading itself.
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() - 1;
    for left in [3, 2] {
        limit(open + left);
        carry_out(&servers, 100);
    }
    assert!(servers.iter().all(|running| running.stats().total_connections == 200));
}
