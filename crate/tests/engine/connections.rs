//! The connections of one thread, without a server: over pairs of Unix sockets, whose other ends the test holds.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::support::{DEFAULTS, NO_FAULTS, bound, wait_until, write_until_blocked};
use echo_node::connection::{Connection, Cut, Stay};
use echo_node::connections::{Connections, ticks_after};
use echo_node::context::Context;
use echo_node::drain::{BULK, SHORTEST_PAUSE_BEHIND as PAUSE};
use echo_node::faults::{Fate, Faults};
use echo_node::poller::Source;
use echo_node::shared::Shared;
use socket2::SockRef;

const IDLE_TIMEOUT: Duration = Duration::from_secs(16);
const TICK: Duration = Duration::from_secs(1);
/// More than there is between two looks at the sockets that linger.
const LOOK: Duration = Duration::from_millis(50);
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// At the first of these ticks a connection to which nothing happens is idle. Darwin does not say when the peer has read what it
/// got, so the first look counts.
const TICKS: usize = if cfg!(target_os = "linux") { 17 } else { 18 };
/// How many connections may be closed in one turn of the loop.
const PER_TURN: usize = 256;
const COUNT: usize = 2 * PER_TURN + 100;

struct Scene {
    connections: Connections,
    context: Context,
    /// Of those that come.
    faults: Option<Faults>,
    /// Pushed on by hand.
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        bound();
        let context = Context::new(&Arc::new(Shared::new(DEFAULTS)), 0).unwrap();
        Self { connections: Connections::new(IDLE_TIMEOUT), context, faults: None, now: Instant::now() }
    }

    fn connect(&mut self) -> UnixStream {
        let (ours, peer) = UnixStream::pair().unwrap();
        self.adopt(ours);
        peer
    }

    fn connect_tcp(&mut self) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        self.adopt(listener.accept().unwrap().0);
        client
    }

    fn adopt(&mut self, socket: impl Into<OwnedFd>) {
        let socket = socket.into();
        SockRef::from(&socket).set_nonblocking(true).unwrap();
        self.context.shared.open.fetch_add(1, Relaxed);
        let record = self.context.shared.log.record(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
        let mut connection = Connection::new(socket, false, record);
        self.context.shared.faults.set(self.faults);
        if let Some(fault) = self.context.shared.faults.deal() {
            connection.set_fault(fault);
        }
        self.connections.adopt(&mut self.context, connection);
    }

    fn open(&self) -> usize {
        self.context.shared.open.load(Relaxed)
    }

    /// The first turn of the loop after so much time.
    fn turn(&mut self, time: Duration) {
        self.now += time;
        // What has passed at the end of a wait is served after one more.
        for _ in 0..2 {
            self.context.clock.end_wait(self.now, Duration::MAX / 2);
        }
        self.connections.run_timers(&mut self.context);
    }

    fn has_more_to_do(&self) -> bool {
        self.connections.next_timer(&self.context) == Some(self.context.clock.now())
    }

    fn serve_events(&mut self) -> usize {
        let events = self.context.poller.wait(Some(Duration::ZERO)).unwrap();
        for index in 0..events {
            match self.context.poller.source(index) {
                Source::Connection(slot) => drop(self.connections.advance(&mut self.context, slot)),
                Source::Lingering(slot) => self.connections.lingering.discard_input(&mut self.context, slot),
                _ => panic!("what is that?"),
            }
        }
        events
    }
}

#[test]
fn a_connection_is_idle_after_its_timeout_and_not_before() {
    let mut scene = Scene::new();
    let _peer = scene.connect();
    scene.turn(Duration::ZERO);
    for _ in 1..TICKS {
        assert_eq!(scene.open(), 1, "closed before its time");
        scene.turn(TICK);
    }
    assert_eq!(scene.open(), 0);
}

#[test]
fn an_idle_client_does_not_take_a_part_of_its_echo_for_all_of_it() {
    let mut scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    scene.adopt(listener.accept().unwrap().0);
    // All is read, and not all can be written.
    while scene.context.shared.unsent.load(Relaxed) == 0 {
        client.write_all(&[7; 4096]).unwrap();
        while scene.serve_events() == 0 {}
    }
    for _ in 0..=2 * TICKS {
        scene.turn(TICK);
    }
    assert_eq!(scene.open(), 0);
    assert_eq!(client.read_to_end(&mut Vec::new()).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn the_reset_of_a_fault_is_one_also_when_the_server_ends_before() {
    let mut scene = Scene::new();
    scene.faults = Some(Faults { fate: Some((5, Fate::Reset)), ..NO_FAULTS });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    scene.adopt(listener.accept().unwrap().0);
    client.write_all(b"hello").unwrap();
    while scene.serve_events() == 0 {}
    client.read_exact(&mut [0; 5]).unwrap();
    scene.connections.tell_ends(&mut scene.context);
    drop(scene);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_happens_puts_the_timeout_off() {
    let mut scene = Scene::new();
    let mut peer = scene.connect();
    for _ in 0..40 {
        scene.turn(TICK);
        peer.write_all(b"hello").unwrap();
        scene.serve_events();
        peer.read_exact(&mut [0; 5]).unwrap();
    }
    assert_eq!(scene.open(), 1);
}

#[test]
fn a_turn_that_comes_late_is_one_tick() {
    let mut scene = Scene::new();
    let _peer = scene.connect();
    for _ in 0..15 {
        scene.turn(IDLE_TIMEOUT * 10);
    }
    assert_eq!(scene.open(), 1);
}

#[test]
fn input_that_waits_is_served_before_its_connection_is_closed() {
    let mut scene = Scene::new();
    let mut peer = scene.connect();
    peer.write_all(b"hello").unwrap();
    for _ in 1..=TICKS {
        scene.turn(TICK);
    }
    assert_eq!(scene.open(), 1);
    peer.read_exact(&mut [0; 5]).unwrap();
}

#[cfg_attr(not(target_os = "linux"), ignore = "on macOS the first look at so many takes several turns, too")]
#[test]
fn many_that_expire_together_are_closed_a_part_per_turn() {
    let mut scene = Scene::new();
    let _peers: Vec<_> = (0..COUNT).map(|_| scene.connect()).collect();
    for _ in 1..=TICKS {
        assert_eq!(scene.open(), COUNT);
        scene.turn(TICK);
    }
    let mut turns = 1;
    while scene.open() > 0 {
        assert_eq!(scene.open(), COUNT - turns * PER_TURN);
        assert!(scene.has_more_to_do());
        scene.turn(Duration::ZERO);
        turns += 1;
        if turns * PER_TURN > COUNT {
            break;
        }
    }
    assert_eq!((scene.open(), turns), (0, 3));
}

#[test]
fn many_that_are_cut_one_by_one_are_closed_a_part_per_turn() {
    let mut scene = Scene::new();
    scene.context.shared.log.set_observed(true);
    let _peers: Vec<_> = (0..COUNT).map(|_| scene.connect()).collect();
    for slot in 0..COUNT {
        scene.connections.cut(slot, 0, Cut::Reset);
    }
    for turns in 1..=3 {
        scene.turn(Duration::ZERO);
        assert_eq!(scene.open(), COUNT.saturating_sub(turns * PER_TURN));
    }
}

#[test]
fn many_that_drain_together_are_drained_a_part_per_turn() {
    let mut scene = Scene::new();
    let _peers: Vec<_> = (0..COUNT).map(|_| scene.connect()).collect();
    scene.context.stop_deadline = Some(Duration::MAX);
    scene.connections.drain();
    scene.turn(Duration::ZERO);
    // An event of a draining connection says at once that it is writable.
    assert_eq!(scene.serve_events(), PER_TURN);
    assert_eq!(scene.open(), COUNT - PER_TURN);
    while scene.open() > 0 {
        assert!(scene.has_more_to_do());
        scene.turn(Duration::ZERO);
        assert!(scene.serve_events() > 0);
    }
}

/// So much that more may be on its way.
const MUCH: [u8; BULK] = [7; BULK];

#[test]
fn drained_clients_are_done_when_each_was_quiet_long_enough_and_not_before() {
    let mut scene = Scene::new();
    let mut clients = [scene.connect_tcp(), scene.connect_tcp()];
    for client in &mut clients {
        client.write_all(&MUCH).unwrap();
    }
    scene.context.stop_deadline = Some(Duration::MAX);
    scene.connections.drain();
    scene.turn(Duration::ZERO);
    assert_eq!(scene.serve_events(), 2);
    scene.turn(PAUSE / 2);
    assert_eq!(scene.serve_events(), 0, "it holds the answers back, and does not spin");
    clients[1].write_all(&MUCH).unwrap();
    wait_until("it is served", || scene.serve_events() > 0);
    for (done, rest) in [(0, PAUSE / 2), (1, PAUSE / 2)] {
        assert_eq!(scene.connections.next_timer(&scene.context), Some(scene.context.clock.now() + rest));
        scene.turn(rest.checked_sub(Duration::from_nanos(1)).unwrap());
        assert_eq!(scene.serve_events(), 0);
        scene.turn(Duration::from_nanos(1));
        while scene.serve_events() > 0 {}
        let mut answer = Vec::new();
        clients[done].read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), (1 + done) * MUCH.len());
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs the Unix sockets of Linux")]
#[test]
fn one_that_was_cut_is_closed_when_its_client_is_lost() {
    let mut scene = Scene::new();
    let (mut ours, peer) = UnixStream::pair().unwrap();
    ours.write_all(b"unread").unwrap();
    ours.set_nonblocking(true).unwrap();
    scene.connections.lingering.end(&scene.context, OwnedFd::from(ours));
    // With unread bytes that is a reset.
    drop(peer);
    assert_eq!(scene.serve_events(), 1);
    assert!(scene.connections.is_empty());
}

// A Unix socket counts as unacknowledged what its peer has not read.
#[cfg_attr(not(target_os = "linux"), ignore = "needs the Unix sockets of Linux")]
#[test]
fn a_stop_waits_until_a_client_that_has_ended_has_everything() {
    for ends_before in [true, false] {
        let mut scene = Scene::new();
        let mut peer = scene.connect();
        peer.write_all(b"hello").unwrap();
        if ends_before {
            peer.shutdown(Shutdown::Write).unwrap();
        }
        scene.context.stop_deadline = Some(Duration::MAX);
        scene.connections.drain();
        scene.turn(Duration::ZERO);
        while scene.serve_events() > 0 && !scene.connections.lingering.is_empty() {}
        peer.shutdown(Shutdown::Write).unwrap();
        for _ in 0..10 {
            scene.serve_events();
            scene.turn(LOOK);
            assert_eq!(scene.open(), 1, "closed before the client has everything");
        }
        assert_eq!(scene.serve_events(), 0, "an end that is known is reported again");
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        scene.turn(LOOK);
        assert_eq!((answer.as_str(), scene.open()), ("hello", 0));
    }
}

#[test]
fn a_stop_does_not_wait_for_a_client_that_has_ended_and_is_gone() {
    let mut scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    write_until_blocked(&ours, usize::MAX);
    ours.set_nonblocking(true).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    scene.context.shared.open.fetch_add(1, Relaxed);
    scene.connections.lingering.linger(&scene.context, OwnedFd::from(ours));
    while scene.serve_events() == 0 {}
    scene.turn(LOOK);
    assert_eq!(scene.open(), 1);
    // With unread bytes that is a reset.
    drop(client);
    wait_until("it is closed", || {
        scene.turn(LOOK);
        scene.open() == 0
    });
}

// A Unix socket counts as unacknowledged what its peer has not read.
#[cfg_attr(not(target_os = "linux"), ignore = "needs the Unix sockets of Linux")]
#[test]
fn one_that_was_cut_is_closed_when_its_client_ends_whatever_it_has_read() {
    let mut scene = Scene::new();
    let mut peer = scene.connect();
    peer.write_all(b"hello").unwrap();
    scene.serve_events();
    assert_eq!(scene.connections.cut_all(&scene.context, Cut::Close), 1);
    scene.turn(Duration::ZERO);
    scene.serve_events();
    assert!(!scene.connections.is_empty());
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(scene.serve_events(), 1);
    assert!(scene.connections.is_empty());
}

#[test]
fn those_that_a_stop_waits_for_are_cut_and_counted_too() {
    for cut in [Cut::Close, Cut::Reset] {
        let mut scene = Scene::new();
        let _open = scene.connect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        write_until_blocked(&ours, usize::MAX);
        ours.set_nonblocking(true).unwrap();
        scene.context.shared.open.fetch_add(1, Relaxed);
        scene.connections.lingering.linger(&scene.context, OwnedFd::from(ours));
        scene.turn(Duration::ZERO);
        assert_eq!(scene.connections.cut_all(&scene.context, cut), 2);
        scene.turn(LOOK);
        // One that is closed has as long to read as without a stop.
        let is_closed = cut == Cut::Close;
        assert_eq!(scene.open(), usize::from(is_closed));
        assert_eq!(client.read_to_end(&mut Vec::new()).is_err(), !is_closed);
        scene.turn(LOOK);
        assert_eq!(scene.open(), 0);
    }
}

#[test]
fn one_that_is_closed_in_a_stop_waits_a_second_for_its_client() {
    let mut scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    write_until_blocked(&ours, usize::MAX);
    ours.set_nonblocking(true).unwrap();
    scene.context.shared.open.fetch_add(1, Relaxed);
    scene.connections.lingering.linger(&scene.context, OwnedFd::from(ours));
    scene.turn(Duration::ZERO);
    assert_eq!(scene.connections.cut_all(&scene.context, Cut::Close), 1);
    scene.turn(Duration::from_secs(1));
    assert_eq!(scene.open(), 1);
    scene.turn(LOOK);
    assert_eq!(scene.open(), 0);
}

#[test]
fn an_event_without_input_ends_nothing_that_lingers() {
    let mut scene = Scene::new();
    let (ours, _peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    scene.connections.lingering.end(&scene.context, OwnedFd::from(ours));
    scene.connections.lingering.discard_input(&mut scene.context, 0);
    assert!(!scene.connections.lingering.is_empty());
}

#[test]
fn many_that_were_turned_away_are_closed_a_part_per_turn() {
    let mut scene = Scene::new();
    scene.turn(Duration::ZERO);
    let mut peers = Vec::new();
    for _ in 0..=PER_TURN {
        let (ours, peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        scene.connections.lingering.end(&scene.context, OwnedFd::from(ours));
        peers.push(peer);
    }
    let next_look = |scene: &Scene| scene.connections.lingering.next_look;
    scene.turn(TICK * 19 / 20);
    assert_eq!(next_look(&scene), Some(scene.context.clock.after(PAUSE_BETWEEN_LOOKS)));
    scene.turn(TICK / 10);
    assert_eq!(next_look(&scene), Some(scene.context.clock.now()), "there are more");
    scene.turn(TICK);
    assert_eq!(next_look(&scene), None);
    assert!(scene.connections.is_empty());
}

#[test]
fn no_more_than_so_many_that_were_turned_away_wait_for_their_end() {
    let mut scene = Scene::new();
    let mut peers = Vec::new();
    for _ in 0..=PER_TURN {
        let (ours, peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        scene.connections.lingering.turn_away(&mut scene.context, OwnedFd::from(ours));
        peers.push(peer);
    }
    let mut last = peers.pop().unwrap();
    assert!(peers.iter_mut().all(|peer| peer.write_all(b"unread").is_ok()));
    assert!(last.write_all(b"refused").is_err(), "it is closed");
    assert_eq!(last.read(&mut [0]).unwrap(), 0);
}

#[test]
fn one_that_was_turned_away_and_resets_is_closed() {
    let mut scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    scene.connections.lingering.turn_away(&mut scene.context, OwnedFd::from(ours));
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    wait_until("it is closed", || {
        scene.serve_events();
        scene.connections.is_empty()
    });
}

#[test]
fn a_stalled_connection_wants_nothing_until_a_stop_drops_all_that_waits() {
    let mut scene = Scene::new();
    scene.faults = Some(Faults { fate: Some((1, Fate::Stall)), ..NO_FAULTS });
    scene.context.read_size = 4;
    let mut peer = scene.connect();
    peer.write_all(b"0123456789").unwrap();
    assert_eq!(scene.serve_events(), 1);
    assert_eq!(scene.serve_events(), 0, "its input wakes the loop");
    scene.context.stop_deadline = Some(Duration::MAX);
    scene.connections.drain();
    scene.turn(Duration::ZERO);
    // Nine bytes are left: three reads, and one that finds no more. kqueue may tell of two at once.
    let mut events = 0;
    while scene.open() == 1 && scene.connections.lingering.is_empty() {
        events += scene.serve_events();
    }
    assert_eq!(events, 4);
    assert_eq!(peer.read(&mut [0; 5]).unwrap(), 1);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_delayed_connection_wants_nothing_until_its_echo_is_due() {
    let mut scene = Scene::new();
    scene.faults = Some(Faults { delay: (IDLE_TIMEOUT, IDLE_TIMEOUT), ..NO_FAULTS });
    let mut peer = scene.connect();
    peer.write_all(b"delayed").unwrap();
    assert_eq!(scene.serve_events(), 1);
    peer.write_all(b"behind it").unwrap();
    assert_eq!(scene.serve_events(), 0, "its input wakes the loop");
}

#[test]
fn ticks_after_a_moment_are_counted() {
    let first = Instant::now();
    let ticked = VecDeque::from([2 * TICK, TICK, Duration::ZERO].map(|time| first + time));
    let after = |time| ticks_after(&ticked, Some(first + time));
    assert_eq!([2 * TICK, TICK + LOOK, TICK, LOOK, Duration::ZERO].map(after), [0, 1, 1, 2, 2]);
    assert_eq!(ticks_after(&ticked, None), 3);
}

#[test]
fn what_is_written_puts_the_timeout_off_as_well() {
    let mut scene = Scene::new();
    scene.faults = Some(Faults { chunk: 7, ..NO_FAULTS });
    let mut peer = scene.connect();
    peer.write_all(&[7; 1000]).unwrap();
    for _ in 0..2 * TICKS {
        scene.turn(TICK);
        assert_eq!(scene.serve_events(), 1);
        peer.read_exact(&mut [0; 7]).unwrap();
    }
    assert_eq!(scene.open(), 1);
}

#[test]
fn what_is_to_be_cut_is_not_handed_over() {
    let mut scene = Scene::new();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut connection = Connection::new(OwnedFd::from(ours), false, None);
    connection.stay = Stay::New;
    scene.connections.adopt(&mut scene.context, connection);
    for is_lasting in [false, true] {
        peer.write_all(b"hello").unwrap();
        assert_eq!(scene.serve_events(), 1);
        assert_eq!(scene.connections.lasting(0).is_some(), is_lasting);
    }
    assert_eq!(scene.connections.cut_all(&scene.context, Cut::Close), 1);
    assert!(scene.connections.lasting(0).is_none());
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs the Unix sockets of Linux")]
#[test]
fn a_client_that_does_not_read_is_idle_whatever_room_there_is() {
    let mut scene = Scene::new();
    scene.faults = Some(Faults { chunk: 7, ..NO_FAULTS });
    let mut peer = scene.connect();
    peer.write_all(&[7; 1000]).unwrap();
    while scene.serve_events() > 0 {}
    for _ in 0..2 * TICKS {
        scene.turn(TICK);
        scene.serve_events();
    }
    assert_eq!(scene.open(), 0);
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs the Unix sockets of Linux")]
#[test]
fn what_cannot_be_written_is_no_activity() {
    let mut scene = Scene::new();
    scene.faults = Some(Faults { chunk: 1, ..NO_FAULTS });
    let mut peer = scene.connect();
    peer.write_all(&[7; 10_000]).unwrap();
    // The kernel takes fewer, each in a buffer of its own.
    assert!((0..10_000).any(|_| !scene.connections.advance(&mut scene.context, 0)));
}

#[test]
fn a_copy_of_its_socket_does_not_wake_the_loop_after_the_close() {
    let mut scene = Scene::new();
    let (ours, peer) = UnixStream::pair().unwrap();
    // What a child has that was forked meanwhile.
    let _copy = ours.try_clone().unwrap();
    scene.adopt(ours);
    drop(peer);
    assert_eq!(scene.serve_events(), 1);
    assert_eq!(scene.open(), 0);
    assert_eq!(scene.serve_events(), 0, "the socket is still in the poller");
}

#[test]
fn an_idle_connection_is_at_most_32_bytes() {
    let size = size_of::<Connection>();
    assert!(size <= 32, "{size} bytes");
}
