//! The loop of one thread, with messages of the test.

use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::time::Duration;

use echo_node::connection::Connection;
use echo_node::context::Context;
use echo_node::error::Error;
use echo_node::event_loop::{EventLoop, pause_after};
use echo_node::mailbox::{CatchUp, Message, mailbox};
use echo_node::sends::{Outgoing, Sends};
use echo_node::shared::Shared;

use crate::support::{DEFAULTS, PATIENCE, bound};

/// Refuses to connect.
const NOBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
/// More than a turn serves.
const MANY: usize = 600;

#[test]
fn a_thread_that_catches_up_serves_all_ends_before() {
    bound();
    let shared = Arc::new(Shared::new(DEFAULTS));
    let context = Context::new(&shared, 0).unwrap();
    let (thread, inbox) = mailbox(&context.poller).unwrap();
    let clients = [(); MANY].map(|()| {
        let (ours, mut client) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        client.write_all(b"the last").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        shared.open.fetch_add(1, Relaxed);
        thread.post(Message::Adopt(Connection::new(OwnedFd::from(ours), false, None)));
        client
    });
    let catch_up = Arc::new(CatchUp(Arc::clone(&inbox.waker)));
    let catching_up = Arc::downgrade(&catch_up);
    thread.post(Message::CatchUp(catch_up));
    let (look, looks) = channel();
    let has_reported = move || {
        if catching_up.strong_count() == 0 {
            look.send(shared.open.load(Relaxed)).unwrap();
            thread.post(Message::Stop(Duration::ZERO));
        } else {
            // Is over and reported soon.
            thread.post(Message::Send(Outgoing::new(1, NOBODY, Vec::new(), PATIENCE, Duration::ZERO)));
        }
    };
    has_reported();
    EventLoop::new(context, inbox, Sends::new(false), None).run(&move |_| has_reported());
    assert_eq!(looks.recv(), Ok(0));
    drop(clients);
}

#[test]
fn only_an_interrupted_wait_is_repeated_at_once() {
    let pause = |errno| pause_after(Error { errno, syscall: "epoll_wait" });
    assert_eq!([pause(libc::EINTR), pause(libc::EBADF)], [None, Some(Duration::from_millis(10))]);
}
