//! Attacks that have harmed other servers and are tested in no other file. SECURITY.md has a row for
//! each class, and names the test that fails without the defence.

mod common;

use std::io::Write as _;
use std::net::TcpStream;

use common::program::{Program, read_all};
use hallway::conn::Ending;
use hallway::limits::{Limits, READ_BUFFER_BYTES, READS_PER_PEER_AND_ITERATION};
use testkit::Driver;
use testkit::client::{V2, chat, handshake, masked};
use testkit::heap::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A member, and the heap that the server holds after `bytes` of it.
fn held_after(bytes: &[u8]) -> usize {
    let mut driver = Driver::new(Limits::default());
    let id = driver.join("mallory");
    let before = driver.held;
    driver.send(id, bytes);
    assert_eq!(driver.server.members("lobby"), 1, "nothing is wrong yet");
    driver.held - before
}

#[test]
fn a_message_costs_what_has_come_of_it_and_not_what_it_declares() {
    // Text and binary of 16,000 bytes, of which ten have come.
    for first in [0x81, 0x82] {
        let mut cut = masked(first, &[b'a'; 16_000]);
        cut.truncate(8 + 10);
        let held = held_after(&cut);
        assert!(held < 4096, "{held} bytes for ten");
    }
}

#[test]
fn fragments_cost_what_they_carry() {
    // A thousand of them, all of one byte.
    let rest = masked(0x00, b"a").repeat(1000);
    let held = held_after(&[masked(0x01, b"a"), rest].concat());
    assert!(held < 4096, "{held} bytes for a thousand");
}

#[test]
fn a_member_that_only_pings_costs_one_answer() {
    let mut driver = Driver::new(Limits { rate_per_second: 0, ..Limits::default() });
    let id = driver.join("mallory");
    driver.block(id);
    let ping = masked(0x89, &[b'?'; 125]);
    driver.deliver(id, &ping);
    let before = driver.held;
    (0..10_000).for_each(|_| driver.deliver(id, &ping));
    let more = driver.held.saturating_sub(before);
    assert!(more < 1024, "{more} bytes for ten thousand pings");
}

#[test]
fn an_upgrade_that_is_cut_anywhere_leaves_nothing_behind() {
    let request = handshake("username=mallory", V2);
    let mut driver = Driver::new(Limits::default());
    let witness = driver.join("alice");
    driver.deliver(witness, &chat("Hello!"));
    let before = driver.held;
    for len in 0..=request.len() {
        let id = driver.open();
        driver.send(id, &request.as_bytes()[..len]);
        match len % 2 {
            0 => driver.reset(id),
            _ => driver.eof(id),
        }
        driver.settle();
        assert_eq!(
            (driver.server.peers().len(), driver.server.members("lobby")),
            (1, 1),
            "{len} bytes"
        );
    }
    let counters = driver.server.counters();
    assert_eq!(counters.closed.of(Ending::Unused), request.len() as u64);
    assert_eq!(counters.closed.of(Ending::Lost), 1, "the whole request was an upgrade");
    let more = driver.held.saturating_sub(before);
    assert!(more < 4096, "{more} bytes are left of {} requests", request.len());
}

#[test]
fn eight_kilobytes_of_subprotocols_are_one_that_is_not_spoken() {
    for list in [",".repeat(7_000), "a,".repeat(3_500), format!("{}a", " ".repeat(7_000))] {
        let mut driver = Driver::new(Limits::default());
        let id = driver.open();
        let fields = format!("Sec-WebSocket-Protocol: {list}\r\n");
        driver.deliver(id, handshake("username=mallory", &fields).as_bytes());
        let answer = driver.text(id);
        assert!(!answer.contains("Sec-WebSocket-Protocol"), "{answer}");
        assert!(answer.starts_with("HTTP/1.1 101 ") || answer.starts_with("HTTP/1.1 400 "));
    }
}

/// Pongs, which break no rule.
fn flood() -> Vec<u8> {
    masked(0x8a, &[b'!'; 125]).repeat(1_000)
}

/// Sends so much that the kernel gives the connection more and more room, and, while the server
/// is stopped, all that the kernel takes; how much was sent in all, and how much of it at last.
fn fill(program: &Program, flooder: &mut TcpStream, enough: usize) -> (usize, usize) {
    let (flood, mut sent) = (flood(), 0);
    for _ in 0..50 {
        program.signal("-CONT");
        flooder.set_nonblocking(false).expect("a socket");
        for _ in 0..100 {
            // What was cut by the last round is completed.
            let rest = &flood[sent % 131..];
            flooder.write_all(rest).expect("it is read");
            sent += rest.len();
        }
        program.await_health("HTTP/1.1 200 ");
        program.signal("-STOP");
        flooder.set_nonblocking(true).expect("a socket");
        let before = sent;
        while let Ok(len) = flooder.write(&flood[sent % 131..]) {
            sent += len;
        }
        if sent - before > enough {
            return (sent, sent - before);
        }
    }
    panic!("the kernel never takes {enough} bytes: too few to tell");
}

#[test]
fn who_sends_without_end_takes_one_budget_an_iteration_from_the_others() {
    let budget = READS_PER_PEER_AND_ITERATION * READ_BUFFER_BYTES;
    let program = Program::start(&["--rate", "0"]);
    let mut flooder = program.connect();
    let request = handshake("username=mallory", "");
    flooder.write_all(request.as_bytes()).expect("a request");
    let (sent, queued) = fill(&program, &mut flooder, 5 * budget);
    let mut other = program.connect();
    other.write_all(b"GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n").expect("a request");
    program.signal("-CONT");
    let answer = read_all(&mut other);

    // How much of it was left when the other was answered.
    let received = answer.split("\nhallway_received_bytes_total ").nth(1).expect("a counter");
    let received: usize = received.lines().next().expect("a line").parse().expect("a number");
    let left = sent.saturating_sub(received);
    assert!(left > 0, "all {queued} bytes were read before anybody else was");
}
