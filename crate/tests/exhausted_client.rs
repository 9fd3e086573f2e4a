//! A client without descriptors says so, and goes on when there are some.
//!
//! Alone in its file: it changes the limit of the process.

mod support;

use std::sync::mpsc::channel;
use std::time::Duration;

use echo_node::client::Client;
use echo_node::error::Error;
use echo_node::sends::Outgoing;
use echo_node::server::Report;
use support::{DEFAULTS, limit_descriptors, start};

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn the_reason_is_told_at_the_deadline() {
    let running = start(&DEFAULTS);
    let (sender, reports) = channel();
    let client = Client::start(move |report| drop(sender.send(report))).unwrap();
    let next = || match reports.recv_timeout(Duration::from_secs(60)).unwrap() {
        Report::Settled(mut settled) => settled.remove(0).result,
        other => panic!("not a send that is over: {other:?}"),
    };
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    limit_descriptors(open + 10);
    let taken: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    client.send(Outgoing::new(1, running.server.address, b"hello".into(), Duration::from_millis(200), Duration::ZERO));
    assert_eq!(next(), Err(Error { errno: libc::EMFILE, syscall: "socket" }));
    client.send(Outgoing::new(2, running.server.address, b"hello".into(), Duration::from_secs(60), Duration::ZERO));
    drop(taken);
    assert_eq!(next(), Ok(b"hello".into()));
}
