//! Opening connections.

use crate::cli::Load;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait before trying again for a free port.
const PORT_RETRY: Duration = Duration::from_millis(1);

/// Connects. While this side is out of free ports (a closed one comes back after a second) it waits for one: that is the
/// client's shortage, and no failure of the server.
pub fn connect(load: &Load) -> io::Result<TcpStream> {
    let begin = Instant::now();
    let stream = loop {
        match TcpStream::connect_timeout(&(load.host, load.port).into(), load.timeout) {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable && begin.elapsed() < load.timeout => {
                sleep(PORT_RETRY);
            }
            result => break result?,
        }
    };
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(load.timeout))?;
    Ok(stream)
}
