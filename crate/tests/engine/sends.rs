//! The client's side: what a send returns came off the wire, and every send is settled once.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{DEFAULTS, PATIENCE, Running, bound, noise, start, start_stalling, wait_until};
use echo_node::context::Context;
use echo_node::error::{Error, Result};
use echo_node::listener::listen;
use echo_node::poller::Source;
use echo_node::sends::{Outgoing, Sends, Settled};
use echo_node::server::Report;
use echo_node::shared::Config;
use echo_node::shared::Shared;
use socket2::SockRef;

/// Waits until so many sends are settled, each once.
fn results(running: &Running, count: usize) -> HashMap<u64, Result<Vec<u8>>> {
    let mut results = HashMap::new();
    while results.len() < count {
        match running.events.recv_timeout(PATIENCE).unwrap() {
            Report::Settled(settled) => {
                for Settled { id, result, .. } in settled {
                    assert!(results.insert(id, result).is_none(), "send {id} was settled twice");
                }
            }
            other => panic!("not a send that is over: {other:?}"),
        }
    }
    results
}

#[test]
fn each_gets_its_own_answer_and_stats_are_exact() {
    let running = start(&DEFAULTS);
    // More than may be on the wire at once, and one more than the sockets' buffers hold.
    let count = 300;
    let payload = |id: u64| if id == 7 { noise(20 << 20) } else { noise(usize::try_from(id).unwrap()) };
    for id in 0..count {
        assert!(running.server.send(id, payload(id), PATIENCE));
    }
    for (id, result) in results(&running, 300) {
        assert!(result.unwrap() == payload(id), "send {id} has the wrong answer");
    }
    let stats = running.stats();
    let bytes: u64 = (0..count).map(|id| payload(id).len() as u64).sum();
    assert_eq!((stats.total_connections, stats.total_bytes, stats.active_connections), (count, bytes, 0));
}

#[test]
fn what_comes_back_is_what_the_peer_wrote() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        stream.read_to_string(&mut request).unwrap();
        stream.write_all(b"something else").unwrap();
        request
    });
    let settled = exchange(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), b"a question");
    assert_eq!(settled.result.unwrap(), b"something else");
    assert_eq!(peer.join().unwrap(), "a question");
}

#[test]
fn what_a_peer_wrote_before_it_took_no_more_comes_back() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"enough").unwrap();
        // Closed with unread input: what is written to it from now on is answered with a RST.
    });
    let settled = exchange(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), &noise(64 << 20));
    peer.join().unwrap();
    // A RST that overtakes the end of input is an error, and what is read before it is not lost otherwise.
    match settled.result {
        Ok(data) => assert_eq!(data, b"enough"),
        Err(error) => assert_eq!(error.errno, libc::ECONNRESET),
    }
}

#[test]
fn sends_that_are_cut_off_name_the_call_each_waited_in() {
    let (running, go_on) = start_stalling(&Config { threads: 2.try_into().unwrap(), ..DEFAULTS });
    // All are posted before the first begins: none is over when the stop comes.
    running.stall();
    for id in 0..300 {
        assert!(running.server.send(id, vec![0; 16 << 20], PATIENCE));
    }
    // Time for the handshakes, on macOS.
    running.server.stop(Duration::from_millis(20));
    drop(go_on);
    let (mut settled, mut calls) = (0, std::collections::BTreeSet::new());
    while let Report::Settled(sends) = running.events.recv_timeout(PATIENCE).unwrap() {
        settled += sends.len();
        for error in sends.iter().filter_map(|send| send.result.as_ref().err()) {
            assert_eq!(error.errno, libc::ECANCELED);
            calls.insert(error.syscall);
        }
    }
    assert_eq!(settled, 300);
    // Those beyond the first 64 have not been on the wire.
    assert!(calls.contains("connect") && calls.contains("write"), "{calls:?}");
}

#[test]
fn a_refused_connection_is_an_error_of_connect() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let settled = exchange(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), b"anyone?");
    assert_eq!(settled.result, Err(Error { errno: libc::ECONNREFUSED, syscall: "connect" }));
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs the backlog of Linux")]
#[test]
fn a_send_that_found_the_backlog_full_does_not_wait_for_the_kernel() {
    let (listener, to) = listen(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), 1).unwrap();
    // listen(2) lets one more wait.
    let waiting = [(); 2].map(|()| TcpStream::connect(to).unwrap());
    let mut context = Context::new(&Arc::new(Shared::new(DEFAULTS)), 0).unwrap();
    let mut sends = Sends::new(true);
    sends.push(&context.clock, Outgoing::new(1, to, vec![1], PATIENCE, Duration::ZERO));
    assert!(sends.start_next(&mut context));
    sends.look_at_unaccepted(&context);
    let listener = TcpListener::from(listener);
    for _ in &waiting {
        listener.accept().unwrap();
    }
    // The kernel would try again only after a second.
    let begin = Instant::now();
    listener.set_nonblocking(true).unwrap();
    while listener.accept().is_err() {
        assert!(begin.elapsed() < Duration::from_millis(900), "it waits for the kernel");
        let timeout = context.clock.begin_wait(sends.next_timer(&context.clock), Instant::now).unwrap();
        thread::sleep(timeout);
        context.clock.end_wait(Instant::now(), timeout);
        sends.run_timers(&mut context);
        sends.start_next(&mut context);
    }
    assert!(sends.settled.is_empty());
}

/// Carries one send out without a server of ours.
fn exchange(to: SocketAddrV4, data: &[u8]) -> Settled {
    bound();
    let mut context = Context::new(&Arc::new(Shared::new(DEFAULTS)), 0).unwrap();
    let mut sends = Sends::new(false);
    sends.push(&context.clock, Outgoing::new(1, to, data.into(), PATIENCE, Duration::ZERO));
    sends.start_next(&mut context);
    loop {
        if let Some(settled) = sends.settled.pop() {
            return settled;
        }
        for index in 0..context.poller.wait(Some(PATIENCE)).unwrap() {
            let Source::Exchange(slot) = context.poller.source(index) else { panic!("there is only a send") };
            sends.advance(&mut context, slot);
        }
    }
}

#[test]
fn a_send_past_its_deadline_is_given_up() {
    let (running, go_on) = start_stalling(&DEFAULTS);
    // All begin in the same turn of the loop: to copy 70 MiB into the kernel and back twice takes more than a millisecond
    // on any machine.
    running.stall();
    let data = noise(1 << 20);
    for id in 0..70 {
        assert!(running.server.send(id, data.clone(), Duration::from_millis(1)));
    }
    drop(go_on);
    let results = results(&running, 70);
    // Those beyond the first 64 wait for their turn, and that counts.
    for id in 64..70 {
        assert_eq!(results[&id], Err(Error { errno: libc::ETIMEDOUT, syscall: "connect" }));
    }
    running.wait_for("the server has dropped them", |stats| stats.active_connections == 0);
}

#[test]
fn an_id_that_is_used_twice_does_no_more_than_lose_a_send() {
    let running = start(&DEFAULTS);
    let deadline = Duration::from_millis(1);
    assert!(running.server.send(1, b"lost".into(), deadline));
    assert!(running.server.send(1, b"sent".into(), PATIENCE));
    // Its deadline has to pass: the server must not stumble over it.
    thread::sleep(deadline * 100);
    assert!(running.server.send(2, b"and then".into(), PATIENCE));
    let is_over = |event| matches!(event, Report::Settled(sends) if sends.iter().any(|send| send.id == 2));
    while !is_over(running.events.recv_timeout(PATIENCE).unwrap()) {}
}

#[test]
fn a_cancelled_send_is_settled_and_its_connection_reset() {
    let running = start(&DEFAULTS);
    for id in 0..100 {
        assert!(running.server.send(id, noise(1 << 20), PATIENCE));
    }
    for id in (0..100).rev() {
        running.server.cancel(id);
        running.server.cancel(id);
    }
    let results = results(&running, 100);
    for result in results.values() {
        match result {
            Ok(data) => assert_eq!(data.len(), 1 << 20),
            Err(error) => assert_eq!(error.errno, libc::ECANCELED),
        }
    }
    running.wait_for("the server has dropped them", |stats| stats.active_connections == 0);
}

#[test]
fn a_send_is_cancelled_before_it_begins() {
    let (running, go_on) = start_stalling(&DEFAULTS);
    running.stall();
    assert!(running.server.send(1, b"hello".into(), PATIENCE));
    running.server.cancel(1);
    drop(go_on);
    assert_eq!(results(&running, 1)[&1], Err(Error { errno: libc::ECANCELED, syscall: "connect" }));
}

/// Sends that a test carries out itself, to a listener of its own.
struct Scene {
    sends: Sends,
    context: Context,
    listener: TcpListener,
    address: SocketAddrV4,
}

impl Scene {
    fn new(is_own: bool) -> Self {
        bound();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!() };
        let context = Context::new(&Arc::new(Shared::new(DEFAULTS)), 0).unwrap();
        Self { sends: Sends::new(is_own), context, listener, address }
    }

    fn outgoing(&self, id: u64, data: &[u8]) -> Outgoing {
        Outgoing::new(id, self.address, data.into(), PATIENCE, Duration::ZERO)
    }

    fn push(&mut self, outgoing: Outgoing) {
        self.sends.push(&self.context.clock, outgoing);
    }

    fn start_next(&mut self) -> bool {
        self.sends.start_next(&mut self.context)
    }

    /// Serves what is ready, and says how many events there were.
    fn serve_events(&mut self) -> usize {
        let events = self.context.poller.wait(Some(Duration::ZERO)).unwrap();
        for index in 0..events {
            let Source::Exchange(slot) = self.context.poller.source(index) else { unreachable!() };
            self.sends.advance(&mut self.context, slot);
        }
        events
    }

    /// The first look at the timers after so much time.
    fn wait(&mut self, time: Duration) {
        for _ in 0..2 {
            self.context.clock.begin_wait(Some(Duration::ZERO), Instant::now);
            self.context.clock.end_wait(Instant::now() + time, time);
        }
        self.sends.run_timers(&mut self.context);
    }
}

#[test]
fn a_send_is_unaccepted_until_its_peer_is_accepted() {
    let mut scene = Scene::new(true);
    scene.push(scene.outgoing(1, b"hello"));
    assert!(scene.sends.need_listener() && !scene.sends.is_any_unaccepted());
    assert!(scene.start_next());
    assert!(scene.sends.need_listener() && scene.sends.is_any_unaccepted());
    assert!(!scene.sends.note_accepted(scene.address), "that is nobody's");
    let (_accepted, SocketAddr::V4(peer)) = scene.listener.accept().unwrap() else { unreachable!() };
    assert!(scene.sends.note_accepted(peer));
    assert!(!scene.sends.need_listener() && !scene.sends.is_any_unaccepted());
}

#[test]
fn a_send_that_is_connected_but_not_accepted_keeps_nobody_waiting() {
    let mut scene = Scene::new(true);
    scene.push(scene.outgoing(1, b"hello"));
    assert!(scene.start_next());
    let _peer = scene.listener.accept().unwrap();
    if cfg!(target_os = "macos") {
        // It may be on its way for a moment longer.
        thread::sleep(Duration::from_millis(5));
    }
    scene.serve_events();
    assert!(scene.sends.is_any_unaccepted());
    scene.sends.look_at_unaccepted(&scene.context);
    scene.wait(Duration::from_secs(1));
    assert!(!scene.sends.is_any_unaccepted(), "the next one waits for it");
    assert!(scene.sends.need_listener());
    assert!(!scene.start_next(), "it begins again");
}

#[test]
fn without_a_client_port_sends_to_others_go_on_unless_all_go_to_one() {
    for is_own in [false, true] {
        let mut scene = Scene::new(is_own);
        let no_port = Error { errno: libc::EADDRNOTAVAIL, syscall: "connect" };
        scene.sends.retry_or_fail(&scene.context, no_port, scene.outgoing(1, b"hello"));
        assert!(scene.sends.settled.is_empty(), "it has failed");
        assert!(!scene.start_next(), "it does not pause");
        let other = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), scene.address.port());
        scene.push(Outgoing::new(2, other, b"hello".into(), PATIENCE, Duration::ZERO));
        assert_eq!(scene.start_next(), !is_own);
        scene.wait(Duration::from_secs(1));
        assert!(scene.start_next(), "it does not begin again");
    }
}

#[test]
fn only_who_finds_the_own_backlog_full_begins_again_after_a_reset() {
    for is_own in [false, true] {
        let mut scene = Scene::new(is_own);
        let reset = Error { errno: libc::ECONNRESET, syscall: "connect" };
        scene.sends.retry_or_fail(&scene.context, reset, scene.outgoing(1, b"hello"));
        assert_eq!(scene.sends.settled.is_empty(), is_own);
    }
}

#[test]
fn a_client_tells_at_the_deadline_why_a_send_could_not_begin() {
    let no_port = Error { errno: libc::EADDRNOTAVAIL, syscall: "connect" };
    for (is_own, errno, told) in [
        (false, libc::ETIMEDOUT, libc::EADDRNOTAVAIL),
        (false, libc::ECANCELED, libc::ECANCELED),
        // Its own server is about to take more.
        (true, libc::ETIMEDOUT, libc::ETIMEDOUT),
    ] {
        let mut scene = Scene::new(is_own);
        scene.sends.retry_or_fail(&scene.context, no_port, scene.outgoing(1, b"hello"));
        scene.sends.give_up(&scene.context, 1, errno);
        assert_eq!(scene.sends.settled[0].result, Err(Error { errno: told, syscall: "connect" }));
    }
}

#[test]
fn a_send_that_is_written_waits_for_its_answer_alone() {
    let mut scene = Scene::new(false);
    // More than the sockets' buffers hold.
    scene.push(scene.outgoing(1, &noise(20 << 20)));
    assert!(scene.start_next());
    let (mut peer, _) = scene.listener.accept().unwrap();
    let reader = thread::spawn(move || {
        peer.read_to_end(&mut Vec::new()).unwrap();
        peer
    });
    wait_until("its end is read", || {
        scene.serve_events();
        reader.is_finished()
    });
    let _peer = reader.join().unwrap();
    assert_eq!(scene.serve_events(), 0, "it would wake the loop without end");
}

/// As on macOS 27 where the backlog is full.
#[test]
fn a_send_to_the_own_server_that_is_reset_before_it_is_accepted_begins_again() {
    let mut scene = Scene::new(true);
    scene.push(Outgoing::new(1, scene.address, b"hello".into(), Duration::MAX, Duration::ZERO));
    assert!(scene.start_next());
    let (first, _) = scene.listener.accept().unwrap();
    SockRef::from(&first).set_linger(Some(Duration::ZERO)).unwrap();
    drop(first);
    wait_until("it begins again", || {
        scene.serve_events();
        scene.wait(Duration::from_secs(1));
        scene.start_next()
    });
    let (mut second, SocketAddr::V4(peer)) = scene.listener.accept().unwrap() else { unreachable!() };
    assert!(scene.sends.note_accepted(peer));
    second.set_nonblocking(true).unwrap();
    wait_until("it has written", || {
        scene.serve_events();
        second.peek(&mut [0; 5]).is_ok_and(|count| count == 5)
    });
    // Unread it would be a reset.
    second.read_exact(&mut [0; 5]).unwrap();
    second.write_all(b"hello").unwrap();
    drop(second);
    wait_until("it is over", || {
        scene.serve_events();
        !scene.sends.settled.is_empty()
    });
    assert_eq!(scene.sends.settled[0].result.as_deref(), Ok(&b"hello"[..]));
}
