//! The engine over real sockets, and what it decides by given values and a given clock. One module per behaviour.

#[path = "../support/mod.rs"]
mod support;

mod acceptor;
mod busy_poll;
mod client;
mod connection;
mod connections;
mod drain;
mod echo;
mod event_loop;
mod events;
mod exchange;
mod exhaustion;
mod failure;
mod faults;
mod limits;
mod listener;
mod log;
mod poller;
mod read_again;
mod sends;
mod stalls;
mod stop;
