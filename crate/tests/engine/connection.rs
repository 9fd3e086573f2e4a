//! One connection as a state machine, without a poller: over a pair of Unix sockets, whose other end the test holds.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::support::{DEFAULTS, NO_FAULTS, PATIENCE, bound, wait_until};
use echo_node::connection::{Connection, Next, READ_SIZE_OVER_LIMIT, TICKS_PER_TIMEOUT, UNSENT_LIMIT};
use echo_node::context::Context;
use echo_node::context::{READ_SIZE, read_size};
use echo_node::error::Result;
use echo_node::exchange::MOST_BEYOND;
use echo_node::faults::{Dealer, Fate, FaultTimers, Faults};
use echo_node::poller::Interest;
use echo_node::read_again::{FEW, IN_A_ROW};
use echo_node::shared::Shared;

struct Pair {
    connection: Connection,
    peer: UnixStream,
    context: Context,
    shared: Arc<Shared>,
}

fn pair() -> Pair {
    bound();
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_nonblocking(true).unwrap();
    let shared = Arc::new(Shared::new(DEFAULTS));
    let context = Context::new(&shared, 0).unwrap();
    Pair { connection: Connection::new(OwnedFd::from(ours), false, None), peer, context, shared }
}

impl Pair {
    /// What the connection wants next, or the error that says why there was nothing to do.
    fn advance(&mut self) -> Result<Next> {
        self.connection.advance(&mut self.context)
    }

    /// Writes all that there is room for, on both ways: the connection owes what it could not write.
    fn fill(&mut self) -> usize {
        let mut written = 0;
        while self.connection.wanted() == Interest::Readable {
            written += self.peer.write(&vec![7; READ_SIZE]).unwrap_or(0);
            self.advance().unwrap();
        }
        written
    }

    fn take(&mut self) -> usize {
        self.peer.read(&mut vec![0; READ_SIZE]).unwrap_or(0)
    }
}

#[test]
fn an_event_that_means_nothing_changes_nothing() {
    let mut pair = pair();
    assert_eq!(pair.advance(), Ok(Next::Wait));
    assert_eq!(pair.shared.stats().total_bytes, 0);
}

#[test]
fn one_call_echoes_one_message() {
    let mut pair = pair();
    pair.peer.write_all(b"hello").unwrap();
    assert_eq!(pair.advance(), Ok(Next::Continue));
    assert_eq!(pair.take(), 5);
    assert_eq!(pair.shared.stats().total_bytes, 5);
}

#[test]
fn where_it_pays_one_call_echoes_all_that_is_here() {
    let mut pair = pair();
    pair.context.read_size = 4;
    for (found, echoed) in [(0, 4), (FEW, 6 + 10), (FEW, 10)] {
        pair.context.read_again.note(found);
        pair.peer.write_all(b"0123456789").unwrap();
        assert_eq!(pair.advance(), Ok(Next::Continue));
        assert_eq!(pair.take(), echoed);
    }
}

#[test]
fn where_it_pays_one_call_echoes_so_much_at_most() {
    let most = 4 * (1 + u64::from(IN_A_ROW));
    // On a slow machine the time of a turn ends it before.
    wait_until("one has the time for it", || {
        let echoed = echoed_by_one_call();
        assert!(echoed <= most, "{echoed}");
        echoed == most
    });
}

/// How many of 4,000 bytes one call echoes, 4 at a time.
fn echoed_by_one_call() -> u64 {
    let Pair { mut context, shared, .. } = pair();
    // Unix sockets have no room for so many small messages.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let sent = [7; 4000];
    peer.write_all(&sent).unwrap();
    wait_until("all is here", || ours.peek(&mut sent.clone()).is_ok_and(|here| here == sent.len()));
    context.read_size = 4;
    context.read_again.note(FEW);
    let mut connection = Connection::new(OwnedFd::from(ours), false, None);
    assert_eq!(connection.advance(&mut context), Ok(Next::Continue));
    shared.stats().total_bytes
}

#[test]
fn the_connection_of_a_send_is_never_idle() {
    let (ours, _peer) = UnixStream::pair().unwrap();
    for is_of_send in [false, true] {
        let connection = Connection::new(OwnedFd::from(ours.try_clone().unwrap()), is_of_send, None);
        assert!(!connection.is_idle(TICKS_PER_TIMEOUT));
        assert_eq!(connection.is_idle(TICKS_PER_TIMEOUT + 1), !is_of_send);
    }
}

#[test]
fn limits_are_those_of_the_documents() {
    assert_eq!((UNSENT_LIMIT, READ_SIZE_OVER_LIMIT, READ_SIZE), (64 << 20, 4 << 10, 1 << 20));
    assert_eq!(MOST_BEYOND, 16 << 20);
}

#[test]
fn where_it_pays_the_end_is_found_behind_the_last_message() {
    let mut pair = pair();
    pair.context.read_again.note(FEW);
    pair.peer.write_all(b"the last").unwrap();
    pair.peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(pair.advance(), Ok(Next::Close));
    assert_eq!(pair.take(), 8);
}

#[test]
fn while_something_is_owed_it_waits_to_write_and_does_not_read() {
    let mut pair = pair();
    let written = pair.fill();
    let owed = pair.shared.unsent.load(Relaxed);
    assert!(owed > 0 && owed <= READ_SIZE, "{owed} bytes are owed");
    assert_eq!(pair.advance(), Ok(Next::Wait));

    let (mut received, mut waits_for) = (0, Interest::Writable);
    while received < written {
        received += pair.take();
        if let Next::WaitFor(interest) = pair.advance().unwrap() {
            waits_for = interest;
        }
    }
    assert_eq!([waits_for, pair.connection.wanted()], [Interest::Readable; 2]);
    assert_eq!(pair.shared.unsent.load(Relaxed), 0);
    assert_eq!(pair.shared.stats().total_bytes, written as u64);
}

#[test]
fn the_end_of_input_closes_it() {
    let mut pair = pair();
    pair.peer.write_all(b"the last").unwrap();
    pair.peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(pair.advance(), Ok(Next::Continue));
    assert_eq!(pair.advance(), Ok(Next::Close));
    assert_eq!(pair.take(), 8);
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs the Unix sockets of Linux")]
#[test]
fn a_peer_that_is_gone_closes_it() {
    let mut pair = pair();
    pair.fill();
    pair.peer.shutdown(Shutdown::Both).unwrap();
    // It ends a process that has not seen to SIGPIPE: Rust's own have.
    assert_eq!(pair.advance().unwrap_err().errno, libc::EPIPE);
    assert!(pair.shared.unsent.load(Relaxed) > 0, "it owes until it is dropped");
    drop(pair.connection);
    assert_eq!(pair.shared.unsent.load(Relaxed), 0);
}

#[test]
fn draining_it_echoes_what_has_arrived_and_lingers() {
    let mut pair = pair();
    pair.peer.write_all(b"in time").unwrap();
    pair.connection.drain();
    assert_eq!(pair.connection.wanted(), Interest::Both);
    assert_eq!(pair.advance(), Ok(Next::Continue));
    assert_eq!(pair.take(), 7);
    assert_eq!(pair.advance(), Ok(Next::Linger));
}

impl Pair {
    fn misbehave(&mut self, faults: Faults) -> FaultTimers {
        let (dealer, mut timers) = (Dealer::default(), FaultTimers::default());
        dealer.set(Some(faults));
        self.connection.set_fault(dealer.deal().unwrap());
        timers.advance(&mut self.context, &mut self.connection, 0).unwrap();
        timers
    }
}

#[test]
fn what_a_fault_holds_back_waits_for_its_timer_alone() {
    let mut pair = pair();
    let mut timers = pair.misbehave(Faults { delay: (PATIENCE, PATIENCE), ..NO_FAULTS });
    pair.peer.write_all(b"late").unwrap();
    for next in [Next::WaitFor(Interest::Nothing), Next::Wait] {
        assert_eq!(timers.advance(&mut pair.context, &mut pair.connection, 0), Ok(next));
        assert!(timers.next().is_some());
    }
    assert_eq!(pair.take(), 0);
    timers.forget(pair.connection.fault().unwrap(), 0);
    assert_eq!(timers.next(), None);
}

#[test]
fn a_stalled_one_is_watched_until_its_peer_has_read_everything() {
    let mut pair = pair();
    pair.misbehave(Faults { fate: Some((0, Fate::Stall)), ..NO_FAULTS });
    assert!(pair.connection.fault().unwrap().is_stalled());
    pair.connection.touch(0);
    assert!(pair.connection.is_to_be_watched(1));
    pair.connection.note_progress(1, |_| 0);
    assert!(!pair.connection.is_to_be_watched(2));
}

#[test]
fn one_with_a_fault_whose_peer_has_ended_waits_until_all_is_sent() {
    let mut pair = pair();
    pair.misbehave(Faults { chunk: 1, ..NO_FAULTS });
    assert!(!pair.connection.fault().unwrap().is_stalled());
    assert_eq!(pair.connection.wanted(), Interest::Readable);
    pair.connection.is_ended = true;
    assert_eq!(pair.connection.wanted(), Interest::Writable);
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs the Unix sockets of Linux")]
#[test]
fn reads_are_small_while_all_owe_more_than_the_limit_and_large_at_it() {
    let mut pair = pair();
    let read = |pair: &mut Pair, unsent: usize| {
        pair.shared.unsent.store(unsent, Relaxed);
        pair.peer.write_all(&[1; 10_000]).unwrap();
        pair.advance().unwrap();
        pair.take()
    };
    assert_eq!(read(&mut pair, UNSENT_LIMIT), 10_000);
    assert_eq!(read(&mut pair, UNSENT_LIMIT + 1), READ_SIZE_OVER_LIMIT);
    assert_eq!(read(&mut pair, UNSENT_LIMIT), 20_000 - READ_SIZE_OVER_LIMIT);
}

#[test]
fn all_reads_of_a_turn_share_its_bytes() {
    assert_eq!(read_size(0), READ_SIZE);
    assert_eq!(read_size(16), READ_SIZE);
    assert_eq!(read_size(17), 16 * READ_SIZE / 17);
    assert_eq!(read_size(256), READ_SIZE / 16);
}
