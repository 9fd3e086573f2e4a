//! Requests for a Maelstrom node on its standard input, so many under way at once, and its replies checked.

use crate::cli::{Node, Request};
use crate::report::{Report, Tally};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Room for the replies that one `read` brings.
const BUFFER: usize = 64 * 1024;

/// The parts of a reply that are looked at.
#[derive(Deserialize)]
struct Reply {
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    in_reply_to: Option<u64>,
    echoed: Option<String>,
    echo: Option<String>,
    total_bytes: Option<u64>,
}

/// A node and what it has been asked.
struct Conversation<'a> {
    args: &'a Node,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// Message ids under way, and when they were sent
    under_way: HashMap<u64, Instant>,
    next_id: u64,
    tally: Tally,
}

/// Carries it out, and ends the node by closing its standard input.
pub fn run(args: &Node) -> io::Result<(Report, bool)> {
    let (program, rest) = args.command.split_first().expect("clap asks for one");
    let mut child = Command::new(program).args(rest).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let outcome = converse(args, &mut child);
    if outcome.is_err() {
        child.kill()?;
    }
    child.wait()?;
    outcome
}

fn converse(args: &Node, child: &mut Child) -> io::Result<(Report, bool)> {
    let stdin = child.stdin.take().expect("piped");
    let stdout = BufReader::with_capacity(BUFFER, child.stdout.take().expect("piped"));
    let (under_way, tally) = (HashMap::new(), Tally::new());
    let mut conversation = Conversation { args, stdin, stdout, under_way, next_id: 2, tally };
    conversation.introduce()?;
    let begin = Instant::now();
    conversation.go_on(begin)?;
    let Conversation { tally, .. } = conversation;
    let window = u32::try_from(args.window).expect("clap bounds it");
    Ok((tally.report(mode(args.request), window, args.size, begin.elapsed()), tally.is_clean()))
}

fn mode(request: Request) -> &'static str {
    match request {
        Request::Send => "tcp_echo_send",
        Request::Stats => "tcp_echo_stats",
        Request::Echo => "echo",
    }
}

impl Conversation<'_> {
    /// Says which node it is and, where the requests need it, starts its server.
    fn introduce(&mut self) -> io::Result<()> {
        self.ask(r#"{"src":"c0","dest":"n1","body":{"type":"init","msg_id":0,"node_id":"n1","node_ids":["n1"]}}"#)?;
        if self.args.request != Request::Echo {
            self.ask(r#"{"src":"c0","dest":"n1","body":{"type":"tcp_echo_start","msg_id":1,"port":0}}"#)?;
        }
        Ok(())
    }

    fn ask(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.stdin, "{line}")?;
        let reply = self.reply()?;
        if reply.kind.ends_with("_ok") { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
    }

    /// Keeps the window full until the end, then waits for what is under way.
    fn go_on(&mut self, begin: Instant) -> io::Result<()> {
        let mut requests = Vec::new();
        self.fill(&mut requests, self.args.window);
        self.stdin.write_all(&requests)?;
        while !self.under_way.is_empty() {
            requests.clear();
            // All replies that are here already make room together: one write for them all.
            let mut room = 0;
            while room == 0 || self.stdout.buffer().contains(&b'\n') {
                self.check()?;
                room += 1;
            }
            let over = begin.elapsed() >= self.args.limits.duration;
            self.fill(&mut requests, if over { 0 } else { room });
            self.stdin.write_all(&requests)?;
        }
        Ok(())
    }

    fn fill(&mut self, requests: &mut Vec<u8>, count: u64) {
        let now = Instant::now();
        for _ in 0..count {
            if self.next_id - 2 >= self.args.limits.messages {
                break;
            }
            let body = body(self.args.request, self.next_id, self.args.size);
            let line = format!("{{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{body}}}\n");
            requests.extend_from_slice(line.as_bytes());
            self.under_way.insert(self.next_id, now);
            self.next_id += 1;
        }
    }

    fn reply(&mut self) -> io::Result<Body> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str::<Reply>(&line)?.body)
    }

    /// Reads one reply, and compares it with what was asked.
    fn check(&mut self) -> io::Result<()> {
        let reply = self.reply()?;
        let id = reply.in_reply_to.unwrap_or(0);
        let Some(sent) = self.under_way.remove(&id) else { return Err(ErrorKind::InvalidData.into()) };
        let right = match self.args.request {
            Request::Send => reply.kind == "tcp_echo_send_ok" && reply.echoed == Some(data(id, self.args.size)),
            Request::Echo => reply.kind == "echo_ok" && reply.echo == Some(data(id, self.args.size)),
            Request::Stats => reply.kind == "tcp_echo_stats_ok" && reply.total_bytes == Some(0),
        };
        if right {
            self.tally.complete(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
        } else {
            self.tally.mismatches += 1;
        }
        Ok(())
    }
}

fn body(request: Request, id: u64, size: u64) -> String {
    match request {
        Request::Send => format!(r#"{{"type":"tcp_echo_send","msg_id":{id},"data":"{}"}}"#, data(id, size)),
        Request::Echo => format!(r#"{{"type":"echo","msg_id":{id},"echo":"{}"}}"#, data(id, size)),
        Request::Stats => format!(r#"{{"type":"tcp_echo_stats","msg_id":{id}}}"#),
    }
}

/// The data of one request: its id, filled up on the left.
fn data(id: u64, size: u64) -> String {
    let width = usize::try_from(size).expect("clap bounds it");
    format!("{id:x>width$}")
}
