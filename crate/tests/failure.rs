//! A fault of our own ends the server, and nothing else.

mod support;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use echo_node::context::Context;
use echo_node::event_loop::EventLoop;
use echo_node::mailbox::{Message, mailbox};
use echo_node::sends::{Outgoing, Sends};
use echo_node::server::{Report, Server};
use echo_node::shared::Config;
use echo_node::shared::Shared;
use support::{DEFAULTS, echo, start, wait_until};

#[test]
fn a_panic_on_the_io_thread_ends_the_server_and_is_reported() {
    let (sender, ended) = channel();
    let config = Config { threads: 2.try_into().unwrap(), ..DEFAULTS };
    let server = Server::start(&config, move |event| match event {
        Report::Settled(_) => panic!("out of order"),
        Report::Ended(failure) => sender.send(failure).unwrap(),
        Report::Events => unreachable!("nobody asked for events"),
    })
    .unwrap();
    let address = server.address.to_string();
    let mut stream = TcpStream::connect(&address).unwrap();
    echo(&stream, b"all is well");

    assert!(server.send(1, Vec::new(), Duration::from_secs(60)));
    assert_eq!(ended.recv().unwrap().as_deref(), Some("out of order"));
    assert!(!server.send(2, Vec::new(), Duration::from_secs(60)), "a server that has failed takes a send");
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "its connections are closed");
    assert!(TcpStream::connect(&address).is_err(), "its port is free");
}

#[test]
fn sends_that_the_panic_of_another_thread_ends_are_not_called_cancelled() {
    let shared = Arc::new(Shared::new(DEFAULTS));
    let context = Context::new(&shared, 0).unwrap();
    let (mailbox, inbox) = mailbox(&context.poller).unwrap();
    let nowhere = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    let mut event_loop = EventLoop::new(context, inbox, Sends::new(true), None);
    assert!(mailbox.post(Message::Send(Outgoing::new(1, nowhere, Vec::new(), Duration::MAX, Duration::ZERO))));
    assert!(mailbox.post(Message::Stop(Duration::ZERO)));
    shared.panic.set("out of order".into()).unwrap();
    event_loop.run(&|report| panic!("{report:?}"));
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
#[test]
fn a_start_on_a_port_that_is_taken_leaves_no_socket_behind() {
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
