//! The client's side of one send, without a loop. The test is its server.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};

use echo_node::exchange::{Exchange, MOST_BEYOND};

use crate::support::{bound, wait_until};

const READ: usize = 1 << 20;

fn exchange(length: usize) -> (Exchange, TcpStream) {
    bound();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!() };
    let exchange = Exchange::open(address, length, false).unwrap();
    (exchange, listener.accept().unwrap().0)
}

#[test]
fn what_comes_back_is_read_also_while_nothing_can_be_written() {
    let data = vec![7; 64 * READ];
    let (mut exchange, mut server) = exchange(data.len());
    let advance = |exchange: &mut Exchange| exchange.advance(&data, &mut vec![0; READ]);
    wait_until("it is connected", || advance(&mut exchange) == Ok(false) && !exchange.is_connecting());
    let mut socket = TcpStream::from(exchange.socket.try_clone().unwrap());
    let mut failures = 0;
    // The kernel still moves what was written.
    wait_until("it can write no more", || {
        let is_full = advance(&mut exchange) == Ok(false) && socket.write(b"7").is_err();
        failures = if is_full { failures + 1 } else { 0 };
        failures == 50
    });
    server.write_all(b"hello").unwrap();
    wait_until("it reads", || advance(&mut exchange) == Ok(false) && exchange.received == b"hello");
}

#[test]
fn so_much_more_may_come_back_than_was_sent() {
    let (mut exchange, mut server) = exchange(5);
    let advance = |exchange: &mut Exchange| exchange.advance(b"hello", &mut vec![0; READ]);
    let mut left = 5 + MOST_BEYOND;
    while exchange.received.len() < 5 + MOST_BEYOND {
        let piece = left.min(READ / 16);
        server.write_all(&vec![7; piece]).unwrap();
        left -= piece;
        assert_eq!(advance(&mut exchange), Ok(false));
    }
    server.write_all(b"!").unwrap();
    wait_until("it is too much", || advance(&mut exchange) == Ok(true));
}
