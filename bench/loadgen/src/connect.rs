//! Opening connections.

use crate::cli::Target;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait before trying again for a free port.
const PORT_RETRY: Duration = Duration::from_millis(1);

/// Looks the server's address up.
pub fn resolve(target: &Target) -> io::Result<SocketAddr> {
    let mut addresses = (target.host.as_str(), target.port).to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("no address for {}", target.host)))
}

/// Connects. While this side is out of free ports (a closed one comes back after a second) it waits for one: that is the
/// client's shortage, and no failure of the server.
pub fn connect(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let begin = Instant::now();
    loop {
        match TcpStream::connect_timeout(address, timeout) {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable && begin.elapsed() < timeout => sleep(PORT_RETRY),
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => return Err(error),
        }
    }
}
