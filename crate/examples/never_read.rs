//! `never_read ADDRESS COUNT [MOST]`: clients that write as much as is taken from them, but no more than `MOST` bytes
//! each, and read nothing. Prints how much that was when no more is taken; when standard input ends, reads, and prints
//! how much came back.
//!
//! Their buffers and segments are small, or a thousand of them would fill all the memory that the kernel gives to TCP,
//! and it would take minutes for the last bytes to come through.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

// With less room for what comes back and smaller segments, the kernel grows the server's buffers less: to 0.4 MB for a
// client, where it took 1.6 MB with the receive buffer or the 64 KiB segments of loopback left as they are.
const SEND_BUFFER: usize = 64 * 1024;
const RECEIVE_BUFFER: usize = 4 * 1024;
const SEGMENT: u32 = 1460;

/// Nothing more is taken when none of so many looks in a row, each after a pause, has found room.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("an address is missing")?.parse()?;
    let count = arguments.next().ok_or("a count is missing")?.parse()?;
    let most = arguments.next().map_or(Ok(usize::MAX), |most| most.parse())?;
    let clients = (0..count).map(|_| connect(address)).collect::<io::Result<Vec<_>>>()?;
    println!("{{\"offered\":{}}}", write_all_that_fits(&clients, most)?);
    io::stdin().read_to_end(&mut Vec::new())?;
    println!("{{\"returned\":{}}}", read_to_the_end(&clients)?);
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<Socket> {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    client.set_send_buffer_size(SEND_BUFFER)?;
    client.set_recv_buffer_size(RECEIVE_BUFFER)?;
    client.set_tcp_mss(SEGMENT)?;
    client.connect(&address.into())?;
    client.set_nonblocking(true)?;
    Ok(client)
}

fn write_all_that_fits(clients: &[Socket], most: usize) -> io::Result<usize> {
    let mut written = vec![0; clients.len()];
    let (mut total, mut looks) = (0, 0);
    while looks < LOOKS {
        for (client, written) in clients.iter().zip(&mut written) {
            write_what_fits(client, written, most)?;
        }
        let before = std::mem::replace(&mut total, written.iter().sum());
        looks = if total == before { looks + 1 } else { 0 };
        thread::sleep(PAUSE);
    }
    Ok(total)
}

fn write_what_fits(mut client: &Socket, written: &mut usize, most: usize) -> io::Result<()> {
    while *written < most {
        match client.write(&[b'x'; 16 * 1024]) {
            Ok(count) => *written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read_to_the_end(clients: &[Socket]) -> io::Result<u64> {
    for client in clients {
        client.set_nonblocking(false)?;
        client.shutdown(Shutdown::Write)?;
    }
    clients.iter().map(|mut client| io::copy(&mut client, &mut io::sink())).sum()
}
