//! Two servers share the descriptors of the process: near the limit each could take the one that the other needs.
//!
//! Alone in its file: it changes the limit of the process.

mod support;

use std::time::Duration;

use support::{DEFAULTS, limit_descriptors, start};

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn the_sends_of_both_are_carried_out() {
    let servers = [start(&DEFAULTS), start(&DEFAULTS)];
    // One of these belongs to the reading itself.
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() - 1;
    for left in [3, 2] {
        limit_descriptors(open + left);
        for id in 0..100 {
            for running in &servers {
                assert!(running.server.send(id, b"hello".into(), Duration::from_secs(60)));
            }
        }
        for running in &servers {
            running.wait_for_sends(100, b"hello");
        }
    }
    assert!(servers.iter().all(|running| running.stats().total_connections == 200));
}
