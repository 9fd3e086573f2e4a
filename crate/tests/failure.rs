//! A fault of our own ends the server, and nothing else.

mod support;

use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::Duration;

use echo_node::server::{Config, Event, Server};
use support::{echo, start, wait_until};

#[test]
fn a_panic_on_the_io_thread_ends_the_server_and_is_reported() {
    let (sender, ended) = channel();
    let config = Config { threads: 2.try_into().unwrap(), ..Config::default() };
    let server = Server::start(&config, move |event| match event {
        Event::Settled(_) => panic!("out of order"),
        Event::Ended(failure) => sender.send(failure).unwrap(),
    })
    .unwrap();
    let address = server.address().to_string();
    let mut stream = TcpStream::connect(&address).unwrap();
    echo(&stream, b"all is well");

    assert!(server.send(1, Vec::new(), Duration::from_secs(60)));
    assert_eq!(ended.recv().unwrap().as_deref(), Some("out of order"));
    assert_eq!(server.stats(), Err("out of order"));
    assert!(!server.send(2, Vec::new(), Duration::from_secs(60)), "a server that has failed takes a send");
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "its connections are closed");
    assert!(TcpStream::connect(&address).is_err(), "its port is free");
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let running = start(&Config::default());
    let config = Config { address: running.server.address(), threads: 4.try_into().unwrap(), ..Config::default() };
    let error = Server::start(&config, |_| {}).unwrap_err();
    assert_eq!((error.errno, error.syscall), (libc::EADDRINUSE, "bind"));
    drop(running);
    wait_until("its descriptors are closed", || {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        let is_socket = |path: std::path::PathBuf| path.to_string_lossy().starts_with("socket:");
        !descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).any(is_socket)
    });
}
