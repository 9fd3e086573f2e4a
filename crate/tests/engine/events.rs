//! What a server tells about its connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::support::{DEFAULTS, PATIENCE, Running, echo, start};
use echo_node::connection::Cut;
use echo_node::log::{Event, Kind, Reason};
use echo_node::server::Report;
use echo_node::shared::Config;
use socket2::SockRef;

const OBSERVED: Config = Config { observed: true, ..DEFAULTS };

/// Takes events as they are reported, until there are so many.
fn take(running: &Running, count: usize) -> Vec<Event> {
    let mut events = Vec::new();
    while events.len() < count {
        match running.events.recv_timeout(PATIENCE) {
            Ok(Report::Events) => {
                let (more, missed) = running.server.take_events();
                assert_eq!(missed, 0);
                events.extend(more);
            }
            other => panic!("{} of {count} events, then {other:?}", events.len()),
        }
    }
    events
}

fn address(client: &TcpStream) -> SocketAddrV4 {
    let Ok(SocketAddr::V4(address)) = client.local_addr() else { panic!("the client has an IPv4 address") };
    address
}

fn reset(client: TcpStream) {
    // Fails on macOS if the server has reset it by now.
    let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
    drop(client);
}

fn read_to_end(mut client: &TcpStream) -> std::io::Result<usize> {
    client.read_to_end(&mut Vec::new())
}

fn end(event: &Event) -> (Reason, u64) {
    match event.kind {
        Kind::Ended { reason, bytes, .. } => (reason, bytes),
        other => panic!("not an end: {other:?}"),
    }
}

#[test]
fn a_connection_is_told_with_its_address_and_its_end_with_its_bytes() {
    for threads in [1, 4] {
        let running = start(&Config { threads: NonZeroUsize::new(threads).unwrap(), ..OBSERVED });
        for id in 1..=10 {
            let client = running.connect();
            let [told] = take(&running, 1)[..] else { panic!("one event") };
            assert_eq!((told.id, told.peer), (id, address(&client)));
            assert!(matches!(told.kind, Kind::Connected { thread, .. } if thread < threads));
            echo(&client, b"hello");
            echo(&client, b"again");
            client.shutdown(Shutdown::Write).unwrap();
            read_to_end(&client).unwrap();
            // No more traffic is needed for it.
            let [over] = take(&running, 1)[..] else { panic!("one event") };
            assert_eq!((over.id, over.peer, end(&over)), (id, told.peer, (Reason::Peer, 10)));
        }
    }
}

#[test]
fn each_way_to_end_has_its_reason() {
    let running = start(&Config { idle_timeout: Duration::from_millis(200), ..OBSERVED });
    let idle = running.connect();
    take(&running, 1);
    read_to_end(&idle).unwrap();
    assert_eq!(end(&take(&running, 1)[0]), (Reason::Idle, 0));

    let hasty = running.connect();
    echo(&hasty, b"12");
    take(&running, 1);
    reset(hasty);
    assert_eq!(end(&take(&running, 1)[0]), (Reason::Reset, 2));

    let served = running.connect();
    take(&running, 1);
    running.server.stop(PATIENCE);
    read_to_end(&served).unwrap();
    assert_eq!(end(&take(&running, 1)[0]), (Reason::Stop, 0));
    assert_eq!(running.wait_for_end(), None);
}

#[test]
fn a_connection_is_cut_by_its_id() {
    for threads in [1, 4] {
        let running = start(&Config { threads: NonZeroUsize::new(threads).unwrap(), ..OBSERVED });
        for (cut, error) in [(Cut::Close, None), (Cut::Reset, Some(std::io::ErrorKind::ConnectionReset))] {
            let (victim, other) = (running.connect(), running.connect());
            echo(&victim, b"1");
            let told = take(&running, 2);
            let told = told.iter().find(|event| event.peer == address(&victim)).unwrap();
            let Kind::Connected { thread, slot } = told.kind else { panic!("not a connection") };
            // Whoever has the slot by then is meant only if the id is its own.
            running.server.cut(thread, slot, told.id + 1000, cut);
            running.server.cut(thread, slot, told.id, cut);
            assert_eq!(read_to_end(&victim).err().map(|error| error.kind()), error);
            assert_eq!(end(&take(&running, 1)[0]), (Reason::Closed, 1));
            running.server.cut(thread, slot, told.id, cut);
            echo(&other, b"2");
            drop(other);
            assert_eq!(end(&take(&running, 1)[0]), (Reason::Peer, 1));
        }
    }
}

#[test]
fn all_connections_are_cut_whether_told_of_or_not() {
    for (threads, cut) in [(1, Cut::Close), (4, Cut::Reset)] {
        let running = start(&Config { threads: NonZeroUsize::new(threads).unwrap(), ..DEFAULTS });
        // More than a turn of the loop cuts.
        let clients: Vec<_> = (0..600).map(|_| running.connect()).collect();
        running.wait_for("all are connected", |stats| stats.active_connections == 600);
        assert_eq!(running.server.cut_all(cut), 600);
        for client in &clients {
            assert_eq!(read_to_end(client).is_err(), cut == Cut::Reset);
        }
        running.wait_for("none is open", |stats| stats.active_connections == 0);
        echo(&running.connect(), b"served");
    }
}

#[test]
fn what_a_cut_connection_has_written_arrives_before_its_end() {
    let running = start(&OBSERVED);
    let client = running.connect();
    echo(&client, b"all");
    let Kind::Connected { thread, slot } = take(&running, 1)[0].kind else { panic!("not a connection") };
    running.server.cut(thread, slot, 1, Cut::Close);
    assert_eq!(end(&take(&running, 1)[0]), (Reason::Closed, 3));
    // What the client still sends does not make a reset out of the end.
    (&client).write_all(b"more").unwrap();
    assert_eq!(read_to_end(&client).unwrap(), 0);
}

#[test]
fn who_is_turned_away_is_told_and_has_no_end() {
    let running = start(&Config { max_connections: 1, ..OBSERVED });
    let first = running.connect();
    take(&running, 1);
    let second = running.connect();
    read_to_end(&second).unwrap();
    assert_eq!(take(&running, 1), [Event { id: 0, peer: address(&second), kind: Kind::Dropped }]);
    drop(first);
    assert_eq!(end(&take(&running, 1)[0]), (Reason::Peer, 0));
}

#[test]
fn nothing_is_told_unless_somebody_wants_to_know() {
    let running = start(&DEFAULTS);
    let before = running.connect();
    echo(&before, b"1");
    running.server.set_observed(true);
    let client = running.connect();
    assert_eq!(take(&running, 1)[0].peer, address(&client));
    running.server.set_observed(false);
    let after = running.connect();
    echo(&after, b"2");
    drop((before, after));
    running.wait_for("both are gone", |stats| stats.active_connections == 1);
    // One that was told has its end told.
    drop(client);
    assert_eq!(end(&take(&running, 1)[0]), (Reason::Peer, 0));
    assert!(running.server.take_events().0.is_empty());
}

#[test]
fn connections_that_a_stop_cuts_off_have_their_ends() {
    for threads in [1, 4] {
        let running = start(&Config { threads: NonZeroUsize::new(threads).unwrap(), ..OBSERVED });
        let clients: Vec<_> = (0..40).map(|_| running.connect()).collect();
        running.wait_for("all are connected", |stats| stats.active_connections == 40);
        running.server.stop(Duration::ZERO);
        assert_eq!(running.wait_for_end(), None);
        let (events, missed) = running.server.take_events();
        let mut open = 0;
        for event in &events {
            match event.kind {
                Kind::Connected { .. } => open += 1,
                _ => assert_eq!((open > 0, end(event)), (true, (Reason::Stop, 0))),
            }
        }
        assert_eq!((events.len(), open, missed), (80, 40, 0));
        drop(clients);
    }
}
