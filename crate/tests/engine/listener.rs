//! Where a server can listen.

use std::net::{Ipv4Addr, SocketAddrV4};

use echo_node::error::Error;
use echo_node::listener::listen;

#[test]
fn an_address_that_nobody_can_connect_to_is_refused() {
    for ip in [Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::BROADCAST] {
        let refused = listen(SocketAddrV4::new(ip, 0), 1).err();
        assert_eq!(refused, Some(Error { errno: libc::EADDRNOTAVAIL, syscall: "bind" }));
    }
    assert!(listen(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), 1).is_ok());
}
