//! Faults on purpose, over real sockets, with one thread and with four; and what they decide, by a given clock.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{DEFAULTS, NO_FAULTS, PATIENCE, Running, echo, noise, start, write_and_end};
use echo_node::faults::{Dealer, Fate, Faults};
use echo_node::poller::Interest;
use echo_node::shared::Config;
use socket2::SockRef;

fn dealer(faults: Faults) -> Dealer {
    let dealer = Dealer::default();
    dealer.set(Some(faults));
    dealer
}

fn milliseconds(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// A server with one thread and one with four.
fn servers(faults: Faults, config: Config) -> [Running; 2] {
    [1, 4]
        .map(|threads| start(&Config { threads: NonZeroUsize::new(threads).unwrap(), faults: Some(faults), ..config }))
}

fn after(bytes: u64, fate: Fate) -> Faults {
    Faults { fate: Some((bytes, fate)), ..NO_FAULTS }
}

fn delayed(time: u64) -> Faults {
    Faults { delay: (milliseconds(time), milliseconds(time)), ..NO_FAULTS }
}

/// Reads all there is, and the error that ends it.
fn read_to_end(mut client: &TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut data = Vec::new();
    let error = client.read_to_end(&mut data).err().map(|error| error.kind());
    (data, error)
}

fn reset(client: TcpStream) {
    // Fails on macOS if the server has reset it by now.
    let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
    drop(client);
}

#[test]
fn what_a_stop_cannot_deliver_ends_with_a_reset() {
    for running in servers(delayed(60_000), DEFAULTS) {
        let client = running.connect();
        (&client).write_all(b"never comes").unwrap();
        running.wait_for("it is accepted", |stats| stats.active_connections == 1);
        running.server.stop(milliseconds(100));
        assert_eq!(read_to_end(&client), (Vec::new(), Some(ErrorKind::ConnectionReset)));
    }
}

#[test]
fn a_delay_is_never_too_short() {
    for running in servers(delayed(30), DEFAULTS) {
        let client = running.connect();
        for _ in 0..10 {
            let begin = Instant::now();
            echo(&client, b"late");
            assert!(begin.elapsed() >= milliseconds(30));
        }
    }
}

#[test]
fn delays_of_a_range_follow_from_the_seed() {
    let now = Instant::now();
    let delays = |seed| {
        let dealer = dealer(Faults { delay: (milliseconds(10), milliseconds(500)), seed, ..NO_FAULTS });
        let mut faults = [dealer.deal().unwrap(), dealer.deal().unwrap()];
        (0..20).map(|index| faults[index % 2].hold(now).unwrap() - now).collect::<Vec<_>>()
    };
    assert_eq!(delays(7), delays(7));
    assert_ne!(delays(7), delays(8));
    let all = delays(7);
    assert!(all.iter().all(|delay| (milliseconds(10)..=milliseconds(500)).contains(delay)));
    assert!(all.iter().max().unwrap().saturating_sub(*all.iter().min().unwrap()) > milliseconds(200), "{all:?}");
}

#[test]
fn delays_are_those_of_splitmix64() {
    // So long that every part of a number counts.
    let most = Duration::from_secs(1 << 28);
    let mut fault = dealer(Faults { delay: (Duration::ZERO, most), seed: 0, ..NO_FAULTS }).deal().unwrap();
    let now = Instant::now();
    // The first numbers of that generator from 1.
    for number in [0x910a_2dec_8902_5cc1_u64, 0xbeeb_8da1_658e_ec67, 0xf893_a2ee_fb32_555e] {
        let expected = ((most.as_nanos() >> 8) * u128::from(number)) >> 56;
        let expected = Duration::from_nanos(u64::try_from(expected).unwrap());
        let delay = fault.hold(now).unwrap() - now;
        assert!(delay.abs_diff(expected) < Duration::from_micros(1), "{delay:?}, not {expected:?}");
    }
}

#[test]
fn what_has_written_nothing_may_go_on_at_once() {
    let mut fault = dealer(Faults { rate: 1000, ..NO_FAULTS }).deal().unwrap();
    let now = Instant::now();
    assert_eq!(fault.note_written(now, 0), None);
    assert_eq!(fault.note_written(now, 1), Some(now + milliseconds(1)));
}

#[test]
fn after_a_pause_little_is_caught_up_with() {
    let mut fault = dealer(Faults { rate: 1000, ..NO_FAULTS }).deal().unwrap();
    let begin = Instant::now();
    fault.note_written(begin, 1);
    let later = begin + Duration::from_secs(10);
    let burst = (1..100).find(|_| fault.note_written(later, 1).is_some());
    assert_eq!(burst, Some(6), "5 ms of the rate, and the byte that is too much");
}

#[test]
fn an_echoing_connection_wants_to_read_or_to_write() {
    let fault = dealer(delayed(1)).deal().unwrap();
    let wanted = |unsent, is_draining| fault.wanted(unsent, is_draining);
    assert_eq!(
        [(true, true), (true, false)].map(|(unsent, draining)| wanted(unsent, draining)),
        [Interest::Writable; 2]
    );
    assert_eq!((wanted(false, true), wanted(false, false)), (Interest::Both, Interest::Readable));
}

#[test]
fn a_reset_comes_no_sooner_than_100_ms_after_the_last_echo() {
    for running in servers(after(5, Fate::Reset), DEFAULTS) {
        let client = running.connect();
        let begin = Instant::now();
        echo(&client, b"hello");
        assert_eq!(read_to_end(&client), (Vec::new(), Some(ErrorKind::ConnectionReset)));
        assert!(begin.elapsed() >= milliseconds(100), "{:?}", begin.elapsed());
    }
}

#[test]
fn a_rate_is_kept_by_a_given_clock() {
    for (rate, chunk) in [(1, 0), (150, 0), (1_000_000, 0), (1_000_000, 100), (1000, 4000), (50_000, 20_000)] {
        let mut fault = dealer(Faults { rate, chunk, ..NO_FAULTS }).deal().unwrap();
        let begin = Instant::now();
        let (mut now, mut written) = (begin, 0);
        while now < begin + Duration::from_secs(20) {
            let piece = fault.piece();
            let slice = 1.max(usize::try_from(rate / 100).unwrap());
            assert!(piece <= if chunk > 0 { slice.min(chunk) } else { slice }, "a burst of {piece}");
            written += piece;
            // A timer is late by up to a millisecond.
            now = fault.note_written(now, piece).unwrap_or(now)
                + Duration::from_micros(if chunk == 100 { 0 } else { 900 });
        }
        let expected = usize::try_from(rate).unwrap() * 20;
        let most = expected + fault.piece() + expected / 100;
        assert!((expected - expected / 20..=most).contains(&written), "{written} of {expected} at {rate} by {chunk}");
    }
}

#[test]
fn a_rate_is_never_exceeded() {
    const RATE: u64 = 1_000_000;
    for running in servers(Faults { rate: RATE, ..NO_FAULTS }, DEFAULTS) {
        let mut client = running.connect();
        let data = noise(400_000);
        let begin = Instant::now();
        let writer = write_and_end(&client, data.clone());
        let mut received = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            let count = client.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            received.extend_from_slice(&buffer[..count]);
            let allowed = begin.elapsed() + milliseconds(11);
            assert!(received.len() as u128 <= u128::from(RATE) * allowed.as_micros() / 1_000_000, "{allowed:?}");
        }
        writer.join().unwrap();
        assert!(received == data);
    }
}

#[test]
fn a_reset_comes_after_exactly_so_many_bytes() {
    for count in [1, 5000, 3_000_000] {
        for running in servers(after(count, Fate::Reset), DEFAULTS) {
            let client = running.connect();
            // A little more, which the kernel takes, so that no write meets the reset instead of the read.
            let data = noise(usize::try_from(count + 1000).unwrap());
            let mut stream = client.try_clone().unwrap();
            let sent = data.clone();
            let writer = thread::spawn(move || stream.write_all(&sent).unwrap());
            let (received, error) = read_to_end(&client);
            assert_eq!((received.len() as u64, error), (count, Some(ErrorKind::ConnectionReset)));
            assert!(data.starts_with(&received));
            writer.join().unwrap();
            running.wait_for("it is gone", |stats| stats.active_connections == 0 && stats.total_bytes == count);
        }
    }
}

#[test]
fn a_reset_after_no_byte_comes_at_once() {
    for running in servers(after(0, Fate::Reset), DEFAULTS) {
        // connect(2) itself may meet it.
        let error = match TcpStream::connect(running.server.address) {
            Ok(client) => read_to_end(&client).1,
            Err(error) => Some(error.kind()),
        };
        assert_eq!(error, Some(ErrorKind::ConnectionReset));
        running.wait_for("it is gone", |stats| (stats.total_connections, stats.active_connections) == (1, 0));
    }
}

#[test]
fn a_reset_waits_for_a_slow_reader() {
    for running in servers(after(2_000_000, Fate::Reset), DEFAULTS) {
        let client = running.connect();
        let mut stream = client.try_clone().unwrap();
        let writer = thread::spawn(move || stream.write_all(&noise(2_001_000)).unwrap());
        running.wait_for("it is stuck", |stats| stats.total_bytes > 0);
        thread::sleep(milliseconds(200));
        assert_eq!(read_to_end(&client).0.len(), 2_000_000);
        writer.join().unwrap();
    }
}

#[test]
fn an_end_comes_after_so_many_bytes_although_more_waits() {
    for count in [0, 3, 100_000] {
        for running in servers(after(count, Fate::End), DEFAULTS) {
            let client = running.connect();
            let data = noise(150_000);
            (&client).write_all(&data).unwrap();
            let (received, error) = read_to_end(&client);
            assert_eq!((received.len() as u64, error), (count, None));
            assert!(data.starts_with(&received));
        }
    }
}

/// A client that has got so many bytes and then nothing.
fn stalled(running: &Running, count: usize) -> TcpStream {
    let mut client = running.connect();
    client.write_all(&noise(count + 1000)).unwrap();
    client.read_exact(&mut vec![0; count]).unwrap();
    client.set_read_timeout(Some(milliseconds(50))).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    client
}

#[test]
fn a_stalled_connection_stays_until_somebody_ends_it() {
    for count in [0, 10] {
        for running in servers(after(count, Fate::Stall), DEFAULTS) {
            let client = stalled(&running, usize::try_from(count).unwrap());
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!((&client).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(running.stats().active_connections, 1);
            reset(client);
            running.wait_for("the reset is seen", |stats| stats.active_connections == 0);

            let client = stalled(&running, usize::try_from(count).unwrap());
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            let begin = Instant::now();
            running.server.stop(PATIENCE);
            assert_eq!(read_to_end(&client), (Vec::new(), None));
            assert_eq!(running.wait_for_end(), None);
            assert!(begin.elapsed() < PATIENCE / 2);
        }
    }
}

#[test]
fn a_stalled_connection_is_idle_and_a_delayed_one_is_not() {
    let config = Config { idle_timeout: milliseconds(100), ..DEFAULTS };
    for running in servers(after(0, Fate::Stall), config) {
        assert_eq!(read_to_end(&running.connect()), (Vec::new(), None));
    }
    for running in servers(delayed(400), config) {
        echo(&running.connect(), b"late");
    }
}

#[test]
fn a_stalled_connection_is_idle_whatever_its_client_sends() {
    let config = Config { idle_timeout: milliseconds(2000), ..DEFAULTS };
    for running in servers(after(0, Fate::Stall), config) {
        let (silent, mut busy) = (running.connect(), running.connect());
        let sending = thread::spawn(move || {
            while busy.write_all(&[0; 10_000]).is_ok() {
                thread::sleep(milliseconds(50));
            }
            Instant::now()
        });
        read_to_end(&silent);
        let end = Instant::now();
        let late = sending.join().unwrap().saturating_duration_since(end);
        assert!(late < milliseconds(300), "closed {late:?} after the silent one");
    }
}

#[test]
fn a_stop_delivers_what_is_due_within_its_deadline() {
    for running in servers(delayed(300), DEFAULTS) {
        let client = running.connect();
        (&client).write_all(b"due").unwrap();
        running.wait_for("it is connected", |stats| stats.active_connections == 1);
        running.server.stop(PATIENCE);
        assert_eq!(read_to_end(&client), (b"due".to_vec(), None));
        assert_eq!(running.wait_for_end(), None);
    }
    for running in servers(delayed(60_000), DEFAULTS) {
        let client = running.connect();
        (&client).write_all(b"too late").unwrap();
        running.wait_for("it is connected", |stats| stats.active_connections == 1);
        let begin = Instant::now();
        running.server.stop(milliseconds(100));
        assert!(read_to_end(&client).0.is_empty());
        assert_eq!(running.wait_for_end(), None);
        assert!(begin.elapsed() < PATIENCE / 2);
    }
}

#[test]
fn the_share_is_exact_and_begins_with_the_first() {
    let hit = |share: f64, count: usize| -> Vec<bool> {
        let dealer = dealer(Faults { share, ..delayed(1) });
        (0..count).map(|_| dealer.deal().is_some()).collect()
    };
    assert_eq!(hit(0.5, 4), [true, false, true, false]);
    assert_eq!(hit(0.0, 3), [false; 3]);
    assert_eq!(hit(1.0, 3), [true; 3]);
    for percent in 0..=100_u32 {
        let count = hit(f64::from(percent) / 100.0, 1000).into_iter().filter(|hit| *hit).count();
        assert_eq!(count, 10 * percent as usize);
    }
}

#[test]
fn faults_hold_for_connections_accepted_from_then_on_and_count_only_those() {
    for running in servers(NO_FAULTS, Config { max_connections: 1, ..DEFAULTS }) {
        let before = running.connect();
        echo(&before, b"before");
        running.server.set_faults(Some(Faults { share: 0.5, ..after(0, Fate::End) }));
        echo(&before, b"as before");
        // Turned away: not counted.
        assert_eq!(read_to_end(&running.connect()), (Vec::new(), None));
        drop(before);
        running.wait_for("it is gone", |stats| stats.active_connections == 0);
        for is_hit in [true, false, true, false] {
            let client = running.connect();
            if is_hit {
                assert_eq!(read_to_end(&client), (Vec::new(), None));
            } else {
                echo(&client, b"served");
            }
            drop(client);
            running.wait_for("it is gone", |stats| stats.active_connections == 0);
        }
        running.server.set_faults(None);
        echo(&running.connect(), b"after");
        running.wait_for("it is gone", |stats| stats.active_connections == 0);
        echo(&running.connect(), b"all are served");
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "on macOS who has unread bytes may not notice a reset")]
#[test]
fn a_client_that_resets_is_gone_at_once_whatever_its_connection_waits_for() {
    let soon = (milliseconds(20), milliseconds(20));
    let hour = delayed(3_600_000);
    let slow = Faults { rate: 1, ..NO_FAULTS };
    let fates = [(1, Fate::End), (1, Fate::Reset), (200_000, Fate::End), (200_000, Fate::Reset), (0, Fate::Stall)];
    let fates = fates.map(|(count, fate)| Faults { delay: soon, ..after(count, fate) });
    for faults in [hour, slow].into_iter().chain(fates) {
        for running in servers(faults, DEFAULTS) {
            let client = running.connect();
            SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
            (&client).write_all(&noise(250_000)).unwrap();
            running.wait_for("it is connected", |stats| stats.total_connections == 1);
            thread::sleep(milliseconds(40));
            reset(client);
            running.wait_for("it is gone", |stats| stats.active_connections == 0);
        }
    }
}

#[test]
fn a_rate_holds_nothing_when_all_is_written() {
    let faults = Faults { rate: 1, ..NO_FAULTS };
    for running in servers(faults, Config { idle_timeout: milliseconds(300), ..DEFAULTS }) {
        let idle = running.connect();
        echo(&idle, &[7]);
        assert_eq!(read_to_end(&idle), (Vec::new(), None));
        let leaving = running.connect();
        echo(&leaving, &[7]);
        drop(leaving);
        running.wait_for("it is gone", |stats| stats.active_connections == 0);
        let last = running.connect();
        echo(&last, &[7]);
        running.server.stop(PATIENCE);
        assert_eq!(read_to_end(&last), (Vec::new(), None));
        assert_eq!(running.wait_for_end(), None);
    }
}

#[test]
fn faults_that_do_nothing_are_none() {
    assert!(dealer(NO_FAULTS).deal().is_none());
}

/// One of each kind, with what of 100 bytes comes back and whether a reset follows.
fn each_kind() -> [(Faults, usize, bool); 6] {
    [
        (delayed(30), 100, false),
        (Faults { rate: 10_000, ..NO_FAULTS }, 100, false),
        (Faults { chunk: 7, ..NO_FAULTS }, 100, false),
        (after(50, Fate::Reset), 50, true),
        (after(50, Fate::End), 50, false),
        (after(50, Fate::Stall), 50, false),
    ]
}

/// A client that has written 100 bytes, and has read what comes back of them.
fn served(running: &Running, back: usize) -> TcpStream {
    let mut client = running.connect();
    let data = noise(100);
    client.write_all(&data).unwrap();
    let mut received = vec![0; back];
    client.read_exact(&mut received).unwrap();
    assert!(data.starts_with(&received));
    client
}

#[test]
fn a_reset_is_none_the_less_one_under_a_short_idle_timeout() {
    for running in servers(after(3, Fate::Reset), Config { idle_timeout: milliseconds(20), ..DEFAULTS }) {
        let mut client = running.connect();
        client.write_all(b"hello").unwrap();
        assert_eq!(read_to_end(&client), (b"hel".into(), Some(ErrorKind::ConnectionReset)));
    }
}

#[test]
fn each_fault_holds_under_an_idle_timeout() {
    for (faults, back, _) in each_kind() {
        for running in servers(faults, Config { idle_timeout: milliseconds(200), ..DEFAULTS }) {
            let client = served(&running, back);
            // By the fault, or for idleness.
            assert!(read_to_end(&client).0.is_empty());
            running.wait_for("it is gone", |stats| stats.active_connections == 0 && stats.total_bytes == back as u64);
        }
    }
}

#[test]
fn each_fault_holds_at_the_limit_of_connections() {
    for (faults, back, _) in each_kind() {
        for running in servers(faults, Config { max_connections: 1, ..DEFAULTS }) {
            for _ in 0..2 {
                let client = served(&running, back);
                if running.stats().active_connections == 1 && faults.fate.is_none_or(|(_, fate)| fate == Fate::Stall) {
                    assert_eq!(read_to_end(&running.connect()), (Vec::new(), None));
                }
                reset(client);
                running.wait_for("there is room", |stats| stats.active_connections == 0);
            }
        }
    }
}

#[test]
fn each_fault_holds_in_a_stop() {
    for (faults, back, is_reset) in each_kind() {
        for running in servers(faults, DEFAULTS) {
            let client = running.connect();
            (&client).write_all(&noise(100)).unwrap();
            running.wait_for("it is connected", |stats| stats.total_connections == 1);
            running.server.stop(PATIENCE);
            let (received, error) = read_to_end(&client);
            assert_eq!((received.len(), error), (back, is_reset.then_some(ErrorKind::ConnectionReset)));
            assert_eq!(running.wait_for_end(), None);
        }
    }
}
