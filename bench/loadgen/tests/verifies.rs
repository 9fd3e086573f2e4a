//! The load generator must notice what a faulty server does, or its figures would be worth nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

/// How a server treats each connection.
type Treatment = fn(TcpStream);

/// Serves until the test's process ends.
fn serve(treatment: Treatment) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || treatment(stream.unwrap()));
        }
    });
    port
}

fn load(port: u16, arguments: &str) -> bool {
    let (mode, rest) = arguments.split_once(' ').unwrap();
    Command::new(env!("CARGO_BIN_EXE_echo-loadgen"))
        .args([mode, "--port", &port.to_string(), "--timeout", "0.5", "--duration", "0.2"])
        .args(rest.split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Echoes what `alter` makes of each piece, with its number.
fn relay(mut stream: TcpStream, alter: impl Fn(usize, &mut Vec<u8>)) {
    let mut buffer = vec![0; 256 * 1024];
    for number in 0.. {
        let Ok(count @ 1..) = stream.read(&mut buffer) else { break };
        let mut piece = buffer[..count].to_vec();
        alter(number, &mut piece);
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

fn right(stream: TcpStream) {
    relay(stream, |_, _| ());
}

fn flips_one_bit(stream: TcpStream) {
    relay(stream, |number, piece| piece[0] ^= u8::from(number == 2));
}

fn repeats_the_first_message(stream: TcpStream) {
    let first = std::cell::RefCell::new(Vec::new());
    relay(stream, |number, piece| {
        if number == 0 {
            first.replace(piece.clone());
        }
        piece.clone_from(&first.borrow());
    });
}

fn hangs_up_after_some(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    for _ in 0..3 {
        let count = stream.read(&mut buffer).unwrap();
        stream.write_all(&buffer[..count]).unwrap();
    }
}

fn never_answers(stream: TcpStream) {
    relay(stream, |_, piece| piece.clear());
}

const CLOSED: &str = "closed --connections 3";
const DEEP: &str = "closed --connections 3 --depth 8";
const OPEN: &str = "open --connections 3 --rate 2000";
const LARGE: &str = "closed --connections 2 --size 1048576";
const CROWD: &str = "crowd --connections 3";
const LOADS: [&str; 7] = [CLOSED, DEEP, OPEN, LARGE, CROWD, "churn --connections 2", "idle --connections 20"];

/// Runs these loads against a server, each of which must pass or fail.
fn check(treatment: Treatment, loads: &[&str], passes: bool) {
    let port = serve(treatment);
    for arguments in loads {
        assert_eq!(load(port, arguments), passes, "{arguments}");
    }
}

#[test]
fn a_right_server_passes() {
    check(right, &LOADS, true);
}

#[test]
fn one_wrong_bit_fails() {
    check(flips_one_bit, &[CLOSED, OPEN, LARGE, CROWD], false);
}

#[test]
fn an_answer_to_another_message_fails() {
    check(
        repeats_the_first_message,
        &["closed --connections 1", "crowd --connections 1", "idle --connections 1"],
        false,
    );
}

#[test]
fn a_connection_that_dies_fails() {
    check(hangs_up_after_some, &[CLOSED, DEEP, CROWD], false);
}

#[test]
fn an_answer_that_never_comes_fails() {
    check(never_answers, &LOADS, false);
}

#[test]
fn an_absent_server_fails() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(LOADS.iter().all(|arguments| !load(port, arguments)));
}
