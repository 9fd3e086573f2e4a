//! A fault of our own ends the server, and nothing else.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::{DEFAULTS, PATIENCE, bound, echo};
use echo_node::context::Context;
use echo_node::event_loop::EventLoop;
use echo_node::log::{Kind, Reason};
use echo_node::mailbox::{Message, mailbox};
use echo_node::sends::{Outgoing, Sends};
use echo_node::server::{Report, Server};
use echo_node::shared::Config;
use echo_node::shared::Shared;

#[test]
fn a_panic_on_the_io_thread_ends_the_server_and_is_reported() {
    bound();
    let (sender, ended) = channel();
    let config = Config { threads: 2.try_into().unwrap(), ..DEFAULTS };
    let server = Server::start(&config, move |event| match event {
        Report::Settled(_) => panic!("out of order"),
        Report::Ended(failure) => sender.send(failure).unwrap(),
        Report::Events => unreachable!("nobody asked for events"),
    })
    .unwrap();
    let address = server.address.to_string();
    // Those that last are dealt out in turn.
    let streams = [(); 2].map(|()| TcpStream::connect(&address).unwrap());
    for stream in &streams {
        (0..3).for_each(|_| echo(stream, b"all is well"));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    assert!(server.send(1, Vec::new(), PATIENCE));
    assert_eq!(ended.recv().unwrap().as_deref(), Some("out of order"));
    assert!(!server.send(2, Vec::new(), PATIENCE), "a server that has failed takes a send");
    for mut stream in streams {
        let error = stream.read(&mut [0]).err().map(|error| error.kind());
        assert!(error.is_none_or(|error| error == ErrorKind::ConnectionReset), "its connections are closed");
    }
    assert!(TcpStream::connect(&address).is_err(), "its port is free");
}

#[test]
fn all_connections_end_for_that_reason() {
    bound();
    let (sender, ended) = channel();
    let config = Config { threads: 2.try_into().unwrap(), observed: true, ..DEFAULTS };
    let server = Server::start(&config, move |report| match report {
        Report::Settled(_) => panic!("out of order"),
        Report::Ended(_) => sender.send(()).unwrap(),
        Report::Events => {}
    })
    .unwrap();
    // Those that are told of are dealt out in turn.
    let streams = [(); 4].map(|()| TcpStream::connect(server.address).unwrap());
    for stream in &streams {
        echo(stream, b"all is well");
    }
    assert!(server.send(1, Vec::new(), PATIENCE));
    ended.recv_timeout(PATIENCE).unwrap();
    let reasons = server.take_events().0.into_iter().filter_map(|event| match event.kind {
        Kind::Ended { reason, .. } => Some(reason),
        _ => None,
    });
    // The send's own connection has ended before.
    assert_eq!(reasons.filter(|reason| *reason == Reason::Failed).count(), streams.len());
}

#[test]
fn sends_that_the_panic_of_another_thread_ends_are_not_called_cancelled() {
    bound();
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
