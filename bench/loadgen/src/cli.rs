//! The command line: one subcommand a kind of load.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::time::Duration;

/// Loads a TCP echo server and checks every byte that comes back.
///
/// Prints one line for people or, with --json, one JSON object. Exits with 1 when a byte was wrong, a connection died or
/// an answer never came.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// Print one JSON object instead of a line for people
    #[arg(long, global = true)]
    pub json: bool,

    /// Pin the client to this core
    #[arg(long, global = true, value_name = "CORE")]
    pub cpu: Option<usize>,

    /// The kind of load
    #[command(subcommand)]
    pub mode: Mode,
}

/// The kinds of load.
#[derive(Subcommand)]
pub enum Mode {
    /// Each connection sends its next message when the answer to the last one is complete
    Closed(Closed),
    /// Messages leave at a fixed rate whatever the server does; latency counts from the intended time of sending
    Open(Open),
    /// Like closed, with several messages of each connection under way at once
    Pipelined(Pipelined),
    /// Like closed, with messages of 1 MiB on one connection
    Bulk(Bulk),
    /// Connect, echo one message, half-close, read to the end, close; over and over
    Churn(Churn),
    /// Many connections that do nothing, each echoing one message when it is opened and one at the end
    Idle(Idle),
    /// Start a Maelstrom node, and send it requests on its standard input
    Node(Node),
}

/// Where the server is, and how long to wait for it.
#[derive(Args, Clone)]
pub struct Target {
    /// The server's host name or address
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,

    /// The server's port
    #[arg(short, long)]
    pub port: u16,

    /// Seconds without any progress after which what is outstanding counts as failed
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Duration,
}

/// When to stop sending.
#[derive(Args, Clone, Copy)]
pub struct Limits {
    /// Seconds to go on sending
    #[arg(short, long, default_value = "2", value_name = "SECONDS", value_parser = seconds)]
    pub duration: Duration,

    /// Stop after this many messages, if that comes first
    #[arg(short, long, value_name = "COUNT", default_value_t = u64::MAX, hide_default_value = true)]
    pub messages: u64,
}

/// What the event loop does while there is nothing to do.
#[derive(Args, Clone, Copy)]
pub struct Waiting {
    /// Poll without sleeping: the client's own wake-up no longer counts in the latency, and takes a whole core
    #[arg(long)]
    pub spin: bool,
}

/// Arguments of `closed`.
#[derive(Args)]
pub struct Closed {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub waiting: Waiting,
    /// Connections
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// Bytes a message
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub size: u64,
}

/// Arguments of `open`.
#[derive(Args)]
pub struct Open {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub waiting: Waiting,
    /// Connections, which take turns
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// Bytes a message
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub size: u64,
    /// Messages a second, over all connections
    #[arg(short, long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub rate: u32,
}

/// Arguments of `pipelined`.
#[derive(Args)]
pub struct Pipelined {
    #[command(flatten)]
    pub load: Closed,
    /// Messages of each connection under way at once
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub depth: u32,
}

/// Arguments of `bulk`.
#[derive(Args)]
pub struct Bulk {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub limits: Limits,
    /// Connections
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
}

/// Arguments of `churn`.
#[derive(Args)]
pub struct Churn {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub limits: Limits,
    /// Threads, each with one connection at a time
    #[arg(short, long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,
    /// Bytes a message
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub size: u64,
}

/// Arguments of `idle`.
#[derive(Args)]
pub struct Idle {
    #[command(flatten)]
    pub target: Target,
    /// Connections
    #[arg(short, long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// Seconds to hold them, from the line that says they are open
    #[arg(short, long, default_value = "2", value_name = "SECONDS", value_parser = seconds)]
    pub duration: Duration,
    /// Bytes of the two messages each connection echoes; 0 = none
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(0..=4096))]
    pub size: u64,
}

/// Arguments of `node`.
#[derive(Args)]
pub struct Node {
    /// The request to send
    #[arg(short, long, value_enum, default_value_t = Request::Stats)]
    pub request: Request,
    #[command(flatten)]
    pub limits: Limits,
    /// Requests under way at once
    #[arg(short, long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub window: u64,
    /// Characters of the data that `send` and `echo` carry
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub size: u64,
    /// The node's command and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// The requests a node can be asked.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Request {
    /// `tcp_echo_send`, after a `tcp_echo_start`
    Send,
    /// `tcp_echo_stats`, after a `tcp_echo_start`
    Stats,
    /// `echo`, the request of Maelstrom's own workload
    Echo,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
