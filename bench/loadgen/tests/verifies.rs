//! The load generator must notice what a faulty server does, or its figures would be worth nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, ExitStatus, Stdio};
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

fn load(port: u16, arguments: &str) -> ExitStatus {
    let (mode, rest) = arguments.split_once(' ').unwrap();
    Command::new(env!("CARGO_BIN_EXE_echo-loadgen"))
        .args([mode, "--port", &port.to_string(), "--timeout", "0.5", "--duration", "0.2"])
        .args(rest.split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
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

fn never_answers(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer) {}
}

const LOADS: [&str; 6] = [
    "closed --connections 3",
    "pipelined --connections 3 --depth 8",
    "open --connections 3 --rate 2000",
    "bulk --connections 2",
    "churn --connections 2",
    "idle --connections 20",
];

#[test]
fn a_right_server_passes() {
    let port = serve(right);
    for arguments in LOADS {
        assert!(load(port, arguments).success(), "{arguments}");
    }
}

#[test]
fn one_wrong_bit_fails() {
    let port = serve(flips_one_bit);
    for arguments in ["closed --connections 3", "open --connections 3", "bulk --connections 1"] {
        assert!(!load(port, arguments).success(), "{arguments}");
    }
}

#[test]
fn an_answer_to_another_message_fails() {
    let port = serve(repeats_the_first_message);
    assert!(!load(port, "closed --connections 1").success());
    assert!(!load(port, "idle --connections 1").success());
}

#[test]
fn a_connection_that_dies_fails() {
    let port = serve(hangs_up_after_some);
    assert!(!load(port, "closed --connections 3").success());
    assert!(!load(port, "pipelined --connections 3 --depth 8").success());
}

#[test]
fn an_answer_that_never_comes_fails() {
    let port = serve(never_answers);
    for arguments in LOADS {
        assert!(!load(port, arguments).success(), "{arguments}");
    }
}

#[test]
fn an_absent_server_fails() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for arguments in LOADS {
        assert!(!load(port, arguments).success(), "{arguments}");
    }
}
