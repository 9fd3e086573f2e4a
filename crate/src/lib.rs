//! A TCP echo server (RFC 862) made of the system calls `socket`, `bind`, `listen`, `accept`, `read` and `write`.
//!
//! [`server::Server`] and [`client::Client`] are the ways in. An event goes from the loop to a table (connections, sends, lingering sockets), from
//! there to one connection or exchange, and from there to the system calls.
//!
//! This module is the binding: what JavaScript sees of the engine, as two classes, and nothing but that. Checks, errors and
//! promises are made in TypeScript, above it.

pub mod acceptor;
pub mod busy_poll;
pub mod client;
pub mod clock;
pub mod connection;
pub mod connections;
pub mod context;
pub mod drain;
pub mod error;
pub mod event_loop;
pub mod exchange;
pub mod faults;
pub mod lingering;
pub mod listener;
pub mod log;
pub mod mailbox;
pub mod poller;
pub mod read_again;
pub mod sends;
pub mod server;
pub mod shared;
mod syscalls;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroUsize;
use std::sync::mpsc::channel;
use std::time::Duration;

use napi::bindgen_prelude::{Buffer, BufferSlice, Either, Float64Array, Function, JsObjectValue};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;

use crate::client::Client;
use crate::connection::Cut;
use crate::error::Error;
use crate::faults::{Fate, Faults};
use crate::log::{Event, Kind, Reason};
use crate::sends::{Outgoing, Settled};
use crate::server::{Report, Server};
use crate::shared::{Config, Stats, default_threads};

/// What `start` is told. Times are in milliseconds.
#[napi(object)]
pub struct NativeOptions {
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
    /// How many I/O threads; 0 is [`default_threads`].
    pub threads: u32,
    /// Whether to tell of connections from the first one on.
    pub observed: bool,
    /// How connections misbehave from the first one on.
    pub faults: Option<NativeFaults>,
}

/// How connections misbehave. Times are in milliseconds; 0 is no limit.
#[napi(object)]
pub struct NativeFaults {
    /// The shortest delay of an echo.
    pub delay_from: u32,
    /// The longest one.
    pub delay_to: u32,
    /// Bytes per second.
    pub rate: i64,
    /// Bytes per write.
    pub chunk: u32,
    /// Resets after so many bytes.
    pub reset_after: Option<i64>,
    /// Ends after so many bytes.
    pub end_after: Option<i64>,
    /// Stalls after so many bytes.
    pub stall_after: Option<i64>,
    /// The part of the connections that is hit, from 0 to 1.
    pub share: f64,
    /// What the random delays follow from.
    pub seed: u32,
}

/// How long a send may take, in milliseconds.
#[napi(object)]
pub struct NativeTimes {
    /// In all.
    pub timeout: u32,
    /// For its echo, before our side is ended.
    pub half_close_after: u32,
}

/// A failed system call.
#[napi(object)]
pub struct NativeFailure {
    /// A negative number, as in `util.getSystemErrorName()`.
    pub errno: i32,
    /// The name of the call.
    pub syscall: String,
}

impl From<Error> for NativeFailure {
    fn from(error: Error) -> Self {
        Self { errno: -error.errno, syscall: error.syscall.to_owned() }
    }
}

impl From<NativeFaults> for Faults {
    fn from(faults: NativeFaults) -> Self {
        let milliseconds = |time: u32| Duration::from_millis(time.into());
        let NativeFaults { reset_after, end_after, stall_after, .. } = faults;
        let fates = [(reset_after, Fate::Reset), (end_after, Fate::End), (stall_after, Fate::Stall)];
        Self {
            delay: (milliseconds(faults.delay_from), milliseconds(faults.delay_to)),
            rate: faults.rate.unsigned_abs(),
            chunk: faults.chunk as usize,
            fate: fates.into_iter().find_map(|(after, fate)| after.map(|after| (after.unsigned_abs(), fate))),
            share: faults.share,
            seed: faults.seed.into(),
        }
    }
}

/// What came of a send.
#[napi(object, object_from_js = false)]
pub struct NativeOutcome {
    /// The id it was given.
    pub id: f64,
    /// What came back, also if it failed.
    pub received: Buffer,
    /// Why it failed, if it did.
    pub failure: Option<NativeFailure>,
}

/// What an engine tells.
#[napi(object, object_from_js = false)]
pub struct NativeReport {
    /// The sends that are over. If there are none, there are events to take.
    pub settled: Vec<NativeOutcome>,
    /// Whether the engine has ended.
    pub has_ended: bool,
    /// The message of the panic, if one ended it.
    pub failure: Option<String>,
}

impl From<Report> for NativeReport {
    fn from(report: Report) -> Self {
        let outcome = |Settled { id, result, partial }| {
            let (received, failure) = result.map_or_else(|error| (partial, Some(error.into())), |data| (data, None));
            NativeOutcome { id: number(id), received: received.into(), failure }
        };
        let (settled, has_ended, failure) = match report {
            Report::Settled(settled) => (settled.into_iter().map(outcome).collect(), false, None),
            Report::Events => (Vec::new(), false, None),
            Report::Ended(failure) => (Vec::new(), true, failure),
        };
        Self { settled, has_ended, failure }
    }
}

/// A server that listens, and what is left of it after its end.
#[napi]
pub struct NativeServer {
    server: Server,
}

/// Listens. Returns the server, or what failed.
///
/// `on_report` is held until the end, and with it whatever it refers to: a server that listens is not garbage. It does not
/// keep the process alive. Throws Node-API's own errors if the environment is shutting down.
#[napi(catch_unwind)]
#[allow(clippy::needless_pass_by_value, reason = "Node-API's values are made for the call")]
pub fn start(
    options: NativeOptions,
    on_report: Function<NativeReport, ()>,
) -> napi::Result<Either<NativeServer, NativeFailure>> {
    let config = Config {
        address: address(&options.host, options.port)?,
        backlog: options.backlog,
        max_connections: options.max_connections as usize,
        idle_timeout: Duration::from_millis(options.idle_timeout.into()),
        busy_poll: Duration::from_micros(options.busy_poll.into()),
        threads: NonZeroUsize::new(options.threads as usize).unwrap_or_else(default_threads),
        observed: options.observed,
        faults: options.faults.map(Faults::from),
    };
    let started = Server::start(&config, to_javascript(&on_report)?);
    Ok(started.map_or_else(|error| Either::B(error.into()), |server| Either::A(NativeServer { server })))
}

/// Starts a client, which is told nothing but reports of sends. Otherwise as [`start`].
#[napi(catch_unwind)]
#[allow(clippy::needless_pass_by_value, reason = "Node-API's values are made for the call")]
pub fn start_client(on_report: Function<NativeReport, ()>) -> napi::Result<Either<NativeClient, NativeFailure>> {
    let started = Client::start(to_javascript(&on_report)?);
    Ok(started.map_or_else(|error| Either::B(error.into()), |client| Either::A(NativeClient { client: Some(client) })))
}

/// Ends the process without waiting for any of its threads. Node.js's own way waits for those that resolve names, which
/// nothing can interrupt.
#[napi]
pub fn exit(code: i32) {
    syscalls::exit(code);
}

/// Calls a function on the thread of its environment, and does not keep the process alive.
fn to_javascript(on_report: &Function<NativeReport, ()>) -> napi::Result<impl Fn(Report) + Send + Sync + 'static> {
    // What Node-API itself was given it would not free when the environment ends before its turn.
    let (reports, waiting) = channel::<Report>();
    let on_report = on_report
        .build_threadsafe_function::<()>()
        .weak::<true>()
        .callee_handled::<false>()
        .build_callback(move |context| {
            let report = waiting.try_recv().map_err(|_| napi::Error::from_reason("a call without a report"))?;
            // Nor what is made for JavaScript while the environment ends; then nothing of it can be asked, either.
            let is_ending = context.env.get_global().and_then(|global| global.has_named_property("Buffer")).is_err();
            Ok(NativeReport::from(if is_ending { Report::Events } else { report }))
        })?;
    Ok(move |report| {
        // A refusal says that the environment is gone, and with it everyone who could be told.
        let _ = reports.send(report);
        on_report.call((), ThreadsafeFunctionCallMode::NonBlocking);
    })
}

fn address(host: &str, port: u16) -> napi::Result<SocketAddrV4> {
    let ip: Ipv4Addr = host.parse().map_err(|_| napi::Error::from_reason("host must be an IPv4 address"))?;
    Ok(SocketAddrV4::new(ip, port))
}

/// A client that sends to any server, until it is released or garbage-collected.
#[napi]
pub struct NativeClient {
    client: Option<Client>,
}

#[napi]
impl NativeClient {
    /// Begins a send. If the client has failed, nothing but its end is reported.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API's values are made for the call")]
    pub fn send(&self, id: i64, host: String, port: u16, data: &[u8], times: NativeTimes) -> napi::Result<()> {
        if let Some(client) = &self.client {
            let NativeTimes { timeout, half_close_after } = times;
            let [timeout, patience] = [timeout, half_close_after].map(|time| Duration::from_millis(time.into()));
            client.send(Outgoing::new(id.unsigned_abs(), address(&host, port)?, data.to_vec(), timeout, patience));
        }
        Ok(())
    }

    /// Gives up a send.
    #[napi(catch_unwind)]
    pub fn cancel(&self, id: i64) {
        if let Some(client) = &self.client {
            client.cancel(id.unsigned_abs());
        }
    }

    /// Ends the thread, and gives up the sends.
    #[napi(catch_unwind)]
    pub fn release(&mut self) {
        self.client = None;
    }
}

#[napi]
impl NativeServer {
    /// The port it is listening on.
    #[napi(getter, catch_unwind)]
    pub fn port(&self) -> u16 {
        self.server.address.port()
    }

    /// Begins a send; false if the server has ended.
    #[napi(catch_unwind)]
    pub fn send(&self, id: i64, data: &[u8], timeout: u32) -> bool {
        self.server.send(id.unsigned_abs(), data.to_vec(), Duration::from_millis(timeout.into()))
    }

    /// Gives up a send.
    #[napi(catch_unwind)]
    pub fn cancel(&self, id: i64) {
        self.server.cancel(id.unsigned_abs());
    }

    /// Turns events on or off for the connections that are accepted from now on.
    #[napi(catch_unwind)]
    pub fn set_observed(&self, is_observed: bool) {
        self.server.set_observed(is_observed);
    }

    /// The connections that are accepted from now on have these faults.
    #[napi(catch_unwind)]
    pub fn set_faults(&self, faults: Option<NativeFaults>) {
        self.server.set_faults(faults.map(Faults::from));
    }

    /// Takes the events that have come since the last time, seven numbers each: the kind; the id of the connection; its
    /// peer's address and port; and
    /// - 0, a connection: the thread and the slot it is in, 0;
    /// - 1, a drop: zeros;
    /// - 2, left out: their count stands for the id;
    /// - 3 and more, an end ([`Reason`]): the bytes echoed, the milliseconds it lasted, its errno or 0.
    #[napi(catch_unwind)]
    pub fn take_events(&self) -> Float64Array {
        let (events, missed) = self.server.take_events();
        let left_out = (missed > 0).then_some([2.0, number(missed), 0.0, 0.0, 0.0, 0.0, 0.0]);
        events.iter().map(to_row).chain(left_out).flatten().collect::<Vec<_>>().into()
    }

    /// Cuts a connection, with an end or with a reset. Nothing happens if it is over.
    #[napi(catch_unwind)]
    pub fn cut(&self, thread: u32, slot: u32, id: i64, reset: bool) {
        self.server.cut(thread as usize, slot as usize, id.unsigned_abs(), to_cut(reset));
    }

    /// Cuts all connections, and says how many they are.
    #[napi(catch_unwind)]
    pub fn cut_all(&self, reset: bool) -> f64 {
        number(self.server.cut_all(to_cut(reset)) as u64)
    }

    /// Begins to stop. The report with `true` says when it is over.
    #[napi(catch_unwind)]
    pub fn stop(&self, timeout: u32) {
        self.server.stop(Duration::from_millis(timeout.into()));
    }

    /// Gives back the thread and the descriptors of a server that has reported its end, without waiting for a garbage
    /// collection. Only `stats` is left.
    #[napi(catch_unwind)]
    pub fn release(&mut self) {
        self.server.release();
    }

    /// Writes the counters into the bytes of four 64-bit numbers: connections accepted, bytes echoed, connections open, connections
    /// turned away. To make an object takes longer than all the rest of a call.
    #[napi(catch_unwind)]
    pub fn stats(&self, mut row: BufferSlice<'_>) {
        let Stats { total_connections, total_bytes, active_connections, rejected_connections } = self.server.stats();
        let counters = [total_connections, total_bytes, active_connections, rejected_connections];
        for (place, counter) in row.chunks_exact_mut(8).zip(counters) {
            place.copy_from_slice(&number(counter).to_ne_bytes());
        }
    }
}

fn to_row(event: &Event) -> [f64; 7] {
    let (kind, a, b, errno) = match event.kind {
        Kind::Connected { thread, slot } => (0.0, number(thread as u64), number(slot as u64), 0),
        Kind::Dropped => (1.0, 0.0, 0.0, 0),
        Kind::Ended { reason, bytes, duration } => {
            let (kind, errno) = match reason {
                Reason::Peer => (3.0, 0),
                Reason::Reset => (4.0, 0),
                Reason::Idle => (5.0, 0),
                Reason::Stop => (6.0, 0),
                Reason::Closed => (7.0, 0),
                Reason::Fault => (8.0, 0),
                Reason::Error(errno) => (9.0, errno),
                Reason::Failed => (10.0, 0),
            };
            (kind, number(bytes), (duration.as_secs_f64() * 1e6).round() / 1e3, errno)
        }
    };
    let ip = u32::from(*event.peer.ip());
    [kind, number(event.id), ip.into(), event.peer.port().into(), a, b, errno.into()]
}

fn to_cut(reset: bool) -> Cut {
    if reset { Cut::Reset } else { Cut::Close }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53: as bytes, those are eleven days at 10 GB/s")]
fn number(count: u64) -> f64 {
    count as f64
}
