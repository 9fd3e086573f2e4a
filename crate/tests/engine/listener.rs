//! Where a server can listen, and how many threads it has.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;

use echo_node::error::Error;
use echo_node::listener::listen;
use echo_node::shared::default_threads;

#[test]
fn there_are_as_many_threads_as_cpus_and_at_most_four() {
    let cpus = thread::available_parallelism().unwrap().get();
    assert_eq!(default_threads().get(), cpus.min(4));
}

#[test]
fn an_address_that_nobody_can_connect_to_is_refused() {
    for ip in [Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::BROADCAST] {
        let refused = listen(SocketAddrV4::new(ip, 0), 1).err();
        assert_eq!(refused, Some(Error { errno: libc::EADDRNOTAVAIL, syscall: "bind" }));
    }
    assert!(listen(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), 1).is_ok());
}
