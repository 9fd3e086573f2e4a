//! What is told of connections: when it is handed over, and how much waits until it is taken.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use echo_node::connection::{Connection, Extras};
use echo_node::log::{HAND_OVER_INTERVAL, LogWriter, MOST_UNTAKEN, Reason, Record};
use echo_node::shared::Shared;

use crate::support::{DEFAULTS, bound};

fn writer() -> (Arc<Shared>, LogWriter) {
    bound();
    let shared = Arc::new(Shared::new(DEFAULTS));
    shared.log.set_observed(true);
    let writer = LogWriter::new(&shared, 0);
    (shared, writer)
}

fn record(shared: &Shared) -> Option<Record> {
    shared.log.record(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1))
}

#[test]
fn it_is_handed_over_at_once_but_not_again_and_again() {
    let (shared, mut writer) = writer();
    assert!(!writer.is_due(), "there is nothing");
    writer.dropped(record(&shared));
    assert!(writer.is_due());
    let mut is_due_soon = true;
    let mut took = Duration::MAX;
    // A stall in between proves nothing.
    while took >= HAND_OVER_INTERVAL {
        let begin = Instant::now();
        writer.hand_over();
        assert!(!writer.is_due(), "there is nothing");
        writer.dropped(record(&shared));
        is_due_soon = writer.is_due();
        took = begin.elapsed();
    }
    assert!(!is_due_soon);
}

#[test]
fn room_for_what_was_taken_is_room_again() {
    let (shared, mut writer) = writer();
    let drop_one = |writer: &mut LogWriter| writer.dropped(record(&shared));
    (0..=MOST_UNTAKEN).for_each(|_| drop_one(&mut writer));
    // Those that connected come with an end, which takes no room.
    writer.ended(record(&shared), Reason::Stop);
    writer.hand_over();
    drop_one(&mut writer);
    assert!(writer.is_pending(), "it would not say that one more is left out");
    writer.hand_over();
    let (events, missed) = shared.log.take();
    assert_eq!((events.len(), missed), (MOST_UNTAKEN + 1, 2));
    (0..=MOST_UNTAKEN).for_each(|_| drop_one(&mut writer));
    writer.hand_over();
    let (events, missed) = shared.log.take();
    assert_eq!((events.len(), missed), (MOST_UNTAKEN, 1));
}

#[test]
fn what_is_left_out_is_counted_and_its_end_is_not_told() {
    const LEFT_OUT: usize = 1000;
    let (shared, mut writer) = writer();
    let (socket, _peer) = UnixStream::pair().unwrap();
    let mut connection = Connection::new(OwnedFd::from(socket), false, None);
    for _ in 0..MOST_UNTAKEN + LEFT_OUT {
        connection.extras = Some(Box::new(Extras { record: record(&shared), ..Extras::default() }));
        writer.connected(&mut connection, 0);
        writer.ended(connection.take_record(), Reason::Peer);
    }
    writer.hand_over();
    let (events, missed) = shared.log.take();
    assert_eq!((events.len(), missed), (2 * MOST_UNTAKEN, LEFT_OUT as u64));
}
