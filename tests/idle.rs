//! What a member that sends nothing costs, and that all memory is given back.

mod common;

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use common::program::{Program, TICK, hear_of};
use hallway::conn::Ending;
use hallway::limits::Limits;
use hallway::peer::PeerId;
use hallway::process::raise_descriptor_limit;
use hallway::rooms::History;
use testkit::Driver;
use testkit::client::{chat, handshake, masked};
use testkit::heap::{Counting, held};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of heap per idle member that are promised.
const BYTES_PER_MEMBER_MAX: usize = 264;

/// Bytes of resident memory per idle connection that are promised.
const RESIDENT_BYTES_PER_CONNECTION_MAX: u64 = 512;

/// A server with so many members, of which nobody has said anything, and the heap that it held
/// when it was empty.
fn server_of(members: u32, limits: Limits) -> (Driver, Vec<PeerId>, usize) {
    let mut driver = Driver::new(Limits { peers_max: members + 100, ..limits });
    let empty = driver.held;
    let ids = (0..members).map(|number| driver.ask(&format!("username=n{number}"), "")).collect();
    driver.settle();
    (driver, ids, empty)
}

#[test]
fn an_idle_member_costs_little() {
    // The lists of peers grow in steps; the promise holds right after one as well.
    for members in [1_000, 1_020, 10_000] {
        let (driver, ids, empty) = server_of(members, Limits::default());
        let each = (driver.held - empty) / ids.len();
        println!("{members} idle members: {each} bytes of heap each");
        assert!(each <= BYTES_PER_MEMBER_MAX, "{each} bytes each with {members}");
    }
}

#[test]
fn a_history_costs_nothing_before_the_first_message() {
    let before = held();
    let history = History::new(10_000);
    assert_eq!(held(), before);
    drop(history);

    // Nor does the server set anything aside for it.
    let cost = |history_frames_max| {
        let limits = Limits { history_frames_max, ..Limits::default() };
        let (driver, _, empty) = server_of(100, limits);
        driver.held - empty
    };
    assert_eq!(cost(10_000), cost(0));
}

/// What a server of a hundred may keep after a burst, history aside: scratch, and slots that a list
/// has grown by.
const KEPT_MAX: usize = 96 * 1024;

/// A server of a hundred that keeps no history.
fn hundred(limits: Limits) -> (Driver, Vec<PeerId>, usize) {
    server_of(100, Limits { rate_per_second: 0, history_frames_max: 0, ..limits })
}

#[test]
fn fragments_are_given_back() {
    let (mut driver, ids, _) = hundred(Limits::default());
    let before = driver.held;
    for &id in &ids {
        driver.deliver(id, &masked(0x01, &[b' '; 10_000]));
    }
    let grown = driver.held - before;
    assert!((1_000_000..2_500_000).contains(&grown), "{grown} bytes for a million");
    for &id in &ids {
        driver.deliver(id, &masked(0x80, b""));
    }
    let left = driver.held - before;
    assert!(left <= KEPT_MAX, "{left} bytes are left");
}

#[test]
fn a_length_that_was_only_declared_costs_nothing() {
    let (mut driver, ids, _) = hundred(Limits::default());
    let before = driver.held;
    for &id in &ids {
        // 16,384 bytes are promised, and one comes.
        let frame = [0x81, 0xfe, 0x40, 0x00, 1, 2, 3, 4, b' '];
        driver.deliver(id, &frame);
    }
    let each = (driver.held - before) / ids.len();
    assert!(each < 512, "{each} bytes each");
}

#[test]
fn full_queues_are_shared_and_given_back() {
    let (mut driver, ids, _) = hundred(Limits::default());
    let (&speaker, others) = ids.split_first().expect("a hundred");
    let before = driver.held;
    for &id in others {
        driver.block(id);
    }
    let frames = Limits::default().queue_frames_max as usize;
    for _ in 0..frames {
        driver.deliver(speaker, &chat(&"y".repeat(1000)));
    }
    let grown = driver.held - before;
    let shared = frames * 1100;
    println!("99 full queues: {grown} bytes, of {shared} in messages");
    assert!(grown <= 2 * shared, "{grown} bytes");
    for &id in others {
        driver.unblock(id);
    }
    let left = driver.held.saturating_sub(before);
    assert!(left <= KEPT_MAX, "{left} bytes are left");
}

#[test]
fn a_replay_is_shared_and_given_back() {
    let limits = Limits { rate_per_second: 0, ..Limits::default() };
    let (mut driver, ids, _) = server_of(10, limits);
    for number in 0..150 {
        let message = format!("{number}{}", "y".repeat(4000));
        driver.deliver(ids[0], &chat(&message));
    }
    let before = driver.held;
    let newcomers: Vec<PeerId> = (0..100)
        .map(|number| {
            let id = driver.open();
            driver.block(id);
            driver.send(id, handshake(&format!("username=new{number}"), "").as_bytes());
            id
        })
        .collect();
    driver.settle();
    let grown = driver.held - before;
    let replay = 100 * 4096;
    println!("100 newcomers at once: {grown} bytes, for a replay of {replay}");
    assert!(grown <= KEPT_MAX, "{grown} bytes");
    for &id in &newcomers {
        driver.unblock(id);
    }
    let left = driver.held - before;
    assert!(left <= newcomers.len() * BYTES_PER_MEMBER_MAX + KEPT_MAX, "{left} bytes are left");
}

#[test]
fn pings_without_end_from_who_never_reads_cost_one_pong() {
    let (mut driver, ids, _) = hundred(Limits::default());
    driver.block(ids[0]);
    driver.deliver(ids[0], &masked(0x89, &[b'p'; 125]));
    let before = driver.held;
    for _ in 0..10_000 {
        driver.deliver(ids[0], &masked(0x89, &[b'p'; 125]));
    }
    let grown = driver.held.saturating_sub(before);
    assert!(grown < 1024, "{grown} bytes for 10,000 pings");
}

#[test]
fn a_slow_reader_that_was_given_up_holds_nothing() {
    let (mut driver, ids, _) = hundred(Limits::default());
    let before = driver.held;
    driver.block(ids[1]);
    for _ in 0..300 {
        driver.deliver(ids[0], &chat(&"y".repeat(1000)));
    }
    assert_eq!(driver.server.counters().exited.of(Ending::TooSlow), 1);
    let left = driver.held.saturating_sub(before);
    assert!(left <= KEPT_MAX, "{left} bytes are left");
}

#[test]
fn when_all_have_left_only_the_history_is_left() {
    let limits = Limits { rate_per_second: 0, ..Limits::default() };
    let (mut driver, ids, empty) = server_of(400, limits);
    for _ in 0..20 {
        driver.deliver(ids[0], &chat(&"y".repeat(4000)));
    }
    for &id in &ids {
        driver.reset(id);
    }
    driver.settle();
    assert_eq!(driver.server.peers().len(), 0);
    let history = 20 * (4096 + 256);
    let left = driver.held.saturating_sub(empty);
    println!("{left} bytes are left when all have gone, {history} of them for the history");
    assert!(left <= history + KEPT_MAX, "{left} bytes are left");
}

/// Opens connections and asks for a WebSocket on each; the answers stay in the sockets. In
/// batches, for each join is told to all who are there already, once a turn.
fn crowd(program: &Program, connections: u32) -> Vec<TcpStream> {
    const BATCH: u32 = 250;
    let mut streams: Vec<TcpStream> = Vec::new();
    for batch in 0..connections / BATCH {
        // An address of its own for each batch keeps the ports of this machine from running out.
        let [_, _, _, last] = batch.to_be_bytes();
        let address = (Ipv4Addr::new(127, 0, 1, last), program.address.port());
        let new = (0..BATCH).map(|_| TcpStream::connect(address).expect("a connection"));
        let start = streams.len();
        streams.extend(new);
        for stream in &mut streams[start..] {
            stream.write_all(handshake("", "").as_bytes()).expect("a request");
        }
    }
    streams
}

/// The binary is the one of the profile that the tests are built with.
#[test]
fn ten_thousand_connections_cost_little_and_no_cpu_time() {
    const CONNECTIONS: u32 = 10_000;
    let descriptors = raise_descriptor_limit().unwrap_or(u64::MAX);
    assert!(descriptors > u64::from(CONNECTIONS) + 100, "raise the hard limit, ulimit -Hn");
    let program = Program::start_on("0.0.0.0:0", &["--ping", "10m"]);
    // The code has been used once, and is resident.
    drop(crowd(&program, 250));
    let mut first = program.join("first");
    hear_of(&mut first, r#""count":1}"#);
    program.await_sleep();
    let empty_kib = program.status("VmRSS");

    let streams = crowd(&program, CONNECTIONS);
    let mut last = program.join("last");
    hear_of(&mut last, r#""count":10002}"#);
    program.await_sleep();
    let kib = program.status("VmRSS");
    let each = (kib - empty_kib) * 1024 / u64::from(CONNECTIONS);
    println!("{CONNECTIONS} idle connections: {empty_kib} to {kib} KiB, {each} bytes each");
    assert!(each <= RESIDENT_BYTES_PER_CONNECTION_MAX, "{each} bytes each");

    let (cpu, wake_ups) = program.used_during(Duration::from_secs(3));
    assert!(cpu <= TICK && wake_ups <= 1, "{cpu:?} and {wake_ups} wake-ups in three seconds");
    drop(streams);
}
