//! Sends and the server's side of them share the descriptors of the process: near the limit they wait for each other.
//!
//! Alone in its file: it changes the limit of the process.

mod support;

use std::time::Duration;

use support::{DEFAULTS, limit_descriptors, start};

const SENDS: usize = 500;
/// Fewer than the sends that may be on the wire at once would need.
const DESCRIPTORS_LEFT: usize = 40;

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn all_are_carried_out() {
    let running = start(&DEFAULTS);
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    limit_descriptors(open + DESCRIPTORS_LEFT);

    for id in 0..SENDS {
        assert!(running.server.send(id as u64, b"hello".into(), Duration::from_secs(60)));
    }
    running.wait_for_sends(SENDS, b"hello");
    assert_eq!(running.stats().total_connections, SENDS as u64);
}
