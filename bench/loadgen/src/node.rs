//! Requests for a Maelstrom node on its standard input, with a window of several under way at once, and its replies checked.

use crate::cli::{Node, Request};
use crate::report::Tally;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// Enough for the replies that one `read` brings.
const BUFFER: usize = 64 * 1024;

const INIT: &str = r#"{"type":"init","msg_id":0,"node_id":"n1","node_ids":["n1"]}"#;
const START: &str = r#"{"type":"tcp_echo_start","msg_id":1,"port":0}"#;

/// The parts of a reply that are looked at.
#[derive(Deserialize)]
struct Reply {
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    in_reply_to: u64,
    echoed: Option<String>,
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

/// Carries it out. The node ends with its standard input.
pub fn run(args: &Node) -> io::Result<Value> {
    let (program, rest) = args.command.split_first().expect("clap asks for one");
    let mut child = Command::new(program).args(rest).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take().expect("piped");
    let stdout = BufReader::with_capacity(BUFFER, child.stdout.take().expect("piped"));
    let (under_way, tally) = (HashMap::new(), Tally::new());
    let report = Conversation { args, stdin, stdout, under_way, next_id: 2, tally }.hold();
    if report.is_err() {
        child.kill()?;
    }
    child.wait()?;
    report
}

impl Conversation<'_> {
    /// Names the node and starts its server, then keeps the window full until the end, and waits for what is under way.
    fn hold(mut self) -> io::Result<Value> {
        for body in [INIT, START] {
            self.stdin.write_all(line(body).as_bytes())?;
            if !self.reply()?.kind.ends_with("_ok") {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        let begin = Instant::now();
        self.ask(self.args.window)?;
        while !self.under_way.is_empty() {
            // One write for all requests that the replies read so far make room for.
            let mut answered = 0;
            while answered == 0 || self.stdout.buffer().contains(&b'\n') {
                self.check()?;
                answered += 1;
            }
            if begin.elapsed() < self.args.limits.duration {
                self.ask(answered)?;
            }
        }
        Ok(self.tally.report(self.args.size, begin.elapsed()))
    }

    /// Sends so many more requests, up to the most there may be.
    fn ask(&mut self, count: u64) -> io::Result<()> {
        let now = Instant::now();
        let end = (self.next_id + count).min(self.args.limits.messages.saturating_add(2));
        let ids = self.next_id..end;
        self.next_id = end;
        self.under_way.extend(ids.clone().map(|id| (id, now)));
        let requests: String = ids.map(|id| line(&body(self.args, id))).collect();
        self.stdin.write_all(requests.as_bytes())
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
        let Body { kind, in_reply_to: id, echoed, total_bytes } = self.reply()?;
        let Some(sent) = self.under_way.remove(&id) else { return Err(ErrorKind::InvalidData.into()) };
        let right = match self.args.request {
            Request::Send => kind == "tcp_echo_send_ok" && echoed == Some(data(self.args, id)),
            Request::Stats => kind == "tcp_echo_stats_ok" && total_bytes == Some(0),
        };
        self.tally.complete(sent.elapsed());
        if right { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
    }
}

fn line(body: &str) -> String {
    format!("{{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{body}}}\n")
}

fn body(args: &Node, id: u64) -> String {
    match args.request {
        Request::Send => format!(r#"{{"type":"tcp_echo_send","msg_id":{id},"data":"{}"}}"#, data(args, id)),
        Request::Stats => format!(r#"{{"type":"tcp_echo_stats","msg_id":{id}}}"#),
    }
}

/// The data of one request: its id, filled up on the left.
fn data(args: &Node, id: u64) -> String {
    let width = usize::try_from(args.size).expect("clap bounds it");
    format!("{id:x>width$}")
}
