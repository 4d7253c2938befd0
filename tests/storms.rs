//! Storms of connections and floods of messages, on real sockets; others must notice nothing.

mod common;

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::program::{
    Client, HEALTH, PATIENCE, Program, can, eventually, finish, hear, hear_of, read_all, say,
    stream_of,
};
use hallway::limits::{ACCEPTS_PER_ITERATION, DESCRIPTORS_RESERVED, REFUSALS_MAX};
use hallway::process::raise_descriptor_limit;
use rustix::net::sockopt::set_socket_linger;
use testkit::client::{handshake, masked};
use testkit::skip;
use tungstenite::Message;

/// Whether this process may have so many descriptors; the server gets as many. If not, the test
/// that needs them is skipped.
fn can_have(descriptors: u64) -> bool {
    let is_able = raise_descriptor_limit().is_none_or(|all| all >= descriptors);
    if !is_able {
        skip(&format!("{descriptors} descriptors are not allowed"));
    }
    is_able
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// A connection that has asked for a room and not read the answer.
fn ask_for(address: SocketAddr, room: impl Display) -> TcpStream {
    let mut stream = connect(address);
    let _ = stream.write_all(handshake(&format!("room={room}"), "").as_bytes());
    stream
}

/// The first line of the answer, in which everything is decided; empty where there is none.
fn status(stream: &mut TcpStream) -> String {
    let mut bytes = [0; "HTTP/1.1 101".len()];
    match stream.read_exact(&mut bytes) {
        Ok(()) => String::from_utf8_lossy(&bytes["HTTP/1.1 ".len()..]).into_owned(),
        Err(_) => String::new(),
    }
}

// --- who is let in

#[test]
fn a_storm_meets_a_full_server_and_all_but_so_many_are_told() {
    for (options, refusal) in
        [(["--max-peers", "20"], "503"), (["--max-peers-per-ip", "20"], "429")]
    {
        let program = Program::start(&options);
        let mut storm: Vec<_> = (0..200).map(|_| ask_for(program.address, "storm")).collect();
        let statuses: Vec<_> = storm.iter_mut().map(status).collect();
        let count = |status: &str| statuses.iter().filter(|each| *each == status).count();
        // Beyond the slots for refusals the answer can be overtaken by a reset.
        assert_eq!((count("101"), count("101") + count(refusal) + count("")), (20, 200));
        assert!(count(refusal) >= 8, "{statuses:?}");
        let refused = statuses.iter().position(|each| each == refusal).expect("a refusal");
        let rest = read_all(&mut storm[refused]);
        assert_eq!(rest.contains("\r\nRetry-After: 5\r\n"), refusal == "503", "{rest}");

        drop(storm);
        eventually("there are slots again", || {
            status(&mut ask_for(program.address, "den")) == "101"
        });
    }
}

#[test]
fn who_asks_too_slowly_is_evicted_for_who_comes() {
    let program = Program::start(&["--max-peers", "4"]);
    let mut alice = program.join("alice");
    let mut slow: Vec<_> = (0..30).map(|_| connect(program.address)).collect();
    for stream in &mut slow {
        // Those beyond the last slot have been turned away already.
        let _ = stream.write_all(b"GET /chat HTTP/1.1\r\n");
    }
    eventually("somebody gives way", || status(&mut ask_for(program.address, "den")) == "101");
    assert_eq!(read_all(&mut slow[0]), "", "the oldest, without a word");
    say(&mut alice, "who was that?");
    hear_of(&mut alice, "who was that?");
    let descriptors_max = 4 + u64::from(REFUSALS_MAX) + DESCRIPTORS_RESERVED;
    assert!(program.descriptors() as u64 <= descriptors_max, "slots are taken, not added");
}

#[test]
fn one_iteration_takes_in_so_many_and_the_next_the_rest() {
    if !can("strace", Command::new("strace").args(["-o", "/dev/null", "true"])) || !can_have(1024) {
        return;
    }
    let trace = std::env::temp_dir().join(format!("hallway-{}-accepts", std::process::id()));
    let mut command = Command::new("strace");
    command.args(["-D", "-e", "trace=accept4,epoll_wait", "-o"]).arg(&trace);
    command.arg(env!("CARGO_BIN_EXE_hallway"));
    let mut program = Program::spawn(command, "127.0.0.1:0", &[]);
    let mut alice = program.join("alice");
    hear_of(&mut alice, r#""count":1"#);

    program.signal("-STOP");
    eventually("it is stopped", || ["T", "t"].contains(&program.state().as_str()));
    let mut storm: Vec<_> = (0..600).map(|_| ask_for(program.address, "storm")).collect();
    program.signal("-CONT");
    say(&mut alice, "anybody here?");
    hear_of(&mut alice, "anybody here?");
    for stream in &mut storm {
        assert_eq!(status(stream), "101", "whoever waited is taken in");
    }
    program.signal("-TERM");
    drop((alice, storm));
    assert!(program.wait().success());

    let text = std::fs::read_to_string(&trace).expect("a trace");
    let _ = std::fs::remove_file(&trace);
    let iterations = text.split("epoll_wait(").map(|iteration| {
        iteration
            .lines()
            .filter(|line| line.starts_with("accept4(") && !line.contains(" = -1 "))
            .count()
    });
    assert_eq!(iterations.max(), Some(ACCEPTS_PER_ITERATION), "the most that one has taken in");
}

// --- who says too much

#[test]
fn a_burst_passes_and_then_only_the_rate() {
    let program = Program::start(&["--rate", "2", "--burst", "5"]);
    let mut alice = program.join("alice");
    hear_of(&mut alice, r#""count":1"#);
    let start = Instant::now();
    (0..20).for_each(|number| say(&mut alice, &format!("m{number}")));
    let heard: Vec<_> = (0..20).map(|_| hear(&mut alice)).collect();
    let refilled = 1 + usize::try_from(start.elapsed().as_millis() / 500).expect("a few");
    let passed = heard.iter().filter(|text| text.contains(r#""message":"m"#)).count();
    assert!((5..=5 + refilled).contains(&passed), "{passed} of 20");
    assert!(heard[..5].iter().all(|text| text.contains(r#""message":"m"#)), "{heard:?}");
    let refused = heard.iter().filter(|text| text.contains("too fast")).count();
    assert_eq!(passed + refused, 20, "everything else is told");
    eventually("the bucket fills", || {
        say(&mut alice, "again");
        hear(&mut alice).contains(r#""message":"again""#)
    });
}

#[test]
fn a_large_room_is_told_how_many_and_not_who() {
    let program = Program::start(&["--announce-up-to", "3"]);
    let mut alice = program.join("alice");
    let mut others: Vec<Client> = Vec::new();
    for number in 2..=5 {
        others.push(program.join(format!("n{number}")));
        let count = format!(r#""count":{number}"#);
        let mut heard = Vec::new();
        while !heard.last().is_some_and(|text: &String| text.contains(&count)) {
            heard.push(hear(&mut alice));
        }
        let is_announced = heard.iter().any(|text| text.contains(&format!("n{number} joined")));
        assert_eq!(is_announced, number <= 3, "{heard:?}");
    }
}

// --- what others notice

/// Connections of one thread of a storm; the oldest goes when another comes.
struct Gusts {
    address: SocketAddr,
    streams: VecDeque<TcpStream>,
    at_once: usize,
    number: usize,
}

impl Gusts {
    fn new(address: SocketAddr, at_once: usize) -> Self {
        Self { address, streams: VecDeque::new(), at_once, number: 0 }
    }

    fn blow(&mut self, stream: TcpStream) {
        self.number += 1;
        self.streams.push_back(stream);
        if self.streams.len() > self.at_once
            && let Some(gone) = self.streams.pop_front()
            && self.number.is_multiple_of(2)
        {
            // Half of them go with a reset.
            let _ = set_socket_linger(&gone, Some(Duration::ZERO));
        }
    }
}

/// Members of one room, who hear everything that any of them says, and nothing else.
struct Circle(Vec<Client>);

impl Circle {
    fn join(address: SocketAddr, room: &str, size: usize) -> Self {
        let member = |number| {
            let url = format!("ws://{address}/chat?room={room}&username=c{number}");
            let (client, _) = tungstenite::connect(url).expect("a slot");
            stream_of(&client).set_read_timeout(Some(PATIENCE)).expect("a timeout");
            client
        };
        Self((0..size).map(member).collect())
    }

    /// Everybody says something, and everybody hears all of it in one order.
    fn converse(&mut self, round: usize) {
        let size = self.0.len();
        for (number, client) in self.0.iter_mut().enumerate() {
            say(client, &format!("{round}-{number}."));
        }
        let mut order: Option<Vec<String>> = None;
        for client in &mut self.0 {
            let heard: Vec<_> = (0..size).map(|_| hear_message(client)).collect();
            for number in 0..size {
                let said = format!(r#""message":"{round}-{number}.""#);
                assert_eq!(heard.iter().filter(|text| text.contains(&said)).count(), 1, "{said}");
            }
            assert_eq!(*order.get_or_insert_with(|| heard.clone()), heard, "one order for all");
        }
    }
}

/// The next chat message; what the server says of those who come and go is not one.
fn hear_message(client: &mut Client) -> String {
    loop {
        match client.read().expect("nobody here is sent away") {
            Message::Text(text) if text.starts_with(r#"{"type":"chatMessage""#) => {
                return text.to_string();
            }
            Message::Close(frame) => panic!("sent away: {frame:?}"),
            _ => {}
        }
    }
}

/// Lets `hostile` act in four threads, each from its own number on, until it has done so `acts`
/// times in all and the circles have conversed three times.
fn converse_through(
    program: &Program,
    circles: &mut [Circle],
    acts: usize,
    hostile: impl Fn(&mut Gusts, usize) + Sync,
    at_once: usize,
) {
    const THREADS: usize = 4;
    let (done, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut slowest = Duration::ZERO;
    let mut rounds = 0;
    let address = program.address;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut gusts = Gusts::new(address, at_once / THREADS);
                while !is_over.load(Ordering::Relaxed) {
                    hostile(&mut gusts, done.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        // The storm ends also where a circle panics.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _over = Over(&is_over);
        while rounds < 3 || done.load(Ordering::Relaxed) < acts {
            let start = Instant::now();
            thread::scope(|scope| {
                let parts = circles.len().div_ceil(THREADS);
                for part in circles.chunks_mut(parts) {
                    scope.spawn(move || part.iter_mut().for_each(|all| all.converse(rounds)));
                }
            });
            slowest = slowest.max(start.elapsed());
            rounds += 1;
        }
    });
    let done = done.into_inner();
    println!("{done} acts of hostility, {rounds} rounds of chat, the slowest in {slowest:?}");
    eventually("it still serves", || program.ask(HEALTH).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_thousand_who_reconnect_in_a_loop_are_not_noticed() {
    if !can_have(2500) {
        return;
    }
    let program = Program::start(&[]);
    let mut circles: Vec<_> =
        (0..5).map(|n| Circle::join(program.address, &format!("c{n}"), 8)).collect();
    let reconnect = |gusts: &mut Gusts, _| {
        let mut stream = ask_for(gusts.address, "storm");
        assert_eq!(status(&mut stream), "101");
        gusts.blow(stream);
    };
    converse_through(&program, &mut circles, 5_000, reconnect, 1_000);
}

/// One act of hostility, each of another kind; many in the rooms of those who chat.
fn attack(gusts: &mut Gusts, number: usize) {
    let address = gusts.address;
    let room = number % 61;
    let mut stream = match number % 4 {
        0 | 1 => connect(address),
        _ => ask_for(address, format_args!("c{room}")),
    };
    stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    let bytes = match number % 20 {
        0 => b"GET /chat HTTP/1.1\r\nHost: b".to_vec(),
        4 => vec![],
        8 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        12 => b"GET / HTTP/1.1\r\nHost: box\r\n\r\n".repeat(100),
        16 => b"X: y\r\n".repeat(5000),
        1 => b"GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n".to_vec(),
        5 => vec![b'x'; 64 * 1024],
        9 | 13 | 17 => handshake("", "").into_bytes()[..40].to_vec(),
        2 => masked(0x89, &[b'p'; 125]).repeat(400),
        6 => b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        10 => [masked(0x01, b""), masked(0x00, b"").repeat(2000)].concat(),
        14 => masked(0x82, &[0; 1000]),
        18 => masked(0x81, b"\xff\xfe"),
        3 => masked(0x81, b"{\"type\":").repeat(300),
        7 => masked(0x88, b"\x03\xed"),
        11 => masked(0x81, &[b'y'; 17_000]),
        15 => {
            (0..40_000_u32).map(|byte| byte.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
        }
        _ => masked(0x81, b"{\"type\":\"typing\"}").repeat(300),
    };
    // The server may have had enough of it before all is out.
    let _ = stream.write_all(&bytes);
    if number % 50 == 1 {
        finish(&mut stream);
    }
    gusts.blow(stream);
}

#[test]
fn half_of_two_thousand_are_hostile_and_the_other_half_miss_nothing() {
    if !can_have(4500) {
        return;
    }
    let program = Program::start(&[]);
    let mut circles: Vec<_> =
        (0..50).map(|room| Circle::join(program.address, &format!("c{room}"), 20)).collect();
    converse_through(&program, &mut circles, 5_000, attack, 1_000);
    assert_eq!(circles.iter().map(|circle| circle.0.len()).sum::<usize>(), 1_000);
}
