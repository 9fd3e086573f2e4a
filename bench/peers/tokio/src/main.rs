//! An echo server as tokio's own documentation writes one: a task per connection, `read` and `write_all` in turn.
//!
//! Usage: `echo-peer-tokio HOST PORT`

use std::env::args;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The documentation's 1 KiB would handicap it with large messages.
const BUFFER: usize = 16 * 1024;

#[tokio::main]
async fn main() -> io::Result<()> {
    let host = args().nth(1).unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = args().nth(2).unwrap_or_else(|| "0".to_owned());
    let listener = TcpListener::bind(format!("{host}:{port}")).await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(echo(socket));
    }
}

/// Echoes until the client ends its side. An error ends this connection only.
async fn echo(mut socket: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match socket.read(&mut buffer).await? {
            0 => return Ok(()),
            count => socket.write_all(&buffer[..count]).await?,
        }
    }
}
