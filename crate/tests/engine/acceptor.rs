//! What the first thread does about clients, without a thread: the test takes the messages of all.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use echo_node::acceptor::Acceptor;
use echo_node::connections::Connections;
use echo_node::context::Context;
use echo_node::event_loop::has_caught_up;
use echo_node::listener::listen;
use echo_node::mailbox::{Inbox, Message, mailbox};
use echo_node::poller::{Interest, Source};
use echo_node::sends::{Outgoing, Sends};
use echo_node::shared::{Config, Shared};

use crate::support::{DEFAULTS, PATIENCE, bound};

/// How long it pauses at most, and how long it waits at most to look again.
const PAUSE: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(25);
/// More than a turn takes, or than may wait for a place.
const MANY: usize = 300;
const PER_TURN: usize = 256;

struct Scene {
    acceptor: Acceptor,
    context: Context,
    connections: Connections,
    sends: Sends,
    /// Those of all threads, the first one's first.
    inboxes: Vec<Inbox>,
    address: SocketAddrV4,
    /// Whether a connection has shown that it lasts, and another thread could have it.
    may_be_dealt_out: bool,
    now: Instant,
}

impl Scene {
    fn new(max_connections: usize, threads: usize, backlog: i32) -> Self {
        let (listener, address) = listen(DEFAULTS.address, backlog).unwrap();
        Self::with(listener, address, max_connections, threads, backlog)
    }

    fn with(listener: OwnedFd, address: SocketAddrV4, max_connections: usize, threads: usize, backlog: i32) -> Self {
        bound();
        let config = Config { max_connections, threads: threads.try_into().unwrap(), ..DEFAULTS };
        let shared = Arc::new(Shared::new(config));
        let context = Context::new(&shared, 0).unwrap();
        context.poller.add(&listener, Source::Listener, Interest::Readable).unwrap();
        let (mailboxes, inboxes) = (0..threads).map(|_| mailbox(&context.poller).unwrap()).unzip();
        let acceptor = Acceptor::new(listener, backlog, mailboxes);
        let connections = Connections::new(Duration::ZERO);
        let (sends, now) = (Sends::new(true), Instant::now());
        Self { acceptor, context, connections, sends, inboxes, address, may_be_dealt_out: false, now }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        if cfg!(target_os = "macos") {
            // It is on its way for a moment longer.
            thread::sleep(Duration::from_millis(5));
        }
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn accept(&mut self) -> usize {
        self.acceptor.accept(&mut self.context, &mut self.connections, &mut self.sends, MANY)
    }

    /// So many sends to itself, none of which has begun.
    fn push_sends(&mut self, count: u64) {
        for id in 0..count {
            let outgoing = Outgoing::new(id, self.address, b"hello".into(), PATIENCE, Duration::ZERO);
            self.sends.push(&self.context.clock, outgoing);
        }
    }

    fn start_sends(&mut self) {
        self.acceptor.start_sends(&mut self.context, &mut self.connections, &mut self.sends);
    }

    /// Whether a send was still to begin: it has by now.
    fn starts_next(&mut self) -> bool {
        self.sends.start_next(&mut self.context)
    }

    fn take_backlog(&mut self) -> bool {
        self.acceptor.take_backlog(&mut self.context, &mut self.connections, &mut self.sends)
    }

    fn decide(&mut self) {
        self.acceptor.decide(&mut self.context, &mut self.connections);
    }

    /// Decides once all threads have caught up.
    fn decide_at_last(&mut self) {
        self.decide();
        self.inboxes.iter().for_each(|inbox| inbox.take().for_each(drop));
        self.decide();
    }

    /// Echoes one message, on the first thread.
    fn echo(&mut self, mut client: &TcpStream) {
        client.write_all(b"hello").unwrap();
        let mut is_served = false;
        while !is_served {
            for index in 0..self.context.poller.wait(Some(PATIENCE)).unwrap() {
                if let Source::Connection(slot) = self.context.poller.source(index) {
                    is_served |= self.connections.advance(&mut self.context, slot);
                    self.may_be_dealt_out |= self.connections.lasting(slot).is_some();
                    self.acceptor.deal_out(&self.context, &mut self.connections, slot);
                }
            }
        }
        client.read_exact(&mut [0; 5]).unwrap();
    }

    /// Echoes often enough to be dealt out.
    fn last(&mut self, client: &TcpStream) {
        (0..3).for_each(|_| self.echo(client));
    }

    /// How many connections the second thread was given.
    fn handed_over(&self) -> usize {
        self.inboxes[1].take().filter(|message| matches!(message, Message::Adopt(_))).count()
    }

    /// How many events about the listener there are.
    fn events(&mut self) -> usize {
        let events = self.context.poller.wait(Some(Duration::ZERO)).unwrap();
        (0..events).filter(|index| self.context.poller.source(*index) == Source::Listener).count()
    }

    fn open(&self) -> usize {
        self.context.shared.open.load(Relaxed)
    }

    /// The first look at the timers after so much time.
    fn wait(&mut self, time: Duration) {
        self.now += time;
        for _ in 0..2 {
            self.context.clock.end_wait(self.now, Duration::MAX / 2);
        }
        self.acceptor.run_timers(&self.context);
    }
}

#[test]
fn connections_that_last_are_dealt_out_in_turn() {
    let mut scene = Scene::new(usize::MAX, 2, 511);
    let clients = [(); 4].map(|()| scene.connect());
    assert_eq!(scene.accept(), 4);
    for (client, handed_over) in clients.iter().zip([0, 1, 0, 1]) {
        scene.echo(client);
        assert_eq!(scene.handed_over(), 0, "one message does not say that it lasts");
        scene.echo(client);
        assert_eq!(scene.handed_over(), handed_over);
    }
}

#[test]
fn one_thread_keeps_its_connections() {
    let mut scene = Scene::new(usize::MAX, 1, 511);
    let client = scene.connect();
    scene.accept();
    scene.last(&client);
    assert!(!scene.may_be_dealt_out);
}

#[test]
fn in_a_stop_no_connection_is_handed_over() {
    let mut scene = Scene::new(usize::MAX, 2, 511);
    let clients = [(); 2].map(|()| scene.connect());
    scene.accept();
    scene.context.stop_deadline = Some(PATIENCE);
    for client in &clients {
        scene.last(client);
    }
    assert_eq!(scene.handed_over(), 0, "the other thread may have ended");
}

#[test]
fn a_client_over_the_limit_waits_until_all_have_caught_up() {
    let mut scene = Scene::new(1, 2, 511);
    let _first = scene.connect();
    let mut second = scene.connect();
    assert_eq!(scene.accept(), 2);
    scene.decide();
    scene.decide();
    assert_eq!(scene.context.shared.stats().rejected_connections, 0, "nobody has caught up");
    let mut messages: Vec<_> = scene.inboxes[0].take().collect();
    scene.decide();
    messages.extend(scene.inboxes[1].take());
    scene.decide();
    assert_eq!(scene.context.shared.stats().rejected_connections, 0, "they are at it");
    drop(messages);
    scene.decide();
    assert_eq!(scene.context.shared.stats().rejected_connections, 1);
    assert_eq!(second.read(&mut [0]).unwrap(), 0);
    assert_eq!(scene.open(), 1);
}

#[test]
fn a_thread_has_caught_up_when_a_turn_brings_nothing_or_it_had_its_turns() {
    let mut turns = 3;
    assert!(!has_caught_up(&mut turns, true));
    assert!(has_caught_up(&mut turns.clone(), false));
    assert!(!has_caught_up(&mut turns, true));
    assert!(has_caught_up(&mut turns, true));
}

#[test]
fn meanwhile_no_connection_is_handed_over() {
    let mut scene = Scene::new(2, 2, 511);
    let (staying, leaving) = (scene.connect(), scene.connect());
    scene.accept();
    scene.last(&staying);
    scene.echo(&leaving);
    let _third = scene.connect();
    assert_eq!(scene.accept(), 1);
    scene.decide();
    scene.last(&leaving);
    assert_eq!(scene.handed_over(), 0, "its end would be seen by neither thread");
    scene.decide_at_last();
    scene.echo(&leaving);
    assert_eq!(scene.handed_over(), 1);
}

#[test]
fn it_pauses_when_accept_keeps_failing() {
    // It says EOPNOTSUPP.
    let listener = UdpSocket::bind(DEFAULTS.address).unwrap().into();
    let mut scene = Scene::with(listener, DEFAULTS.address, usize::MAX, 1, 511);
    scene.wait(Duration::ZERO);
    assert_eq!(scene.acceptor.next_timer(&scene.context.clock), None);
    scene.context.shared.open.store(2, Relaxed);
    for (open, time, is_paused) in [
        (2, PAUSE, true),
        (2, PAUSE + STEP, false),
        (3, STEP, true),
        // Something was closed, also by another thread.
        (1, Duration::ZERO, false),
    ] {
        scene.context.shared.open.store(2, Relaxed);
        assert_eq!(scene.accept(), 0);
        assert!(scene.acceptor.is_paused());
        assert_eq!(scene.acceptor.next_timer(&scene.context.clock), Some(scene.context.clock.after(STEP)));
        scene.context.shared.open.store(open, Relaxed);
        scene.wait(time);
        assert_eq!(scene.acceptor.is_paused(), is_paused, "{open} open, {time:?}");
        scene.wait(PAUSE * 2);
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "macOS lets 128 clients wait, and one less than asked")]
#[test]
fn it_does_not_listen_while_too_many_wait_for_a_place() {
    let mut scene = Scene::new(0, 1, 511);
    let _clients: Vec<_> = (0..MANY).map(|_| scene.connect()).collect();
    assert_eq!(scene.accept(), PER_TURN);
    assert_eq!(scene.accept(), 0);
    assert_eq!(scene.events(), 0, "clients that cannot be taken would wake it without end");
    scene.decide_at_last();
    assert_eq!(scene.events(), 1, "it listens again");
    assert_eq!(scene.accept(), MANY - PER_TURN);
}

#[cfg_attr(not(target_os = "linux"), ignore = "on macOS a connection is on its way for a moment")]
#[test]
fn each_send_is_accepted_before_the_next_one_begins() {
    // The backlog has room for one.
    let mut scene = Scene::new(usize::MAX, 1, 0);
    scene.push_sends(20);
    scene.start_sends();
    assert_eq!(scene.open(), 20);
}

#[test]
fn no_send_begins_while_nobody_can_be_accepted() {
    let mut scene = Scene::new(0, 1, 511);
    let listener = OwnedFd::from(UdpSocket::bind(DEFAULTS.address).unwrap());
    let mut broken = Scene::with(listener, scene.address, usize::MAX, 1, 511);
    broken.accept();
    for scene in [&mut scene, &mut broken] {
        scene.push_sends(1);
        scene.start_sends();
    }
    assert!(!scene.starts_next(), "it has begun");
    assert!(broken.acceptor.is_paused() && broken.starts_next(), "it has not");
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs the backlog of Linux")]
#[test]
fn a_send_that_is_not_accepted_begins_again() {
    // listen(2) lets one more wait.
    let mut scene = Scene::new(usize::MAX, 1, 1);
    let _clients = [scene.connect(), scene.connect()];
    // The clock begins.
    scene.wait(Duration::ZERO);
    scene.push_sends(1);
    assert!(scene.starts_next());
    assert_eq!(scene.accept(), 2);
    scene.start_sends();
    scene.wait(Duration::from_secs(1));
    scene.sends.run_timers(&mut scene.context);
    assert!(scene.starts_next(), "it waits for the kernel, for a second");
}

#[cfg_attr(not(target_os = "linux"), ignore = "macOS lets 128 clients wait, and one less than asked")]
#[test]
fn a_stop_takes_as_many_from_the_backlog_as_may_wait_there() {
    let mut scene = Scene::new(usize::MAX, 1, 2);
    let _clients = [(); 3].map(|()| scene.connect());
    assert!(scene.take_backlog(), "there can be no more");
    assert_eq!(scene.open(), 3);
    assert!(TcpStream::connect(scene.address).is_err(), "it still listens");
}

#[cfg_attr(not(target_os = "linux"), ignore = "macOS lets 128 clients wait, and one less than asked")]
#[test]
fn a_stop_takes_no_more_than_a_turn_may_from_the_backlog() {
    let mut scene = Scene::new(usize::MAX, 1, 511);
    let _clients: Vec<_> = (0..MANY).map(|_| scene.connect()).collect();
    assert!(!scene.take_backlog());
    assert_eq!(scene.open(), PER_TURN);
    assert!(scene.take_backlog());
    assert_eq!(scene.open(), MANY);
}

#[test]
fn a_stop_listens_until_its_sends_are_accepted() {
    let mut scene = Scene::new(usize::MAX, 1, 2);
    scene.push_sends(1);
    assert!(!scene.take_backlog(), "it has not begun");
    assert!(scene.starts_next());
    assert!(!scene.take_backlog(), "it is not accepted");
    while scene.accept() == 0 {}
    assert!(scene.take_backlog());
}

#[cfg_attr(not(target_os = "linux"), ignore = "macOS lets 128 clients wait, and one less than asked")]
#[test]
fn a_stop_decides_about_all_in_the_backlog() {
    let mut scene = Scene::new(0, 1, 511);
    let _clients: Vec<_> = (0..MANY).map(|_| scene.connect()).collect();
    for rejected in [PER_TURN, MANY] {
        assert!(!scene.take_backlog());
        assert!(!scene.take_backlog(), "no more than these may wait for a place");
        scene.decide_at_last();
        assert_eq!(scene.context.shared.stats().rejected_connections, rejected as u64);
    }
    assert!(scene.take_backlog());
}
