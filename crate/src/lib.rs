//! A TCP echo server (RFC 862) made of the system calls `socket`, `bind`, `listen`, `accept`, `read` and `write`.
//!
//! [`server::Server`] is the way in. An event goes from the loop to a table (connections, sends, lingering sockets), from
//! there to one connection or exchange, and from there to the system calls.
//!
//! This module is the binding: what JavaScript sees of the engine, as a class, and nothing but that. Checks, errors and
//! promises are made in TypeScript, above it.

pub mod acceptor;
pub mod busy_poll;
pub mod clock;
pub mod connection;
pub mod connections;
pub mod context;
pub mod error;
pub mod event_loop;
pub mod exchange;
pub mod lingering;
pub mod listener;
pub mod mailbox;
pub mod poller;
pub mod sends;
pub mod server;
pub mod shared;
mod syscalls;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroUsize;
use std::time::Duration;

use napi::bindgen_prelude::{Buffer, Either, FnArgs, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;

use crate::error::Error;
use crate::sends::Settled;
use crate::server::{Config, Event, Server};

/// What `start` is told. Times are in milliseconds.
#[napi(object)]
pub struct StartOptions {
    /// An IPv4 address.
    pub host: String,
    /// A TCP port, or 0 for a free one.
    pub port: u16,
    /// How many connections may wait to be accepted.
    pub backlog: i32,
    /// More connections are turned away.
    pub max_connections: u32,
    /// Idle connections are closed after this time; 0 is never.
    pub idle_timeout: u32,
    /// How long to poll before sleeping, in microseconds; 0 is off.
    pub busy_poll: u32,
    /// How many I/O threads.
    pub threads: u32,
}

/// A failed system call.
#[napi(object)]
pub struct Failure {
    /// A negative number, as in `util.getSystemErrorName()`.
    pub errno: i32,
    /// The name of the call.
    pub syscall: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { errno: -error.errno, syscall: error.syscall.to_owned() }
    }
}

/// What came of a send: the bytes that came back, or why there are none.
#[napi]
pub type Outcome = Either<Buffer, Failure>;

/// What a server has done since it started.
#[napi(object, object_from_js = false)]
pub struct Stats {
    /// Connections accepted.
    pub total_connections: f64,
    /// Bytes echoed.
    pub total_bytes: f64,
    /// Connections open now.
    pub active_connections: f64,
    /// Connections turned away.
    pub rejected_connections: f64,
}

/// A server that can be started and stopped, once.
#[napi]
#[derive(Default)]
pub struct NativeServer {
    server: Option<Server>,
}

#[napi]
impl NativeServer {
    /// A server that does not listen yet.
    #[napi(constructor, catch_unwind)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens, and returns the port, or what failed.
    ///
    /// `on_report` hears of sends that are over, each with its id and what came back, or why nothing did; with `true`
    /// of the server's end. It is held until then, and with it whatever it refers to: a server that listens is not
    /// garbage. It does not keep the process alive. Throws Node-API's own errors if the environment is shutting down.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API's values are made for the call")]
    #[allow(clippy::type_complexity, reason = "TypeScript's declarations know no aliases of tuples")]
    pub fn start(
        &mut self,
        options: StartOptions,
        on_report: Function<FnArgs<(Vec<(f64, Outcome)>, bool)>, ()>,
    ) -> napi::Result<Either<u16, Failure>> {
        let Ok(ip) = options.host.parse::<Ipv4Addr>() else {
            return Ok(Either::B(Error { errno: libc::EINVAL, syscall: "bind" }.into()));
        };
        let config = Config {
            address: SocketAddrV4::new(ip, options.port),
            backlog: options.backlog,
            max_connections: options.max_connections as usize,
            idle_timeout: Duration::from_millis(options.idle_timeout.into()),
            busy_poll: Duration::from_micros(options.busy_poll.into()),
            threads: NonZeroUsize::new(options.threads as usize).unwrap_or(NonZeroUsize::MIN),
        };
        let report = on_report
            .build_threadsafe_function::<Event>()
            .weak::<true>()
            .callee_handled::<false>()
            .build_callback(|context| Ok(FnArgs::from(to_report(context.value))))?;
        let started = Server::start(&config, move |event| {
            // A refusal says that the environment is gone, and with it everyone who could be told.
            report.call(event, ThreadsafeFunctionCallMode::NonBlocking);
        });
        Ok(match started {
            Ok(server) => {
                let port = server.address().port();
                self.server = Some(server);
                Either::A(port)
            }
            Err(error) => Either::B(error.into()),
        })
    }

    /// Begins a send; false if the server has ended.
    #[napi(catch_unwind)]
    pub fn send(&self, id: i64, data: &[u8], timeout: u32) -> bool {
        let timeout = Duration::from_millis(timeout.into());
        self.server.as_ref().is_some_and(|server| server.send(id.unsigned_abs(), data.to_vec(), timeout))
    }

    /// Gives up a send.
    #[napi(catch_unwind)]
    pub fn cancel(&self, id: i64) {
        if let Some(server) = &self.server {
            server.cancel(id.unsigned_abs());
        }
    }

    /// Begins to stop. The report with `true` says when it is over.
    #[napi(catch_unwind)]
    pub fn stop(&self, timeout: u32) {
        if let Some(server) = &self.server {
            server.stop(Duration::from_millis(timeout.into()));
        }
    }

    /// Gives back the thread and the descriptors of a server that has reported its end, without waiting for a garbage
    /// collection. Only `stats` is left.
    #[napi(catch_unwind)]
    pub fn release(&mut self) {
        if let Some(server) = &mut self.server {
            server.release();
        }
    }

    /// The counters, before the start all zero. Throws the message of the panic that ended the server.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> napi::Result<Stats> {
        let stats = self.server.as_ref().map_or_else(|| Ok(crate::shared::Stats::default()), Server::stats);
        // 2^53 bytes are eleven days at 10 GB/s; a JavaScript number is exact up to there.
        #[expect(clippy::cast_precision_loss)]
        stats.map_err(napi::Error::from_reason).map(|stats| Stats {
            total_connections: stats.total_connections as f64,
            total_bytes: stats.total_bytes as f64,
            active_connections: stats.active_connections as f64,
            rejected_connections: stats.rejected_connections as f64,
        })
    }
}

fn to_report(event: Event) -> (Vec<(f64, Outcome)>, bool) {
    let Event::Settled(settled) = event else { return (Vec::new(), true) };
    let outcome = |send: Settled| {
        // Ids are counted up from 0 in JavaScript: they came from there, and fit.
        #[expect(clippy::cast_precision_loss)]
        (send.id as f64, send.result.map_or_else(|error| Either::B(error.into()), |data| Either::A(data.into())))
    };
    (settled.into_iter().map(outcome).collect(), false)
}
