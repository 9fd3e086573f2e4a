//! A load generator for TCP echo servers which checks every byte.

mod blocking;
mod cli;
mod connection;
mod load;
mod machine;
mod node;
mod pattern;
mod poll;
mod report;

use clap::Parser;
use cli::{Cli, Mode};
use load::Pace;
use serde_json::Value;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("echo-loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> io::Result<Value> {
    if let Some(core) = cli.cpu {
        machine::pin(core)?;
    }
    machine::sharpen_timers()?;
    machine::raise_descriptor_limit()?;
    match &cli.mode {
        Mode::Closed { load, depth } => load::run(load, Pace::Window(*depth)),
        Mode::Open { load, rate } => load::run(load, Pace::Rate(*rate)),
        Mode::Churn(load) => blocking::churn(load),
        Mode::Crowd(load) => blocking::crowd(load),
        Mode::Idle(load) => blocking::idle(load),
        Mode::Node(node) => node::run(node),
    }
}
