//! The command line: one subcommand per kind of load.

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use std::net::IpAddr;
use std::time::Duration;

/// Loads a TCP echo server and checks every byte that comes back.
///
/// Prints one JSON object. Exits with 1 if a byte was wrong, a connection died or an answer never came.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
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
    /// Each connection sends its next message when the answer to an earlier one is complete
    Closed {
        /// The load
        #[command(flatten)]
        load: Load,
        /// Messages under way at once, per connection
        #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=65_536))]
        depth: u32,
    },
    /// Messages leave at a fixed rate whatever the server does; latency counts from the intended time of sending
    Open {
        /// The load
        #[command(flatten)]
        load: Load,
        /// Messages per second, over all connections, which take turns
        #[arg(short, long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=10_000_000))]
        rate: u32,
    },
    /// Connect, echo one message, half-close, read to the end, close; over and over, in a thread per connection
    Churn(Load),
    /// Each connection has a thread, which sends its next message when the answer is complete
    Crowd(Load),
    /// Connections that are idle; each echoes one message at the beginning and one at the end
    Idle(Load),
    /// Start a Maelstrom node, and send it requests on its standard input
    Node(Node),
}

/// What to send where.
#[derive(Args)]
pub struct Load {
    /// The server's IP address
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// The server's port
    #[arg(short, long)]
    pub port: u16,
    /// Seconds without progress after which unanswered messages count as failed
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Duration,
    /// When to stop
    #[command(flatten)]
    pub limits: Limits,
    /// Connections
    #[arg(short, long, default_value_t = 1, value_parser = value_parser!(u32).range(1..))]
    pub connections: u32,
    /// Bytes per message
    #[arg(short, long, default_value_t = 64, value_parser = value_parser!(u64).range(1..=1 << 30))]
    pub size: u64,
}

/// When to stop.
#[derive(Args, Clone, Copy)]
pub struct Limits {
    /// Seconds to go on sending, or to hold idle connections
    #[arg(short, long, default_value = "2", value_name = "SECONDS", value_parser = seconds)]
    pub duration: Duration,
    /// Stop after this many messages, if that comes first
    #[arg(short, long, value_name = "COUNT", default_value_t = u64::MAX, hide_default_value = true)]
    pub messages: u64,
}

/// What to ask which node.
#[derive(Args)]
pub struct Node {
    /// The request to send
    #[arg(short, long, value_enum, default_value_t = Request::Stats)]
    pub request: Request,
    /// When to stop
    #[command(flatten)]
    pub limits: Limits,
    /// Requests under way at once
    #[arg(short, long, default_value_t = 128, value_parser = value_parser!(u64).range(1..=256))]
    pub window: u64,
    /// Characters of the data that `send` carries
    #[arg(short, long, default_value_t = 64, value_parser = value_parser!(u64).range(1..=64))]
    pub size: u64,
    /// The node's command and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// The requests a node can be asked, after a `tcp_echo_start`.
#[derive(Clone, Copy, ValueEnum)]
pub enum Request {
    /// `tcp_echo_send`
    Send,
    /// `tcp_echo_stats`
    Stats,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
