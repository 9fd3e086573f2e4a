//! A stop makes room for a send that has taken the last descriptor, and whose server side finds none.
//!
//! Alone in its file: it changes the limit of the process.

mod support;

use std::time::{Duration, Instant};

use echo_node::server::Report;
use echo_node::shared::Config;
use support::{DEFAULTS, echo, limit_descriptors, start, start_stalling};

const AMPLE: Duration = Duration::from_secs(60);

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn the_send_is_carried_out() {
    idle_connections_end_while_it_waits_to_be_accepted();
    clients_in_the_backlog_end_while_it_waits_behind_them();
    a_stop_without_descriptors_or_clients_is_over_at_once();
}

fn a_stop_without_descriptors_or_clients_is_over_at_once() {
    let running = start(&DEFAULTS);
    limit_descriptors(open_descriptors());
    let start = Instant::now();
    running.server.stop(AMPLE);
    assert_eq!(running.wait_for_end(), None);
    assert!(start.elapsed() < AMPLE / 10, "it took {:?}", start.elapsed());
    limit_descriptors(1024);
}

fn idle_connections_end_while_it_waits_to_be_accepted() {
    for threads in [1, 2] {
        for free in [1, 2, 3] {
            check(threads, free);
        }
    }
}

fn clients_in_the_backlog_end_while_it_waits_behind_them() {
    for threads in [1, 2] {
        let (running, go_on) = start_stalling(&Config { threads: threads.try_into().unwrap(), ..DEFAULTS });
        running.stall();
        let clients: Vec<_> = (0..100).map(|_| running.connect()).collect();
        limit_descriptors(open_descriptors() + 10);
        assert!(running.server.send(1, b"hello".to_vec(), AMPLE));
        running.server.stop(AMPLE);
        drop(go_on);
        let Ok(Report::Settled(settled)) = running.events.recv_timeout(AMPLE) else {
            panic!("the send is not settled")
        };
        assert_eq!(settled[0].result.as_ref().map(Vec::len), Ok(5), "{threads} threads");
        assert_eq!(running.wait_for_end(), None);
        limit_descriptors(1024);
        drop(clients);
    }
}

fn check(threads: usize, free: usize) {
    let running = start(&Config { threads: threads.try_into().unwrap(), ..DEFAULTS });
    let clients: Vec<_> = (0..20).map(|_| running.connect()).collect();
    for client in &clients {
        echo(client, b"hello");
    }
    limit_descriptors(open_descriptors() + free);
    assert!(running.server.send(1, vec![b'x'; 1 << 20], AMPLE));
    running.server.stop(AMPLE);
    let start = Instant::now();
    let Ok(Report::Settled(settled)) = running.events.recv_timeout(AMPLE) else { panic!("the send is not settled") };
    assert_eq!(settled[0].result.as_ref().map(Vec::len), Ok(1 << 20), "{threads} threads, {free} free descriptors");
    assert_eq!(running.wait_for_end(), None);
    assert!(start.elapsed() < AMPLE / 10, "it took {:?}", start.elapsed());
    limit_descriptors(1024);
}

fn open_descriptors() -> usize {
    // The list is read through a descriptor of its own.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}
