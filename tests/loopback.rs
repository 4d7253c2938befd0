//! The program itself: real sockets, real signals, and tungstenite as the client.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use common::program::{
    Client, HEALTH, PATIENCE, Program, TICK, eventually, finish, hear, hear_messages, hear_of,
    hear_the_end, say, stream_of,
};
use hallway::limits::{DRAIN_MS_MAX, Limits, REQUEST_MS_MAX};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use testkit::client::{chat, handshake, masked};

/// What a server that sleeps may use while it is looked at for a second or three: the look
/// itself can fall on a tick.
const CPU_ASLEEP_MAX: Duration = TICK.saturating_mul(5);

fn run(options: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_hallway")).args(options).output();
    output.expect("the program starts")
}

/// Asks for a WebSocket and reads the answer's head.
fn upgrade(program: &Program, query: &str) -> TcpStream {
    let mut stream = program.connect();
    stream.write_all(handshake(query, "").as_bytes()).expect("a request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

/// The next bytes are a text frame with this JSON, and the shortest there is.
fn expect_frame(stream: &mut TcpStream, json: &str) {
    let mut frame = vec![0x81, u8::try_from(json.len()).expect("a short text")];
    assert!(json.len() <= 125);
    frame.extend_from_slice(json.as_bytes());
    let mut bytes = vec![0; frame.len()];
    stream.read_exact(&mut bytes).expect("a frame");
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&frame));
    assert_eq!(bytes, frame);
}

#[test]
fn frames_are_the_originals_byte_for_byte() {
    let program = Program::start(&[]);
    let mut alice = upgrade(&program, "username=alice");
    expect_frame(&mut alice, r#"{"type":"system","payload":{"text":"alice joined"}}"#);
    expect_frame(&mut alice, r#"{"type":"userCount","payload":{"count":1}}"#);
    alice.write_all(&chat("Hello!")).expect("it is sent");
    let hello = r#"{"type":"chatMessage","payload":{"username":"alice","message":"Hello!"}}"#;
    expect_frame(&mut alice, hello);

    let mut bob = upgrade(&program, "username=bob");
    expect_frame(&mut bob, hello);
    for stream in [&mut alice, &mut bob] {
        expect_frame(stream, r#"{"type":"system","payload":{"text":"bob joined"}}"#);
        expect_frame(stream, r#"{"type":"userCount","payload":{"count":2}}"#);
    }
    bob.write_all(&masked(0x88, &1000_u16.to_be_bytes())).expect("it is sent");
    let mut rest = Vec::new();
    bob.read_to_end(&mut rest).expect("the end");
    assert_eq!(rest, b"\x88\x02\x03\xe8", "the Close comes back, and then nothing");
    expect_frame(&mut alice, r#"{"type":"system","payload":{"text":"bob left"}}"#);
    expect_frame(&mut alice, r#"{"type":"userCount","payload":{"count":1}}"#);
}

#[test]
fn two_people_chat_and_one_leaves() {
    let program = Program::start(&[]);
    let mut alice = program.join("alice");
    assert_eq!(hear(&mut alice), r#"{"type":"system","payload":{"text":"alice joined"}}"#);
    assert_eq!(hear(&mut alice), r#"{"type":"userCount","payload":{"count":1}}"#);
    say(&mut alice, "Hello!");
    let hello = r#"{"type":"chatMessage","payload":{"username":"alice","message":"Hello!"}}"#;
    assert_eq!(hear(&mut alice), hello);

    let mut bob = program.join("bob");
    assert_eq!(hear(&mut bob), hello, "the replay comes first");
    for client in [&mut alice, &mut bob] {
        assert_eq!(hear(client), r#"{"type":"system","payload":{"text":"bob joined"}}"#);
        assert_eq!(hear(client), r#"{"type":"userCount","payload":{"count":2}}"#);
    }
    bob.close(None).expect("a close");
    assert_eq!(hear(&mut alice), r#"{"type":"system","payload":{"text":"bob left"}}"#);
    assert_eq!(hear(&mut alice), r#"{"type":"userCount","payload":{"count":1}}"#);
}

#[test]
fn who_vanishes_has_left() {
    let program = Program::start(&[]);
    let mut alice = program.join("alice");
    let bob = program.join("bob");
    hear_of(&mut alice, r#""count":2"#);
    drop(bob);
    assert_eq!(hear(&mut alice), r#"{"type":"system","payload":{"text":"bob left"}}"#);
}

#[test]
fn a_newcomer_hears_the_last_hundred_first() {
    let program = Program::start(&[]);
    let mut alice = program.join("alice");
    for number in 0..150 {
        say(&mut alice, &format!("m{number}"));
    }
    let said = hear_messages(&mut alice, 150);
    let mut bob = program.join("bob");
    let replay: Vec<String> = (0..100).map(|_| hear(&mut bob)).collect();
    assert_eq!(replay, said[50..]);
    assert_eq!(hear(&mut bob), r#"{"type":"system","payload":{"text":"bob joined"}}"#);
    assert_eq!(hear(&mut bob), r#"{"type":"userCount","payload":{"count":2}}"#);
}

#[test]
fn twenty_senders_at_once_and_one_order_for_all() {
    let program = Program::start(&[]);
    let mut clients: Vec<_> = (0..20).map(|number| program.join(format!("n{number}"))).collect();
    thread::scope(|scope| {
        for (sender, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                for number in 0..20 {
                    say(client, &format!("{sender}-{number}."));
                }
            });
        }
    });
    let mut orders = clients.iter_mut().map(|client| hear_messages(client, 400));
    let first = orders.next().expect("twenty");
    assert!(orders.all(|order| order == first));
    for sender in 0..20 {
        let positions = (0..20).map(|number| {
            let message = format!("\"{sender}-{number}.\"");
            first.iter().position(|text| text.contains(&message)).expect("it was said")
        });
        assert!(positions.is_sorted(), "each sender's own order is kept");
    }
}

/// How long it takes until a message is heard by the one who said it.
fn echo(client: &mut Client, number: usize, filler: &str) -> Duration {
    let start = Instant::now();
    say(client, &format!("m{number}-{filler}"));
    let heard = hear_of(client, r#"{"type":"chatMessage""#);
    assert!(heard.contains(&format!("\"m{number}-")), "in order, and every one");
    start.elapsed()
}

/// Sorts, and returns the value that `per_mille` of all are below.
fn quantile(times: &mut [Duration], per_mille: usize) -> Duration {
    times.sort_unstable();
    times[times.len() * per_mille / 1000]
}

/// Joins, takes little into its socket, and never reads.
fn stall(program: &Program, number: usize) -> Client {
    let client = program.join(format!("stalled{number}"));
    set_socket_recv_buffer_size(stream_of(&client), 64 * 1024).expect("a buffer's size");
    client
}

#[test]
fn five_who_never_read_cost_only_themselves() {
    let programs = [Program::start(&["--rate", "0"]), Program::start(&["--rate", "0"])];
    let empty_kib = programs[0].status("VmRSS");
    let stalled: Vec<_> = (0..5).map(|number| stall(&programs[0], number)).collect();
    // The second server is the same without the five. Taking turns, both meet the same noise.
    let mut clients = programs.each_ref().map(|program| program.join("healthy"));
    let alone = programs[0].descriptors() - stalled.len();
    let mut times = [Vec::new(), Vec::new()];
    let filler = "x".repeat(4000);
    for number in 0..4000 {
        for (client, times) in clients.iter_mut().zip(&mut times) {
            times.push(echo(client, number, &filler));
        }
    }
    for (per_mille, factor) in [(500, 3), (990, 5)] {
        let [with, without] = times.each_mut().map(|times| quantile(times, per_mille));
        println!("{per_mille} ‰ of the echoes come within {with:?}, without the five {without:?}");
        assert!(with <= without * factor + Duration::from_millis(2));
    }

    // Five full queues of this sender's messages are one piece of memory each turn, which all
    // share. What counts here is that the bound does not grow with what was said, 16 MiB.
    let grown_kib = programs[0].status("VmHWM") - empty_kib;
    let limits = Limits::default();
    let history_bytes = limits.history_frames_max * 3 * limits.text_bytes_max;
    let bound_kib = u64::from((limits.queue_bytes_max + history_bytes) / 1024) + 4 * 1024;
    println!("it has grown by {grown_kib} KiB at most; the bound is {bound_kib}");
    assert!(grown_kib <= bound_kib);

    // Their leaving was told while the echoes were listened for; the last count shows it.
    let mut late = programs[0].join("late");
    hear_of(&mut late, r#"{"type":"userCount","payload":{"count":2}}"#);
    eventually("the five are gone", || programs[0].descriptors() == alone + 1);
    drop(stalled);
}

#[test]
fn who_has_read_too_slowly_hears_why() {
    let program = Program::start(&["--rate", "0"]);
    let mut slow = program.join("slow");
    let mut healthy = program.join("healthy");
    let filler = "x".repeat(4000);
    // How much that takes is up to the kernel's buffers.
    let is_given_up = (0..20_000).any(|_| {
        say(&mut healthy, &filler);
        hear(&mut healthy).contains("slow left")
    });
    assert!(is_given_up);
    assert_eq!(hear_the_end(&mut slow), Some(1013));
}

#[test]
fn a_signal_says_goodbye_and_ends_with_success() {
    for name in ["-TERM", "-INT"] {
        let mut program = Program::start(&[]);
        let mut alice = program.join("alice");
        program.signal(name);
        assert_eq!(hear_the_end(&mut alice), Some(1001));
        drop(alice);
        assert!(program.wait().success());
    }
}

#[test]
fn who_hangs_on_does_not_keep_it_from_ending() {
    let mut program = Program::start(&[]);
    let alice = program.join("alice");
    let start = Instant::now();
    program.signal("-TERM");
    program.await_health("HTTP/1.1 503 ");
    assert!(program.ask(handshake("username=late", "")).starts_with("HTTP/1.1 503 "));
    assert!(program.wait().success());
    let noise = Duration::from_secs(3);
    assert!(start.elapsed() < Duration::from_millis(DRAIN_MS_MAX) + noise);
    drop(alice);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut program = Program::start(&[]);
    let alice = program.join("alice");
    program.await_health("HTTP/1.1 200 ");
    program.signal("-TERM");
    program.await_health("HTTP/1.1 503 ");
    program.signal("-TERM");
    // With status 0 it would have waited for alice.
    assert_eq!(program.wait().code(), Some(1));
    drop(alice);
}

#[test]
fn a_hang_up_changes_nothing() {
    let program = Program::start(&[]);
    program.signal("-HUP");
    program.logged("SIGHUP");
    program.await_health("HTTP/1.1 200 ");
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let program = Program::start(&[]);
    let address = program.address.to_string();
    let second = run(&["--listen", &address]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&address), "{said}");
    assert!(
        said.contains("another program already listens there") && said.contains("--listen"),
        "{said}"
    );
}

#[test]
fn a_wrong_option_is_status_2() {
    for (options, said) in [
        (&["--histroy", "5"][..], "hallway: unknown option --histroy; did you mean --history?\n"),
        (&["--history", "-1"], "hallway: --history -1: out of range; expected 0 to 10000\n"),
        (&["--rate"], "hallway: --rate needs a value: --rate N\n"),
    ] {
        let output = run(options);
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), said);
    }
}

#[test]
fn help_and_version_are_no_failure() {
    for option in ["--help", "--version"] {
        let output = run(&[option]);
        assert!(output.status.success() && output.stderr.is_empty(), "{option}");
        assert!(output.stdout.starts_with(b"hallway"), "{option}");
    }
}

#[test]
fn with_few_descriptors_there_are_few_slots_and_no_spin() {
    let program = Program::start_with_descriptors(64, &[]);
    let hungry: Vec<_> = (0..100).map(|_| program.connect()).collect();
    expect_over_fd_limit(&program);
    let (cpu, _) = program.used_during(Duration::from_secs(1));
    assert!(cpu <= CPU_ASLEEP_MAX, "{cpu:?} in a second");
    assert!(program.descriptors() < 64);
    drop(hungry);
    program.await_health("HTTP/1.1 200 ");
}

/// Lets the server have descriptors below this number only, from now on.
fn set_descriptors(program: &Program, below: u64) {
    let pid = i32::try_from(program.pid()).ok().and_then(Pid::from_raw).expect("a process");
    let own = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit { current: Some(below), maximum: own };
    prlimit(Some(pid), Resource::Nofile, limit).expect("a child's limit can be set");
}

/// The number that the next descriptor would get: the lowest that is free.
fn next_descriptor(program: &Program) -> u64 {
    let folder = format!("/proc/{}/fd", program.pid());
    let is_free = |number: &u64| !std::fs::exists(format!("{folder}/{number}")).expect("a process");
    (0..).find(is_free).expect("a number")
}

/// Whoever comes now is told that there is no slot.
fn expect_over_fd_limit(program: &Program) {
    let mut answer = String::new();
    // A reset because of the request that nobody has read may overtake the answer.
    eventually("it is told", || {
        answer = program.ask(HEALTH);
        !answer.is_empty()
    });
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

/// Two people say something to each other, and hear nothing else.
fn converse(alice: &mut Client, bob: &mut Client, round: usize) {
    for (speaker, message) in [(0, format!("a{round}")), (1, format!("b{round}"))] {
        let both = [&mut *alice, &mut *bob];
        say(both[speaker], &message);
        for client in both {
            let heard = hear(client);
            assert!(heard.ends_with(&format!(r#""message":"{message}"}}}}"#)), "{heard}");
        }
    }
}

fn two_in_the_lobby(program: &Program) -> [Client; 2] {
    let mut both = [program.join("alice"), program.join("bob")];
    for client in &mut both {
        hear_of(client, r#""count":2"#);
    }
    both
}

#[test]
fn when_descriptors_run_out_it_neither_spins_nor_goes_deaf() {
    let program = Program::start(&[]);
    let [mut alice, mut bob] = two_in_the_lobby(&program);

    // Nothing is left but the spare one: with that it says so to everybody else.
    set_descriptors(&program, next_descriptor(&program));
    for _ in 0..20 {
        expect_over_fd_limit(&program);
    }
    converse(&mut alice, &mut bob, 0);

    // Not even that is left: whoever comes waits in the kernel.
    set_descriptors(&program, 3);
    let mut patient = program.connect();
    patient.write_all(handshake("room=den", "").as_bytes()).expect("a request");
    program.logged("cannot accept");
    let (cpu, wake_ups) = program.used_during(Duration::from_secs(2));
    assert!(cpu <= CPU_ASLEEP_MAX && wake_ups < 50, "{cpu:?} and {wake_ups} wake-ups in 2 s");
    converse(&mut alice, &mut bob, 1);

    // Nobody leaves and nobody else comes; time alone must bring it back, and then let it sleep.
    set_descriptors(&program, 1000);
    let mut status = [0; "HTTP/1.1 101".len()];
    patient.read_exact(&mut status).expect("an answer");
    assert_eq!(status, *b"HTTP/1.1 101");
    let (cpu, _) = program.used_during(Duration::from_secs(1));
    assert!(cpu <= CPU_ASLEEP_MAX, "{cpu:?} in a second");
    let metrics = program.ask("GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n");
    let name = r#"hallway_turned_away_total{want="descriptor"} "#;
    let told = metrics.lines().find_map(|line| line.strip_prefix(name));
    let told: u32 = told.and_then(|told| told.parse().ok()).expect("a number");
    assert!(told >= 20, "{told} were turned away");
}

#[test]
fn a_close_brings_accepting_back_when_descriptors_have_run_out() {
    let program = Program::start(&[]);
    let [mut alice, mut bob] = two_in_the_lobby(&program);
    let before = program.descriptors();
    let pending = program.connect();
    eventually("it is taken in", || program.descriptors() > before);
    set_descriptors(&program, next_descriptor(&program));
    expect_over_fd_limit(&program);
    drop(pending);
    program.await_health("HTTP/1.1 200 ");
    converse(&mut alice, &mut bob, 0);
}

#[test]
fn one_peer_too_many_is_told_to_come_back() {
    let program = Program::start(&["--max-peers", "2"]);
    let [_alice, bob] = two_in_the_lobby(&program);
    let answer = program.ask(handshake("username=carol", ""));
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: "));
    drop(bob);
    eventually("there is a slot again", || joins(&program, "username=carol"));
}

/// Whether a request for a WebSocket is granted.
fn joins(program: &Program, query: &str) -> bool {
    let mut stream = program.connect();
    stream.write_all(handshake(query, "").as_bytes()).expect("a request");
    let mut status = [0; "HTTP/1.1 101".len()];
    stream.read_exact(&mut status).expect("an answer");
    status == *b"HTTP/1.1 101"
}

#[test]
fn one_peer_too_many_from_one_address_is_told_so() {
    let program = Program::start(&["--max-peers-per-ip", "2"]);
    let [_alice, bob] = two_in_the_lobby(&program);
    assert!(program.ask(handshake("username=carol", "")).starts_with("HTTP/1.1 429 "));
    assert!(program.ask(HEALTH).starts_with("HTTP/1.1 200 "), "pages are for all");
    drop(bob);
    eventually("there is a slot again", || joins(&program, "username=carol"));
}

/// The first bytes of a TLS 1.2 or 1.3 client.
const TLS_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on";

#[test]
fn garbage_is_refused_at_once() {
    let program = Program::start(&[]);
    for garbage in [TLS_HELLO, b"\x00", b"\xff\xff", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"{}\n"] {
        let start = Instant::now();
        // Nothing is shut down: the server must not wait for more.
        let answer = program.ask(garbage);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{garbage:?}: {answer:?}");
        assert!(start.elapsed() < Duration::from_millis(REQUEST_MS_MAX), "at once");
    }
    let (cpu, _) = program.used_during(Duration::from_secs(1));
    assert!(cpu <= CPU_ASLEEP_MAX, "{cpu:?} in a second");
}

#[test]
fn a_page_goes_to_a_half_closed_client() {
    let program = Program::start(&[]);
    let mut stream = program.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: box\r\n\r\n").expect("a request");
    let page = finish(&mut stream);
    assert!(page.starts_with("HTTP/1.1 200 ") && page.trim_end().ends_with("</html>"));
}

#[test]
fn a_request_dripped_for_too_long_gets_a_408() {
    let program = Program::start(&[]);
    let start = Instant::now();
    let mut stream = program.connect();
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let head = format!("GET /{}", "x".repeat(1000));
    let mut answer = [0; "HTTP/1.1 408".len()];
    for byte in head.bytes() {
        assert!(start.elapsed() < PATIENCE);
        stream.write_all(&[byte]).expect("it still listens");
        // The time that the next byte waits is that of the read.
        match stream.read_exact(&mut answer) {
            Ok(()) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert_eq!(answer, *b"HTTP/1.1 408");
    assert!(start.elapsed() > Duration::from_millis(REQUEST_MS_MAX * 9 / 10), "not early");
}

/// Numbers that are the same in each run (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.next() % 2000;
        (0..len).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}

#[test]
fn three_hundred_connections_of_random_bytes_change_nothing() {
    let program = Program::start(&[]);
    let [mut alice, mut bob] = two_in_the_lobby(&program);
    let mut random = Random(0x5eed);
    for round in 0..300 {
        // Every third gets as far as the frames, in another room.
        let is_member = round % 3 == 0;
        let mut noise = if is_member { handshake("room=noise", "").into_bytes() } else { vec![] };
        noise.extend(random.bytes());
        let mut stream = program.connect();
        let _ = stream.write_all(&noise);
        let answer = finish(&mut stream);
        if is_member {
            assert!(answer.starts_with("HTTP/1.1 101 "), "round {round}: {answer}");
        } else {
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "round {round}");
        }
        converse(&mut alice, &mut bob, round);
    }
    program.await_health("HTTP/1.1 200 ");
}

#[test]
fn a_request_to_another_name_is_refused_whatever_it_asks_for() {
    let program = Program::start(&["--host", "box", "--host", "chat.example"]);
    let status = |path: &str, host: &str| {
        let answer = program.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        answer.split(' ').nth(1).map(str::to_owned).expect("a status")
    };
    for host in ["chat.example", "BOX:9", "127.0.0.1", "[::1]:80", "localhost:8080"] {
        assert_eq!(status("/", host), "200", "{host}");
    }
    for path in ["/", "/app.js", "/health", "/metrics", "/chat", "/nowhere"] {
        assert_eq!(status(path, "evil.example:80"), "421", "{path}");
    }
    assert_eq!(status("/.well-known/acme-challenge/token", "evil.example"), "404");
    assert_eq!(status("/", "chat.example\r\nHost: evil.example"), "421", "one of two");
    // The page of a stranger whose name leads here calls itself the server's own.
    let fields = "Origin: http://evil.example\r\n";
    let rebound = handshake("", fields).replace("Host: box", "Host: evil.example");
    let answer = program.ask(rebound);
    assert!(answer.starts_with("HTTP/1.1 421 ") && answer.contains("Hallway-Code: host\r\n"));
    assert!(program.logged("refused host=").ends_with(" remedy=\"--host evil.example\""));
    assert!(joins(&program, "username=alice"));
    status("/", "$(reboot)");
    let line = program.logged("refused host=\"$");
    assert!(!line.contains("remedy"), "{line}");
}

#[test]
fn nothing_that_a_peer_sends_makes_a_line_of_its_own_in_the_log() {
    let program = Program::start(&["--log", "debug"]);
    let forged = "\u{9b}31m\u{2028}\u{85}\"fake\"";
    let fields = format!("Origin: http://evil{forged}\r\n");
    assert!(program.ask(handshake("", &fields)).starts_with("HTTP/1.1 403 "));
    let line = program.logged("refused origin=");
    assert!(line.contains("evil") && line.contains("\\\"fake\\\""), "{line}");
    assert!(!line.contains(|char: char| char.is_control() || char == '\u{2028}'), "{line}");

    // What is meant for pasting has no words of a peer in it.
    for (origin, remedy) in [
        ("http://x.example;reboot", None),
        ("http://x.example$(reboot)", None),
        ("http://good.example:8443", Some("remedy=\"--origin http://good.example:8443\"")),
    ] {
        program.ask(handshake("", &format!("Origin: {origin}\r\n")));
        let line = program.logged("refused origin=");
        assert_eq!(line.find("remedy=").map(|at| &line[at..]), remedy, "{line}");
    }

    assert!(joins(&program, "username=eve%0Aforged%1b[2J%22&room=a%0Ab"));
    let line = program.logged("joined ");
    assert!(line.contains(r#"username="eveforged[2J\"""#), "{line}");
}

#[test]
fn it_sleeps_while_nobody_is_there() {
    let program = Program::start(&[]);
    program.await_sleep();
    let used = program.used_during(Duration::from_secs(3));
    assert_eq!(used, (Duration::ZERO, 0), "not one wake-up in three seconds");
}

#[test]
fn it_sleeps_while_nobody_says_anything() {
    let program = Program::start(&["--ping", "0"]);
    let clients: Vec<_> = (0..100).map(|number| program.join(number)).collect();
    program.await_sleep();
    let used = program.used_during(Duration::from_secs(3));
    assert_eq!(used, (Duration::ZERO, 0), "not one wake-up in three seconds");
    drop(clients);
}
