//! Faults of the machine, on the program itself: system calls that fail, memory and descriptors
//! that run out, clocks that jump, a process that is stopped. Each is real, or strace makes the
//! system call fail as the kernel would.
//!
//! A test whose tool is not there, or not allowed, is skipped.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::program::{
    Client, HEALTH, Program, can, eventually, hear, hear_of, pass, say, stream_of,
};
use hallway::limits::Limits;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use testkit::client::{V2, chat, handshake, masked};
use testkit::{Driver, skip};
use tungstenite::error::ProtocolError;
use tungstenite::{Error, Message};

const BINARY: &str = env!("CARGO_BIN_EXE_hallway");

/// A file of one test, gone after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("hallway-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

// --- system calls that fail

/// The program, in which `call`, or each of several with commas between, fails with `error` from
/// its `first` time on, every fifth time. strace is its child (-D), so that signals and /proc find
/// the program.
fn failing(call: &str, error: &str, first: u32, trace: &Path) -> Program {
    let mut command = Command::new("strace");
    command.args(["-D", "-o"]).arg(trace).args(["-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={call}:error={error}:when={first}+5"), BINARY]);
    Program::spawn(command, "127.0.0.1:0", &["--history", "1000"])
}

/// A member who comes back when its connection is lost, and checks that no message is.
struct Persistent<'a> {
    program: &'a Program,
    name: &'static str,
    client: Option<Client>,
    /// Messages heard on this connection; its replay begins with the first of all.
    heard: usize,
    losses: usize,
}

impl<'a> Persistent<'a> {
    fn new(program: &'a Program, name: &'static str) -> Self {
        Self { program, name, client: None, heard: 0, losses: 0 }
    }

    /// Does `act` with a connection, with another one where it is lost, until that succeeds.
    fn insist(&mut self, act: impl Fn(&mut Self) -> Result<(), Error>) {
        eventually("it succeeds", || match self.come_back().and_then(|()| act(self)) {
            Ok(()) => true,
            Err(error) => {
                assert!(is_loss(&error), "{}: {error}", self.name);
                self.losses += 1;
                self.client = None;
                false
            }
        });
    }

    /// Joins, if it is not a member, and hears the replay.
    fn come_back(&mut self) -> Result<(), Error> {
        if self.client.is_some() {
            return Ok(());
        }
        self.heard = 0;
        self.client = Some(self.program.try_join(self.name)?);
        let joined = format!("{} joined", self.name);
        while !self.hear()?.contains(&joined) {}
        Ok(())
    }

    /// The next text; a message must be the one after the last.
    fn hear(&mut self) -> Result<String, Error> {
        let client = self.client.as_mut().expect("a connection");
        let text = client.read()?.into_text().expect("text").to_string();
        if text.starts_with(r#"{"type":"chatMessage""#) {
            let expected = format!(r#""message":"m{}""#, self.heard);
            assert!(text.contains(&expected), "{} is to hear {expected}: {text}", self.name);
            self.heard += 1;
        }
        Ok(text)
    }

    fn hear_up_to(&mut self, number: usize) {
        self.insist(|member| {
            while member.heard <= number {
                member.hear()?;
            }
            Ok(())
        });
    }

    /// Says it until it is heard. Where the connection is lost after it was said, the replay tells
    /// whether it has arrived.
    fn say(&mut self, number: usize) {
        self.insist(|member| {
            if member.heard <= number {
                let json =
                    format!(r#"{{"type":"chatMessage","payload":{{"message":"m{number}"}}}}"#);
                member.client.as_mut().expect("a connection").send(Message::text(json))?;
            }
            while member.heard <= number {
                member.hear()?;
            }
            Ok(())
        });
    }

    fn leave(&mut self) {
        if let Some(mut client) = self.client.take() {
            let _ = client.close(None);
            while client.read().is_ok() {}
        }
    }
}

/// Whether a connection was lost or not had, rather than a stream corrupted or a message missed.
fn is_loss(error: &Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error {
        Error::Io(error) => matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof),
        Error::Protocol(error) => matches!(
            error,
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete
        ),
        Error::ConnectionClosed | Error::Http(_) => true,
        _ => false,
    }
}

/// Two people chat while a call fails again and again; how often they have lost a connection.
fn chat_through(call: &str, error: &str, first: u32) -> usize {
    let trace = Scratch::new(&format!("{call}-{error}"));
    let mut program = failing(call, error, first, &trace.0);
    let mut listener = Persistent::new(&program, "listener");
    let mut speaker = Persistent::new(&program, "speaker");
    for number in 0..20 {
        listener.insist(|_| Ok(()));
        speaker.say(number);
        listener.hear_up_to(number);
        speaker.leave();
    }
    let losses = listener.losses + speaker.losses;
    eventually("it is asked how it is", || program.ask(HEALTH).starts_with("HTTP/1.1 200 "));
    program.signal("-KILL");
    assert_eq!(program.wait().signal(), Some(9), "{call} {error}: it has not ended before");
    eventually("the call has failed at least three times", || {
        let trace = fs::read_to_string(&trace.0).unwrap_or_default();
        trace.matches("(INJECTED)").count() >= 3
    });
    losses
}

/// One server for each fault, all at once: most of the time they wait.
fn chat_through_each(faults: &[(&str, u32, &[&str])], judge: impl Fn(&str, &str, usize) + Sync) {
    if !can("strace", Command::new("strace").args(["-o", "/dev/null", "true"])) {
        return;
    }
    thread::scope(|scope| {
        for &(call, first, errors) in faults {
            for error in errors {
                let judge = &judge;
                scope.spawn(move || judge(call, error, chat_through(call, error, first)));
            }
        }
    });
}

#[test]
fn a_call_that_fails_costs_no_more_than_its_connection() {
    let faults: &[(&str, u32, &[&str])] = &[
        ("writev,sendto", 3, &["ENOBUFS", "ENOMEM", "EPIPE", "ECONNRESET", "ETIMEDOUT"]),
        ("recvfrom", 3, &["ENOBUFS", "ENOMEM", "ECONNRESET", "ETIMEDOUT"]),
        // The first few are those of the listener and the signals.
        ("epoll_ctl", 6, &["ENOMEM", "ENOSPC"]),
        ("accept4", 1, &["EMFILE", "ENFILE"]),
    ];
    chat_through_each(faults, |call, error, losses| {
        println!("{call} {error}: {losses} connections lost");
        // Linux looks for a descriptor first: some of these meet no connection at all.
        assert!(losses > 0 || call == "accept4", "{call} {error}: nobody has noticed");
    });
}

#[test]
fn a_call_that_fails_beside_the_stream_costs_nothing() {
    let faults: &[(&str, u32, &[&str])] = &[
        ("writev,sendto", 1, &["EINTR"]),
        ("recvfrom", 1, &["EINTR"]),
        ("epoll_wait", 1, &["EINTR"]),
        ("accept4", 1, &["EINTR", "ECONNABORTED", "ENOBUFS", "ENOMEM"]),
        // The first few are those of the listener.
        ("setsockopt", 5, &["ENOBUFS"]),
        ("shutdown", 1, &["ENOTCONN"]),
    ];
    chat_through_each(faults, |call, error, losses| {
        assert_eq!(losses, 0, "{call} {error}");
    });
}

// --- what runs out

#[test]
fn too_few_descriptors_to_start_with_are_one_clear_line() {
    let script = "ulimit -n 24; exec \"$0\" --listen 127.0.0.1:0";
    let output = Command::new("sh").args(["-c", script, BINARY]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("24 file descriptors") && said.contains("ulimit -n"), "{said}");
}

/// Lets a process have so much more address space than it has.
fn limit_memory(program: &Program, more_kib: u64) {
    let pid = i32::try_from(program.pid()).ok().and_then(Pid::from_raw).expect("a process");
    let bytes = (program.status("VmSize") + more_kib) * 1024;
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    prlimit(Some(pid), Resource::As, limit).expect("a child's limit can be set");
}

/// The next chat message.
fn next_message(client: &mut Client) -> Result<String, Error> {
    loop {
        let text = client.read()?.into_text()?.to_string();
        if text.starts_with(r#"{"type":"chatMessage""#) {
            return Ok(text);
        }
    }
}

#[test]
fn out_of_memory_it_says_so_and_ends_and_has_corrupted_nothing() {
    let mut program = Program::start(&["--rate", "0", "--history", "10000"]);
    let mut speaker = Persistent::new(&program, "speaker");
    speaker.insist(|_| Ok(()));
    limit_memory(&program, 4 * 1024);
    let mut client = speaker.client.take().expect("a member");
    let filler = "x".repeat(4000);
    // The history of the room is what grows; the bound is what was asked for with --history.
    let mut heard = 0;
    let error = loop {
        let message = format!("{heard}-{filler}");
        let json = format!(r#"{{"type":"chatMessage","payload":{{"message":"{message}"}}}}"#);
        match client.send(Message::text(json)).and_then(|()| next_message(&mut client)) {
            Ok(text) => {
                assert!(text.contains(&format!("\"{message}\"")), "whole, in order: {text}");
            }
            Err(error) => break error,
        }
        heard += 1;
        assert!(heard < 10_000, "4 MiB do not hold 40 MB");
    };
    assert!(is_loss(&error), "the stream ends, and nothing wrong comes before: {error}");
    assert!(heard > 100, "{heard} messages");
    assert_eq!(program.wait().signal(), Some(6), "SIGABRT, and no other end is one");
    let last = program.logged("memory allocation of ");
    assert!(last.ends_with(" bytes failed"), "{last}");
}

// --- signals

#[test]
fn a_pipe_that_nobody_reads_ends_nothing() {
    let mut child = Command::new(BINARY)
        .args(["--listen", "127.0.0.1:0", "--log", "debug"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("addr=") {
        line.clear();
        log.read_line(&mut line).expect("a line");
    }
    let address = line.split("addr=").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.expect("an address").to_owned();
    drop(log);
    let kill = |signal: &str| Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(kill("-PIPE").expect("a signal").success());
    // Each of these is a log line that goes nowhere.
    for _ in 0..3 {
        let url = format!("ws://{address}/chat");
        let (mut client, _) = tungstenite::connect(url).expect("it serves");
        say(&mut client, "still there?");
        hear_of(&mut client, "still there?");
        // Reset: what is written to it next must not be a SIGPIPE.
        rustix::net::sockopt::set_socket_linger(stream_of(&client), Some(Duration::ZERO))
            .expect("an option");
    }
    assert!(kill("-TERM").expect("a signal").success());
    assert!(child.wait().expect("an end").success());
}

/// How long the server is stopped, in seconds: far longer than a silent peer is given.
const STOP_SECONDS: u64 = 4;

/// Another number of seconds, by command: STOP_SECONDS=60 cargo test --test faults stop
const STOP_VARIABLE: &str = "STOP_SECONDS";

#[test]
fn a_stop_counts_for_nobody() {
    let asked = std::env::var(STOP_VARIABLE).ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(asked.unwrap_or(STOP_SECONDS));
    let program = Program::start(&["--ping", "1s"]);
    let mut clients = [program.join("alice"), program.join("bob")];
    hear_of(&mut clients[0], r#""count":2"#);
    hear_of(&mut clients[1], r#""count":2"#);
    let mut half_asked = program.connect();
    half_asked.write_all(b"GET /health HTTP/1.1\r\n").expect("it is sent");

    program.signal("-STOP");
    eventually("it is stopped", || program.state() == "T");
    say(&mut clients[0], "are you there?");
    // What counts is that time goes by, in which nobody can be heard.
    pass(time);
    program.signal("-CONT");
    program.logged("was stopped");

    half_asked.write_all(b"Host: box\r\n\r\n").expect("it is sent");
    let mut status = [0; "HTTP/1.1 200".len()];
    half_asked.read_exact(&mut status).expect("an answer");
    assert_eq!(status, *b"HTTP/1.1 200", "its ten seconds are not over");
    for client in &mut clients {
        assert!(hear(client).contains("are you there?"), "once, and nobody has left");
    }
    say(&mut clients[1], "here I am");
    for client in &mut clients {
        assert!(hear(client).contains("here I am"));
    }
}

// --- clocks that jump

/// All that two members of version 2 and one of version 1 are told in two minutes of
/// chat, silence and pings, while the wall clock is moved by `jumps`, one each second.
fn two_minutes(jumps: impl Fn(u64) -> i64) -> Vec<String> {
    let mut driver = Driver::new(Limits::default());
    let ids = [("p1", V2), ("p2", V2), ("p3", "")]
        .map(|(name, fields)| driver.ask(&format!("username={name}"), fields));
    driver.settle();
    let start_ms = driver.now.mono_ms;
    for second in 0..120 {
        driver.now.unix_ms += jumps(second);
        driver.at(start_ms + second * 1_000);
        if second % 7 == 0 {
            driver.deliver(ids[0], &chat(&format!("second {second}")));
        }
        // The second answers pings, the third has gone silent.
        driver.deliver(ids[1], &masked(0x8a, b""));
    }
    ids.map(|id| driver.text(id)).into()
}

/// A text without what people read of the wall clock.
fn timeless(text: &str) -> String {
    let mut parts = text.split(r#""time":""#);
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.map(|part| part.split_once('"').expect("an end").1).collect::<String>()
}

#[test]
fn a_wall_clock_that_jumps_changes_only_what_people_read() {
    let steady = two_minutes(|_| 0);
    let year = 365 * 86_400_000;
    for jumps in [
        |_| 30 * 365 * 86_400_000,
        |_| -365 * 86_400_000,
        |second| if second % 2 == 0 { 3_600_000 } else { -7_200_000 },
        |second| if second == 40 { i64::MAX / 2 } else { 0 },
    ] {
        let jumping = two_minutes(jumps);
        for (jumped, stayed) in jumping.iter().zip(&steady) {
            assert_eq!(timeless(jumped), timeless(stayed));
        }
    }
    assert_ne!(two_minutes(|second| if second == 3 { year } else { 0 }), steady, "they read it");
    assert!(steady[1].contains("p3") && steady[1].contains("userLeft"), "the silent one has left");
}

/// Reads up to these words, of whatever bytes.
fn read_up_to(stream: &mut TcpStream, words: &str) -> String {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(words) {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("more to read");
        bytes.push(byte[0]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_real_clock_that_is_put_forward_and_back_ends_nobodys_visit() {
    let Some(library) = faketime() else { return };
    let clock = Scratch::new("clock");
    fs::write(&clock.0, "+0").expect("a file");
    let mut command = Command::new(BINARY);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock.0);
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let program = Program::spawn(command, "127.0.0.1:0", &["--ping", "1s"]);

    let mut watch = program.connect();
    watch.write_all(handshake("username=watch", V2).as_bytes()).expect("a request");
    read_up_to(&mut watch, "welcome");
    let mut alice = program.join("alice");
    let mut first_year = None;
    for (offset, years) in [("+0", 0..2), ("+4000d", 10..13), ("-15000d", -42..-40), ("+0", 0..2)] {
        fs::write(&clock.0, offset).expect("a file");
        // Longer than a silent peer is given.
        for _ in 0..30 {
            say(&mut alice, "what time is it?");
            hear_of(&mut alice, "what time is it?");
            read_up_to(&mut watch, r#""time":""#);
            let year = read_up_to(&mut watch, "-");
            let year: i32 = year.trim_end_matches('-').parse().expect("a year");
            let moved = year - *first_year.get_or_insert(year);
            assert!(years.contains(&moved), "{offset} is {year}");
            watch.write_all(&masked(0x8a, b"")).expect("it is sent");
            pass(Duration::from_millis(100));
        }
    }
    // Whoever is silent still has to go.
    let mut silent = program.connect();
    silent.write_all(handshake("username=silent", "").as_bytes()).expect("a request");
    fs::write(&clock.0, "-4000d").expect("a file");
    silent.read_to_end(&mut Vec::new()).expect("an end within the patience of a test");
}

/// Where Debian's faketime keeps its library; if it is not there, the test is skipped.
fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let mut candidates = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    let found = candidates.find(|library| library.exists());
    if found.is_none() {
        skip("Debian's faketime is not installed");
    }
    found
}
