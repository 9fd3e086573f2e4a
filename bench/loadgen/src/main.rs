//! A load generator for TCP echo servers which checks every byte.

mod churn;
mod cli;
mod connect;
mod connection;
mod idle;
mod load;
mod machine;
mod node;
mod pattern;
mod poll;
mod report;

use clap::Parser;
use cli::{Cli, Mode};
use load::{Pace, Plan};
use report::Report;
use std::io;
use std::process::ExitCode;

/// The size of bulk messages.
const BULK: u64 = 1 << 20;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok((report, clean)) => {
            print(&report, cli.json);
            if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("echo-loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> io::Result<(Report, bool)> {
    if let Some(core) = cli.cpu {
        machine::pin(core)?;
    }
    machine::sharpen_timers()?;
    match &cli.mode {
        Mode::Churn(args) => churn::run(args),
        Mode::Idle(args) => idle::run(args, cli.json),
        Mode::Node(args) => node::run(args),
        Mode::Closed(args) => load::run(&closed("closed", args, 1)),
        Mode::Pipelined(args) => load::run(&closed("pipelined", &args.load, args.depth)),
        Mode::Open(args) => load::run(&open(args)),
        Mode::Bulk(args) => load::run(&bulk(args)),
    }
}

fn closed(mode: &'static str, args: &cli::Closed, depth: u32) -> Plan {
    Plan {
        mode,
        target: args.target.clone(),
        limits: args.limits,
        connections: args.connections,
        size: args.size,
        pace: Pace::Window(depth),
        spin: args.waiting.spin,
    }
}

fn open(args: &cli::Open) -> Plan {
    Plan {
        mode: "open",
        target: args.target.clone(),
        limits: args.limits,
        connections: args.connections,
        size: args.size,
        pace: Pace::Rate(args.rate),
        spin: args.waiting.spin,
    }
}

fn bulk(args: &cli::Bulk) -> Plan {
    Plan {
        mode: "bulk",
        target: args.target.clone(),
        limits: args.limits,
        connections: args.connections,
        size: BULK,
        pace: Pace::Window(1),
        spin: false,
    }
}

fn print(report: &Report, json: bool) {
    if json {
        println!("{}", serde_json::to_string(report).expect("plain numbers"));
    } else {
        println!("{report}");
    }
}
