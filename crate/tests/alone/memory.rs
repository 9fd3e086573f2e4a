//! A client that does not read is held back by TCP, and costs the server no more than one buffer.

use crate::alone;
use crate::support::{DEFAULTS, echo, noise, resident, start, write_until_blocked};

const OFFERED: usize = 400 << 20;
const MAY_GROW: usize = 2 << 20;

#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
#[test]
fn a_client_that_never_reads_blocks_and_others_are_served() {
    let _alone = alone();
    let running = start(&DEFAULTS);
    let other = running.connect();
    let silent = running.connect();
    // The thread's buffer is touched once.
    echo(&other, &noise(1 << 20));
    let before = resident();
    let written = write_until_blocked(&silent, OFFERED);
    let grown = resident().saturating_sub(before);
    assert!(written < OFFERED, "the server took all {OFFERED} bytes");
    assert!(grown < MAY_GROW, "the server grew by {grown} bytes");
    echo(&other, b"meanwhile");
}
