//! The drain of a connection on which much has come in: what decides by given values, and one connection over TCP.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::support::{DEFAULTS, bound, wait_until, write_until_blocked};
use echo_node::connection::{Connection, Next};
use echo_node::context::Context;
use echo_node::drain::{
    BULK, Drain, LONGEST_PAUSE, MOST, ROUND_TRIPS, Received, SHORTEST_PAUSE, SHORTEST_PAUSE_BEHIND as PAUSE,
};
use echo_node::poller::Interest;
use echo_node::shared::Shared;

const LATER: Duration = Duration::from_secs(60);
const JUST_LESS: Duration = Duration::from_nanos(1);
const BYTES: u64 = BULK as u64;
const MUCH: Received = Received { bytes: BYTES, waiting: BULK, since: LATER, round_trip: Duration::ZERO };

#[test]
fn limits_are_those_of_the_documents() {
    assert_eq!((BULK, MOST), (16 * 1024, 16 * 1024 * 1024));
    let pauses = [SHORTEST_PAUSE, PAUSE, LONGEST_PAUSE].map(|pause| pause.as_millis());
    assert_eq!((ROUND_TRIPS, pauses), (4, [20, 300, 1000]));
}

#[test]
fn more_may_come_after_much_that_waits_or_that_came_just_now() {
    let just_now = SHORTEST_PAUSE.checked_sub(JUST_LESS).unwrap();
    for (received, expected) in [
        (MUCH, true),
        (Received { bytes: BYTES - 1, ..MUCH }, false),
        (Received { waiting: BULK - 1, ..MUCH }, false),
        (Received { waiting: 0, since: just_now, ..MUCH }, true),
        (Received { waiting: 0, since: SHORTEST_PAUSE, ..MUCH }, false),
        (Received { bytes: BYTES - 1, waiting: 0, since: just_now, ..MUCH }, false),
    ] {
        assert_eq!(Drain::new(received).is_some(), expected, "{received:?}");
    }
}

#[test]
fn a_client_is_quiet_for_some_round_trips() {
    for (waiting, round_trip, pause) in [
        (0, 0, 20),
        (0, 5, 20),
        (0, 6, 24),
        (BULK - 1, 250, 1000),
        (BULK - 1, 300, 1000),
        (BULK, 0, 300),
        (BULK, 75, 300),
        (BULK, 76, 304),
        (BULK, 300, 1000),
    ] {
        let (round_trip, since) = (Duration::from_millis(round_trip), Duration::ZERO);
        let mut drain = Drain::new(Received { waiting, round_trip, since, ..MUCH }).unwrap();
        assert_eq!(drain.until(), None);
        drain.note_read(1, LATER, Duration::MAX);
        assert_eq!(drain.until(), Some(LATER + Duration::from_millis(pause)));
    }
}

#[test]
fn it_is_over_with_the_time_and_full_after_so_many_bytes() {
    for (bytes, deadline, is_over, is_full) in [
        (BULK + MOST - 1, PAUSE + JUST_LESS, false, false),
        (BULK + MOST, Duration::MAX, false, true),
        (BULK + MOST + 1, Duration::MAX, false, true),
        (1, PAUSE, true, false),
    ] {
        let mut drain = Drain::new(MUCH).unwrap();
        assert!(!drain.is_over());
        drain.note_read(bytes, Duration::ZERO, deadline);
        assert_eq!((drain.is_over(), drain.is_full()), (is_over, is_full));
        assert_eq!(drain.until().is_none(), is_over || is_full);
    }
    let mut drain = Drain::new(MUCH).unwrap();
    drain.note_read(BULK + MOST - 1, Duration::ZERO, Duration::MAX);
    drain.break_pause();
    assert_eq!((drain.is_over(), drain.until()), (false, None));
    drain.note_read(1, Duration::ZERO, Duration::MAX);
    assert!(drain.is_full());
    let mut drain = Drain::new(MUCH).unwrap();
    drain.note_read(1, Duration::ZERO, Duration::MAX);
    drain.end();
    assert_eq!((drain.is_over(), drain.until()), (true, None));
}

struct Pair {
    connection: Connection,
    peer: TcpStream,
    context: Context,
}

const DATA: [u8; BULK] = [7; BULK];

/// A connection whose client has sent [`DATA`], drained by a stop with this deadline.
fn drained(deadline: Duration) -> Pair {
    bound();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.write_all(&DATA).unwrap();
    peer.set_nonblocking(true).unwrap();
    let mut context = Context::new(&Arc::new(Shared::new(DEFAULTS)), 0).unwrap();
    context.stop_deadline = Some(deadline);
    let mut connection = Connection::new(OwnedFd::from(ours), false, None);
    assert!(connection.is_drain_due(Duration::ZERO));
    connection.continue_drain(Duration::ZERO, deadline);
    assert!(!connection.is_drain_due(Duration::MAX));
    assert_eq!(connection.wanted(), Interest::Both);
    Pair { connection, peer, context }
}

impl Pair {
    fn advance(&mut self) -> Next {
        self.connection.advance(&mut self.context).unwrap()
    }

    /// How many bytes of its echo the client has, once they are there.
    fn take(&mut self, expected: usize) -> usize {
        let mut taken = 0;
        wait_until("the echo is there", || {
            taken += self.peer.read(&mut vec![0; 4 * DATA.len()]).unwrap_or(0);
            taken >= expected
        });
        taken
    }

    fn owes(&self) -> usize {
        self.context.shared.unsent.load(Relaxed)
    }
}

#[test]
fn what_comes_although_the_answer_is_held_back_is_echoed() {
    let mut pair = drained(LATER);
    assert_eq!(pair.advance(), Next::WaitFor(Interest::Readable));
    assert_eq!((pair.owes(), pair.connection.quiet_until()), (DATA.len(), Some(PAUSE)));
    pair.peer.write_all(&DATA).unwrap();
    // Its client was quiet long enough, but for what came just now.
    assert!(pair.connection.is_drain_due(PAUSE));
    pair.connection.continue_drain(PAUSE, LATER);
    assert_eq!((pair.connection.quiet_until(), pair.owes()), (Some(2 * PAUSE), DATA.len()));
    assert_eq!(pair.advance(), Next::WaitFor(Interest::Readable));
    assert_eq!((pair.take(DATA.len()), pair.owes()), (DATA.len(), DATA.len()));
    pair.peer.shutdown(Shutdown::Write).unwrap();
    let mut next = pair.advance();
    while next == Next::WaitFor(Interest::Readable) {
        next = pair.advance();
    }
    assert_eq!((next, pair.take(DATA.len()), pair.owes()), (Next::Linger, DATA.len(), 0));
}

#[test]
fn a_client_that_waits_for_its_answer_gets_it_when_it_was_quiet() {
    let mut pair = drained(LATER);
    pair.advance();
    pair.connection.continue_drain(PAUSE, LATER);
    assert_eq!(pair.connection.wanted(), Interest::Writable);
    assert_eq!(pair.advance(), Next::WaitFor(Interest::Both));
    assert_eq!(pair.take(DATA.len()), DATA.len());
    // Its next message comes too late to hold anything back.
    pair.peer.write_all(b"one more").unwrap();
    assert_eq!(pair.advance(), Next::Continue);
    assert_eq!(pair.advance(), Next::Linger);
    assert_eq!(pair.take(8), 8);
}

#[test]
fn one_without_input_may_be_about_to_get_some() {
    let mut pair = drained(LATER);
    pair.advance();
    // Something else wakes it, and it writes what it holds back.
    assert_eq!(pair.advance(), Next::WaitFor(Interest::Readable));
    assert_eq!((pair.take(DATA.len()), pair.owes()), (DATA.len(), 0));
    pair.connection.continue_drain(PAUSE, LATER);
    assert_eq!(pair.connection.wanted(), Interest::Both);
    assert_eq!(pair.advance(), Next::Linger);
}

#[test]
fn a_stop_that_ends_sooner_holds_nothing_back() {
    let mut pair = drained(PAUSE);
    assert_eq!(pair.advance(), Next::WaitFor(Interest::Writable));
    assert_eq!(pair.advance(), Next::WaitFor(Interest::Both));
    assert_eq!(pair.take(DATA.len()), DATA.len());
    assert_eq!(pair.advance(), Next::Linger);
}

#[test]
fn a_client_that_never_pauses_is_ended() {
    let mut pair = drained(LATER);
    let mut taken = 0;
    let mut buffer = vec![7; 1024 * 1024];
    while pair.advance() != Next::Linger {
        taken += pair.peer.read(&mut buffer).unwrap_or(0);
        // As much as there is room for.
        let _ = pair.peer.write(&buffer);
    }
    taken += pair.take((BULK + MOST).saturating_sub(taken));
    assert!(taken >= BULK + MOST && pair.owes() == 0, "{taken}");
}

#[test]
fn without_room_for_the_echo_its_client_is_not_asked_to_be_quiet() {
    let mut pair = drained(LATER);
    pair.advance();
    let ours = TcpStream::from(pair.connection.socket.try_clone().unwrap());
    ours.set_nonblocking(false).unwrap();
    write_until_blocked(&ours, usize::MAX);
    ours.set_nonblocking(true).unwrap();
    pair.peer.write_all(b"more").unwrap();
    assert_eq!(pair.advance(), Next::WaitFor(Interest::Writable));
    assert_eq!((pair.connection.quiet_until(), pair.owes()), (None, DATA.len()));
}
