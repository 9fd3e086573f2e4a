//! Serves on the address given, `127.0.0.1:7007` say, until standard input ends. Prints where it listens, and at the end
//! what it has done.

use std::error::Error;
use std::io::Read;
use std::sync::mpsc;
use std::time::Duration;

use echo_node::server::{Config, Event, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into()).parse()?;
    let (ended, wait_for_end) = mpsc::channel();
    let server = Server::start(&Config { address, ..Config::default() }, move |event| {
        if let Event::Ended(failure) = event {
            let _ = ended.send(failure);
        }
    })?;
    println!("{}", server.address());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    server.stop(Duration::from_secs(1));
    wait_for_end.recv()?;
    println!("{:?}", server.stats()?);
    Ok(())
}
