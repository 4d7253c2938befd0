//! What somebody who says nothing costs, and that all memory comes back.

mod common;
#[path = "common/heap.rs"]
mod heap;

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use common::program::{Program, TICK, hear_of};
use common::{House, chat, handshake, masked};
use hallway::hub::{History, PeerId};
use hallway::limits::{Limits, SCRATCH_BYTES_KEPT};
use hallway::process::raise_descriptor_limit;
use hallway::server::Ending;
use heap::held;

/// Bytes of heap per idle member that are promised.
const BYTES_PER_MEMBER_MAX: usize = 264;

/// Bytes of resident memory per idle connection that are promised.
const RESIDENT_BYTES_PER_CONNECTION_MAX: u64 = 512;

/// A house with so many members, of which nobody has said anything, and what its memory was when
/// it was empty.
fn house_of(members: u32, limits: Limits) -> (House, Vec<PeerId>, usize) {
    let mut house = House::new(Limits { peers_max: members + 100, ..limits });
    house.deafen();
    let mut ids = Vec::with_capacity(members as usize);
    let empty = held();
    for number in 0..members {
        ids.push(house.join_unflushed(&format!("n{number}")));
    }
    house.flush();
    (house, ids, empty)
}

#[test]
fn an_idle_member_costs_little() {
    // The lists of peers grow in steps; the promise holds right after one as well.
    for members in [1_000, 1_020, 10_000] {
        let (house, ids, empty) = house_of(members, Limits::default());
        let each = (held() - empty) / ids.len();
        println!("{members} idle members: {each} bytes of heap each");
        assert!(each <= BYTES_PER_MEMBER_MAX, "{each} bytes each with {members}");
        drop(house);
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
        let (_house, _ids, empty) = house_of(100, limits);
        held() - empty
    };
    assert_eq!(cost(10_000), cost(0));
}

/// What a house of a hundred may keep after a burst, history aside: lines, scratch, and places
/// that a list has grown by.
const KEPT_MAX: usize = 2 * SCRATCH_BYTES_KEPT + 64 * 1024;

/// A house of a hundred that keeps no history.
fn hundred(limits: Limits) -> (House, Vec<PeerId>, usize) {
    house_of(100, Limits { rate_per_second: 0, history_frames_max: 0, ..limits })
}

fn hand_in(house: &mut House, id: PeerId, bytes: &mut [u8]) {
    let mut taken = 0;
    while taken < bytes.len() {
        taken += house.server.handle_input(id, &mut bytes[taken..], house.now);
        house.flush_unchecked();
    }
}

#[test]
fn fragments_are_given_back() {
    let (mut house, ids, _) = hundred(Limits::default());
    let before = held();
    for &id in &ids {
        hand_in(&mut house, id, &mut masked(0x01, &[b' '; 10_000]));
    }
    let grown = held() - before;
    assert!((1_000_000..2_500_000).contains(&grown), "{grown} bytes for a million");
    for &id in &ids {
        hand_in(&mut house, id, &mut masked(0x80, b""));
    }
    let left = held() - before;
    assert!(left <= KEPT_MAX, "{left} bytes are left");
}

#[test]
fn a_length_that_was_only_declared_costs_nothing() {
    let (mut house, ids, _) = hundred(Limits::default());
    let before = held();
    for &id in &ids {
        // 16,384 bytes are promised, and one comes.
        let mut frame = [0x81, 0xfe, 0x40, 0x00, 1, 2, 3, 4, b' '];
        hand_in(&mut house, id, &mut frame);
    }
    let each = (held() - before) / ids.len();
    assert!(each < 512, "{each} bytes each");
}

#[test]
fn full_queues_are_shared_and_given_back() {
    let (mut house, ids, _) = hundred(Limits::default());
    let (&speaker, others) = ids.split_first().expect("a hundred");
    let before = held();
    for &id in others {
        house.block(id);
    }
    let frames = Limits::default().queue_frames_max as usize;
    for _ in 0..frames {
        hand_in(&mut house, speaker, &mut chat(&"y".repeat(1000)));
    }
    let grown = held() - before;
    let shared = frames * 1100;
    let entries = others.len() * frames * 2 * 40;
    println!("99 full queues: {grown} bytes, of {shared} in messages");
    assert!(grown <= shared + entries + KEPT_MAX, "{grown} bytes");
    for &id in others {
        house.unblock(id);
    }
    let left = held().saturating_sub(before);
    assert!(left <= KEPT_MAX, "{left} bytes are left");
}

#[test]
fn a_replay_is_shared_and_given_back() {
    let limits = Limits { rate_per_second: 0, ..Limits::default() };
    let (mut house, ids, _) = house_of(10, limits);
    for number in 0..150 {
        let message = format!("{number}{}", "y".repeat(4000));
        hand_in(&mut house, ids[0], &mut chat(&message));
    }
    let before = held();
    let newcomers: Vec<PeerId> = (0..100)
        .map(|number| {
            let id = house.connect();
            house.block(id);
            let mut request = handshake(&format!("username=new{number}"), "").into_bytes();
            house.server.handle_input(id, &mut request, house.now);
            id
        })
        .collect();
    house.flush_unchecked();
    let grown = held() - before;
    let replay = 100 * 4096;
    println!("100 newcomers at once: {grown} bytes, for a replay of {replay}");
    assert!(grown <= 2 * replay + KEPT_MAX, "{grown} bytes");
    for &id in &newcomers {
        house.unblock(id);
    }
    let left = held() - before;
    assert!(left <= newcomers.len() * BYTES_PER_MEMBER_MAX + KEPT_MAX, "{left} bytes are left");
}

#[test]
fn pings_without_end_from_who_never_reads_cost_one_pong() {
    let (mut house, ids, _) = hundred(Limits::default());
    house.block(ids[0]);
    hand_in(&mut house, ids[0], &mut masked(0x89, &[b'p'; 125]));
    let before = held();
    for _ in 0..10_000 {
        hand_in(&mut house, ids[0], &mut masked(0x89, &[b'p'; 125]));
    }
    let grown = held().saturating_sub(before);
    assert!(grown < 1024, "{grown} bytes for 10,000 pings");
}

#[test]
fn a_laggard_that_was_given_up_holds_nothing() {
    let (mut house, ids, _) = hundred(Limits::default());
    let before = held();
    house.block(ids[1]);
    for _ in 0..300 {
        hand_in(&mut house, ids[0], &mut chat(&"y".repeat(1000)));
    }
    assert_eq!(house.server.counters().left.of(Ending::TooSlow), 1);
    let left = held().saturating_sub(before);
    assert!(left <= KEPT_MAX, "{left} bytes are left");
}

#[test]
fn when_all_have_left_only_the_history_is_left() {
    let limits = Limits { rate_per_second: 0, ..Limits::default() };
    let (mut house, ids, empty) = house_of(400, limits);
    for _ in 0..20 {
        hand_in(&mut house, ids[0], &mut chat(&"y".repeat(4000)));
    }
    for &id in &ids {
        if house.server.must_flush(id) {
            house.flush_unchecked();
        }
        house.server.handle_closed(id, house.now);
    }
    house.flush();
    assert_eq!(house.server.peers(), 0);
    // A message is kept as a frame of the dialect that they speak.
    let history = 20 * (4096 + 256);
    let left = held().saturating_sub(empty);
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
