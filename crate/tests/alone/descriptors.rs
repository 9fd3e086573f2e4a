//! Near the limit of descriptors, which all servers and sends of a process share, they wait for each other.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use echo_node::acceptor::Acceptor;
use echo_node::client::Client;
use echo_node::connections::Connections;
use echo_node::context::Context;
use echo_node::error::Error;
use echo_node::listener::listen;
use echo_node::mailbox::mailbox;
use echo_node::sends::{Outgoing, Sends};
use echo_node::server::{Report, Server};
use echo_node::shared::{Config, Shared};
use socket2::{Domain, Socket, Type};

use crate::alone;
use crate::support::{DEFAULTS, PATIENCE, Running, echo, start, start_stalling, wait_until};

/// What a process may usually have open.
const USUAL: usize = 1024;

/// What this process may have open, until it is dropped.
struct Limit;

impl Limit {
    /// So many more than now.
    fn with_free(count: usize) -> Self {
        // The list is read through a descriptor of its own.
        set_limit(fs::read_dir("/proc/self/fd").unwrap().count() - 1 + count);
        Self
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        set_limit(USUAL);
    }
}

fn set_limit(count: usize) {
    let (pid, limit) = (process::id().to_string(), format!("--nofile={count}:"));
    let prlimit = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(prlimit.expect("prlimit, of util-linux, is installed").success());
}

fn with_threads(threads: usize) -> Config {
    Config { threads: threads.try_into().unwrap(), ..DEFAULTS }
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn sends_and_their_connections_wait_for_each_other() {
    const SENDS: usize = 500;
    let _alone = alone();
    let (running, go_on) = start_stalling(&DEFAULTS);
    running.stall();
    // Fewer than the sends that may be on the wire at once would need.
    let _limit = Limit::with_free(40);
    // They come together.
    for id in 0..SENDS {
        assert!(running.server.send(id as u64, b"hello".into(), PATIENCE));
    }
    drop(go_on);
    running.wait_for_sends(SENDS, b"hello");
    assert_eq!(running.stats().total_connections, SENDS as u64 + 1);
}

/// Each could take the descriptor that the other needs.
#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn the_sends_of_two_servers_are_carried_out() {
    let _alone = alone();
    let servers = [start(&DEFAULTS), start(&DEFAULTS)];
    for free in [3, 2] {
        let _limit = Limit::with_free(free);
        for id in 0..100 {
            for running in &servers {
                assert!(running.server.send(id, b"hello".into(), PATIENCE));
            }
        }
        for running in &servers {
            running.wait_for_sends(100, b"hello");
        }
    }
    assert!(servers.iter().all(|running| running.stats().total_connections == 200));
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn a_client_tells_the_reason_at_the_deadline_and_goes_on_when_there_are_some() {
    let _alone = alone();
    let running = start(&DEFAULTS);
    let (sender, reports) = channel();
    let client = Client::start(move |report| drop(sender.send(report))).unwrap();
    let next = || match reports.recv_timeout(PATIENCE).unwrap() {
        Report::Settled(mut settled) => settled.remove(0).result,
        other => panic!("not a send that is over: {other:?}"),
    };
    let _limit = Limit::with_free(10);
    let taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    client.send(Outgoing::new(1, running.server.address, b"hello".into(), Duration::from_millis(200), Duration::ZERO));
    assert_eq!(next(), Err(Error { errno: libc::EMFILE, syscall: "socket" }));
    client.send(Outgoing::new(2, running.server.address, b"hello".into(), PATIENCE, Duration::ZERO));
    drop(taken);
    assert_eq!(next(), Ok(b"hello".into()));
}

/// accept(2) tells that there is no descriptor also where it would have no use for one.
#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn without_descriptors_it_pauses_only_if_a_client_waits() {
    let _alone = alone();
    let (listener, address) = listen(DEFAULTS.address, 1).unwrap();
    let mut context = Context::new(&Arc::new(Shared::new(DEFAULTS)), 0).unwrap();
    let (mailbox, _inbox) = mailbox(&context.poller).unwrap();
    let mut acceptor = Acceptor::new(listener, 1, vec![mailbox]);
    let (mut connections, mut sends) = (Connections::new(Duration::ZERO), Sends::new(true));
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let _limit = Limit::with_free(0);
    let _taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    for is_paused in [false, true] {
        assert_eq!(acceptor.accept(&mut context, &mut connections, &mut sends, 1), 0);
        assert_eq!(acceptor.is_paused(), is_paused);
        // The second time it is connected already.
        let _ = client.connect(&address.into());
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn a_stop_without_descriptors_or_clients_is_over_at_once() {
    let _alone = alone();
    let running = start(&DEFAULTS);
    let _limit = Limit::with_free(0);
    let start = Instant::now();
    running.server.stop(PATIENCE);
    assert_eq!(running.wait_for_end(), None);
    assert!(start.elapsed() < PATIENCE / 10, "it took {:?}", start.elapsed());
}

/// The send has taken the last descriptor, and its connection finds none.
#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn idle_connections_end_when_a_stop_needs_their_descriptors() {
    let _alone = alone();
    for (threads, free) in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)] {
        let running = start(&with_threads(threads));
        let clients: Vec<_> = (0..20).map(|_| running.connect()).collect();
        for client in &clients {
            echo(client, b"hello");
        }
        let _limit = Limit::with_free(free);
        assert!(running.server.send(1, vec![b'x'; 1 << 20], PATIENCE));
        running.server.stop(PATIENCE);
        let start = Instant::now();
        assert_eq!(sent(&running), 1 << 20, "{threads} threads, {free} free descriptors");
        assert_eq!(running.wait_for_end(), None);
        assert!(start.elapsed() < PATIENCE / 10, "it took {:?}", start.elapsed());
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn clients_in_the_backlog_end_when_a_send_waits_behind_them() {
    let _alone = alone();
    for threads in [1, 2] {
        let (running, go_on) = start_stalling(&with_threads(threads));
        running.stall();
        let _clients: Vec<_> = (0..100).map(|_| running.connect()).collect();
        let _limit = Limit::with_free(10);
        assert!(running.server.send(1, b"hello".to_vec(), PATIENCE));
        running.server.stop(PATIENCE);
        drop(go_on);
        assert_eq!(sent(&running), 5, "{threads} threads");
        assert_eq!(running.wait_for_end(), None);
    }
}

/// How much came back to the one send.
fn sent(running: &Running) -> usize {
    let Ok(Report::Settled(settled)) = running.events.recv_timeout(PATIENCE) else { panic!("the send is not settled") };
    settled[0].result.as_ref().map(Vec::len).unwrap()
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs prlimit(1) and /proc")]
#[test]
fn a_start_on_a_port_that_is_taken_leaves_no_socket_behind() {
    let _alone = alone();
    let running = start(&DEFAULTS);
    let config = Config { address: running.server.address, ..DEFAULTS };
    let error = Server::start(&config, |_| {}).err().unwrap();
    assert_eq!((error.errno, error.syscall), (libc::EADDRINUSE, "bind"));
    drop(running);
    // Started by Node, a program has sockets for standard streams, and valgrind keeps a copy of one.
    let inherited: Vec<_> = targets((0..3).map(|stream| format!("/proc/self/fd/{stream}").into())).collect();
    wait_until("its descriptors are closed", || {
        let sockets = targets(std::fs::read_dir("/proc/self/fd").unwrap().flatten().map(|entry| entry.path()));
        sockets.filter(|target| target.starts_with("socket:")).all(|target| inherited.contains(&target))
    });
}

/// What these links to descriptors refer to.
fn targets(links: impl Iterator<Item = PathBuf>) -> impl Iterator<Item = String> {
    links.filter_map(|link| Some(std::fs::read_link(link).ok()?.to_string_lossy().into_owned()))
}
