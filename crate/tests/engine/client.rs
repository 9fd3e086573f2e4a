//! The client without a server of its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::support::{DEFAULTS, PATIENCE, bound, noise, start};
use echo_node::client::Client;
use echo_node::error::Error;
use echo_node::exchange::MOST_BEYOND;
use echo_node::sends::{Outgoing, Settled};
use echo_node::server::Report;
use socket2::SockRef;

/// How long our side stays open for the echo.
const OPEN: Duration = Duration::from_millis(200);

fn client() -> (Client, Receiver<Report>) {
    bound();
    let (sender, reports) = channel();
    (Client::start(move |report| drop(sender.send(report))).unwrap(), reports)
}

/// Waits for the next sends that are over.
fn settled(reports: &Receiver<Report>) -> Vec<Settled> {
    match reports.recv_timeout(PATIENCE).unwrap() {
        Report::Settled(settled) => settled,
        other => panic!("not a send that is over: {other:?}"),
    }
}

/// A server that does this with its first connection.
fn serving(serve: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddrV4, thread::JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || serve(listener.accept().unwrap().0));
    (SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), server)
}

#[test]
fn sends_go_to_several_servers_at_once() {
    let servers = [start(&DEFAULTS), start(&DEFAULTS)];
    let (client, reports) = client();
    let data = noise(100_000);
    for id in 0..200 {
        client.send(Outgoing::new(
            id,
            servers[usize::try_from(id % 2).unwrap()].server.address,
            data.clone(),
            PATIENCE,
            OPEN,
        ));
    }
    let mut ids = Vec::new();
    while ids.len() < 200 {
        for Settled { id, result, .. } in settled(&reports) {
            assert!(result.unwrap() == data);
            ids.push(id);
        }
    }
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..200));
    for running in servers {
        assert_eq!(running.stats().total_connections, 100);
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
#[test]
fn a_port_that_is_closed_is_refused_though_a_socket_can_connect_to_itself() {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let mut range = range.split_whitespace().map(|port| port.parse::<u16>().unwrap());
    let (first, last) = (range.next().unwrap(), range.next().unwrap());
    // Linux goes through the ports of this parity one after the other.
    let wanted = (first..=last).step_by(2).skip(1000);
    let port = wanted.into_iter().find(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err()).unwrap();
    let (client, reports) = client();
    let count = u64::from(last - first) / 2 + 2;
    for ip in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
        for id in 0..count {
            client.send(Outgoing::new(id, SocketAddrV4::new(ip, port), b"anyone?".to_vec(), PATIENCE, OPEN));
        }
        let mut refused = 0;
        while refused < count {
            for Settled { result, .. } in settled(&reports) {
                assert_eq!(result, Err(Error { errno: libc::ECONNREFUSED, syscall: "connect" }));
                refused += 1;
            }
        }
    }
}

#[test]
fn our_side_stays_open_until_the_echo_is_back() {
    let (address, server) = serving(|mut stream| {
        let mut data = [0; 4];
        stream.read_exact(&mut data).unwrap();
        stream.set_nonblocking(true).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "the end came before the echo");
        stream.set_nonblocking(false).unwrap();
        stream.write_all(&data).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    });
    let (client, reports) = client();
    client.send(Outgoing::new(1, address, b"data".to_vec(), PATIENCE, OPEN));
    assert_eq!(settled(&reports).remove(0).result.unwrap(), b"data");
    server.join().unwrap();
}

#[test]
fn a_send_that_is_cancelled_is_settled() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!() };
    let (client, reports) = client();
    client.send(Outgoing::new(1, address, b"data".to_vec(), Duration::MAX, Duration::ZERO));
    client.cancel(1);
    assert_eq!(settled(&reports).remove(0).result.unwrap_err().errno, libc::ECANCELED);
}

#[test]
fn an_urgent_byte_of_the_answer_is_a_byte_of_it() {
    let (address, server) = serving(|mut stream| {
        stream.read_exact(&mut [0; 5]).unwrap();
        stream.write_all(b"he").unwrap();
        SockRef::from(&stream).send_out_of_band(b"l").unwrap();
        stream.write_all(b"lo").unwrap();
    });
    let (client, reports) = client();
    client.send(Outgoing::new(1, address, b"hello".to_vec(), PATIENCE, Duration::ZERO));
    assert_eq!(settled(&reports).remove(0).result.unwrap(), b"hello");
    server.join().unwrap();
}

#[test]
fn a_server_that_waits_for_the_end_gets_it_when_the_patience_is_over() {
    let (address, server) = serving(|mut stream| {
        let mut data = Vec::new();
        stream.read_to_end(&mut data).unwrap();
        stream.write_all(&data).unwrap();
    });
    let (client, reports) = client();
    client.send(Outgoing::new(1, address, b"data".to_vec(), Duration::from_secs(30), OPEN));
    assert_eq!(settled(&reports).remove(0).result.unwrap(), b"data");
    server.join().unwrap();
}

#[test]
fn a_server_that_writes_without_end_fills_no_memory() {
    let (address, server) = serving(|mut stream| while stream.write_all(&[0; 16384]).is_ok() {});
    let (client, reports) = client();
    client.send(Outgoing::new(1, address, b"data".to_vec(), PATIENCE, OPEN));
    let received = settled(&reports).remove(0).result.unwrap().len();
    assert!(received > MOST_BEYOND && received < MOST_BEYOND + (2 << 20), "{received}");
    // It is told by a reset.
    server.join().unwrap();
}

#[test]
fn as_much_as_may_come_back_comes_to_its_end() {
    let most = b"data".len() + MOST_BEYOND;
    let (done, is_done) = channel::<()>();
    let (address, server) = serving(move |mut stream| {
        stream.write_all(&vec![7; most]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        assert!(is_done.recv().is_err());
        assert!(stream.take_error().unwrap().is_none(), "it is reset");
    });
    let (client, reports) = client();
    client.send(Outgoing::new(1, address, b"data".to_vec(), PATIENCE, OPEN));
    assert_eq!(settled(&reports).remove(0).result.unwrap().len(), most);
    drop(done);
    server.join().unwrap();
}

#[test]
fn what_came_back_before_a_failure_is_told() {
    let (done, is_done) = channel::<()>();
    let (address, server) = serving(move |mut stream| {
        stream.write_all(b"half").unwrap();
        assert!(is_done.recv().is_err());
    });
    let (client, reports) = client();
    client.send(Outgoing::new(1, address, vec![0; 64 << 20], Duration::from_millis(300), OPEN));
    let Settled { result, partial, .. } = settled(&reports).remove(0);
    assert_eq!(result.unwrap_err().errno, libc::ETIMEDOUT);
    assert_eq!(partial, b"half");
    drop(done);
    server.join().unwrap();
}

#[test]
fn what_came_back_before_a_reset_that_meets_a_write_is_told() {
    for _ in 0..20 {
        let (address, server) = serving(|mut stream| {
            stream.write_all(b"a banner").unwrap();
            // Closed with unread input: that is a reset.
            stream.read_exact(&mut [0; 16384]).unwrap();
        });
        let (client, reports) = client();
        client.send(Outgoing::new(1, address, vec![0; 64 << 20], PATIENCE, OPEN));
        let Settled { result, partial, .. } = settled(&reports).remove(0);
        assert_eq!(result.unwrap_err().errno, libc::ECONNRESET);
        assert_eq!(partial, b"a banner");
        server.join().unwrap();
    }
}

#[test]
fn a_client_that_is_dropped_gives_up_its_sends() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
    let (client, reports) = client();
    client.send(Outgoing::new(1, address, b"data".to_vec(), PATIENCE, OPEN));
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    drop(client);
    assert_eq!(settled(&reports).remove(0).result.unwrap_err().errno, libc::ECANCELED);
    assert!(matches!(reports.recv_timeout(PATIENCE).unwrap(), Report::Ended(None)));
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_panic_on_its_thread_is_told() {
    let (sender, ended) = channel();
    let client = Client::start(move |report| match report {
        Report::Ended(failure) => sender.send(failure).unwrap(),
        _ => panic!("out of order"),
    })
    .unwrap();
    client.send(Outgoing::new(1, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), Vec::new(), PATIENCE, OPEN));
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap().as_deref(), Some("out of order"));
    client.send(Outgoing::new(2, SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), Vec::new(), PATIENCE, OPEN));
}
