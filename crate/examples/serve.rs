//! `serve [ADDRESS [BUSY_POLL [THREADS]]]`: serves on the address, `127.0.0.1:7007` say, until standard input ends.
//! Prints where it listens, and at the end what it has done. `BUSY_POLL` is in microseconds.

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::io::Read;
use std::sync::mpsc;
use std::time::Duration;

use echo_node::server::{Report, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut config = support::DEFAULTS;
    if let Some(address) = arguments.next() {
        config.address = address.parse()?;
    }
    if let Some(microseconds) = arguments.next() {
        config.busy_poll = Duration::from_micros(microseconds.parse()?);
    }
    if let Some(threads) = arguments.next() {
        config.threads = threads.parse()?;
    }
    let (ended, wait_for_end) = mpsc::channel();
    let server = Server::start(&config, move |report| {
        if let Report::Ended(failure) = report {
            let _ = ended.send(failure);
        }
    });
    let server = server.map_err(|error| format!("{error:?}"))?;
    println!("{}", server.address);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.stop(Duration::from_secs(1));
    wait_for_end.recv()?;
    println!("{:?}", server.stats());
    Ok(())
}
