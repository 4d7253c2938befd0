//! How fast one peer may send, and how fast all from one address may send and join: in the server
//! without sockets, where time is a value, and over real ones.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::thread;

use common::program::{Program, eventually, hear, hear_messages, say, stream_of};
use hallway::conn::Ending;
use hallway::limits::{CLOSE_MS_MAX, Limits, MESSAGES_PER_READ};
use hallway::peer::PeerId;
use testkit::Driver;
use testkit::client::{V2, chat, handshake, masked};

/// Nobody on this machine.
const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

/// Five at once, and then ten a second; twice as many for an address.
fn limits() -> Limits {
    Limits { rate_per_second: 10, burst: 5, address_peers: 2, ..Limits::default() }
}

/// Somebody joins from an address; what the answer begins with.
fn join_from(driver: &mut Driver, ip: Option<IpAddr>) -> (PeerId, String) {
    let id = driver.connect(ip).expect("a slot");
    driver.deliver(id, handshake("", "").as_bytes());
    let answer = driver.text(id);
    (id, answer)
}

/// `count` messages, one after the other.
fn texts(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| chat(&format!("m{number};"))).collect()
}

/// How many chat messages somebody was told since this was last asked.
fn heard(driver: &mut Driver, id: PeerId) -> usize {
    driver.text(id).matches("chatMessage").count()
}

// --- one peer

#[test]
fn what_is_sent_too_fast_waits_and_nothing_is_lost() {
    let mut driver = Driver::new(limits());
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    driver.take(bob);
    driver.deliver(alice, &texts(100));
    let mut told = driver.text(bob);
    assert_eq!(told.matches("chatMessage").count(), 5, "a burst");
    driver.pass(99);
    assert_eq!(driver.text(bob), "");
    for so_many in [1, 94] {
        driver.pass(if so_many == 1 { 1 } else { 9_400 });
        let more = driver.text(bob);
        assert_eq!(more.matches("chatMessage").count(), so_many, "and then the rate");
        told += &more;
    }
    let places: Vec<_> = (0..100).map(|number| told.find(&format!("m{number};"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "all, in order");
    assert_eq!(heard(&mut driver, alice), 100, "and its sender sees it");
    assert_eq!(driver.server.chat_counters().rejected.sum(), 0);
}

#[test]
fn control_frames_and_rejected_messages_cost_tokens() {
    let typing = masked(0x81, br#"{"type":"typing"}"#);
    for what in [masked(0x89, b""), masked(0x8a, b""), masked(0x81, b"no JSON"), typing] {
        let mut driver = Driver::new(limits());
        let alice = driver.ask("username=alice", V2);
        driver.settle();
        driver.take(alice);
        driver.deliver(alice, &[what.repeat(4), texts(2)].concat());
        assert_eq!(heard(&mut driver, alice), 1, "{what:x?}");
        driver.pass(100);
        assert_eq!(heard(&mut driver, alice), 1, "{what:x?}");
    }
}

#[test]
fn a_pong_that_was_asked_for_costs_nothing() {
    let one = Limits { burst: 1, ..limits() };
    for (pongs, count) in [(1, 1), (2, 0)] {
        let mut driver = Driver::new(one.clone());
        let alice = driver.join("alice");
        driver.take(alice);
        driver.pass(one.ping_ms + one.ping_ms / 32);
        assert_eq!(driver.take(alice), b"\x89\x00");
        driver.deliver(alice, &[masked(0x8a, b"").repeat(pongs), texts(1)].concat());
        assert_eq!(heard(&mut driver, alice), count, "{pongs} pongs");
    }
}

#[test]
fn who_must_wait_is_not_silent() {
    let slow = Limits { rate_per_second: 1, burst: 1, address_peers: 1, ..limits() };
    let mut driver = Driver::new(Limits { ping_ms: 1_000, ..slow });
    let ids: Vec<_> = (0..10).map(|_| join_from(&mut driver, Some(A)).0).collect();
    // The last must wait for ten seconds until its next message is read, and its Pongs are behind.
    ids.iter().for_each(|&id| driver.deliver(id, &texts(9)));
    driver.pass(30_000);
    assert_eq!(driver.server.members("lobby"), 10);
}

#[test]
fn who_hangs_up_while_it_waits_is_gone_after_two_seconds() {
    let mut driver = Driver::new(limits());
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    driver.take(bob);
    driver.deliver(alice, &texts(7));
    driver.eof(alice);
    driver.pass(200);
    assert_eq!((heard(&mut driver, bob), driver.server.peers().len()), (7, 1), "all is read");

    let carol = driver.join("carol");
    driver.deliver(carol, &texts(1_000));
    driver.eof(carol);
    driver.pass(CLOSE_MS_MAX - 1);
    assert_eq!(driver.server.peers().len(), 2);
    driver.pass(1);
    assert_eq!((driver.server.peers().len(), driver.server.members("lobby")), (1, 1));
    assert_eq!(driver.server.counters().exited.of(Ending::Lost), 2);
    assert!(heard(&mut driver, bob) < 30);
}

#[test]
fn who_hangs_up_behind_its_handshake_is_gone_after_two_seconds() {
    let mut driver = Driver::new(limits());
    let id = driver.connect(Some(A)).expect("a slot");
    driver.send(id, b"GET /chat?username=mallory HTTP/1.1\r\n");
    driver.server.handle_hang_up(id, driver.now);
    let request = handshake("", "");
    let rest = request.split_once("\r\n").expect("lines").1;
    driver.deliver(id, &[rest.as_bytes(), &texts(1_000)].concat());
    assert_eq!(driver.server.members("lobby"), 1);
    driver.pass(CLOSE_MS_MAX);
    assert_eq!(driver.server.members("lobby"), 0);
}

#[test]
fn others_come_in_between_the_messages_of_one() {
    let mut driver = Driver::new(Limits { rate_per_second: 0, ..limits() });
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    driver.take(bob);
    driver.send(alice, &texts(100));
    driver.send(bob, &chat("and I?"));
    driver.settle();
    let told = driver.text(bob);
    let before = told.split("and I?").next().expect("a part").matches(";").count();
    assert_eq!(before, MESSAGES_PER_READ);
    assert_eq!(told.matches("chatMessage").count(), 101);
}

#[test]
fn who_is_sent_away_while_it_waits_need_not_wait() {
    let mut driver = Driver::new(limits());
    let alice = driver.join("alice");
    driver.deliver(alice, &texts(1_000));
    driver.server.drain(driver.now);
    driver.settle();
    let socket = driver.socket(alice).expect("a socket");
    assert!(socket.unread.is_empty() && socket.is_shut, "what it has sent is dropped");
}

// --- one address

#[test]
fn connections_of_one_address_share_its_bucket() {
    let mut driver = Driver::new(limits());
    let witness = driver.join("witness");
    let ids: Vec<_> = (0..4).map(|_| join_from(&mut driver, Some(A)).0).collect();
    driver.take(witness);
    ids.iter().for_each(|&id| driver.deliver(id, &texts(5)));
    assert_eq!(heard(&mut driver, witness), 12, "ten, and one on credit for those who were here");
    let (other, _) = join_from(&mut driver, Some(B));
    driver.take(witness);
    driver.deliver(other, &texts(5));
    assert_eq!(heard(&mut driver, witness), 5, "others have their own");
    driver.pass(99);
    assert_eq!(heard(&mut driver, witness), 0, "what was on credit is paid first");
    for _ in 0..8 {
        driver.pass(1);
        assert_eq!(heard(&mut driver, witness), 1, "twenty a second");
        driver.pass(49);
    }
}

#[test]
fn reconnecting_gives_no_new_burst() {
    let mut driver = Driver::new(limits());
    let witness = driver.join("witness");
    for _ in 0..2 {
        let (id, _) = join_from(&mut driver, Some(A));
        driver.deliver(id, &texts(5));
        driver.reset(id);
    }
    driver.settle();
    assert_eq!(heard(&mut driver, witness), 10);
    for _ in 0..10 {
        let (id, answer) = join_from(&mut driver, Some(A));
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        driver.deliver(id, &texts(5));
        driver.reset(id);
    }
    driver.settle();
    assert_eq!(heard(&mut driver, witness), 0);
    let (id, _) = join_from(&mut driver, Some(A));
    driver.deliver(id, &texts(1));
    driver.pass(1_000);
    assert_eq!(heard(&mut driver, witness), 1, "who stays has its turn");
}

#[test]
fn this_machine_is_no_address() {
    for ip in [None, Some(Ipv4Addr::LOCALHOST.into())] {
        let mut driver = Driver::new(Limits { address_peers: 1, joins_per_minute: 2, ..limits() });
        let witness = driver.join("witness");
        for _ in 0..50 {
            let (id, answer) = join_from(&mut driver, ip);
            assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
            driver.deliver(id, &texts(5));
        }
        assert_eq!(heard(&mut driver, witness), 250);
    }
}

#[test]
fn an_address_joins_so_often_a_minute() {
    let mut driver = Driver::new(Limits { joins_per_minute: 3, ..limits() });
    for _ in 0..3 {
        let (id, answer) = join_from(&mut driver, Some(A));
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        driver.reset(id);
    }
    let probe = "GET /chat HTTP/1.1\r\nHost: box\r\n\r\n";
    for request in [handshake("", "").as_str(), probe] {
        let id = driver.connect(Some(A)).expect("a slot");
        driver.deliver(id, request.as_bytes());
        let answer = driver.text(id);
        let (status, _) = answer.split_once("\r\n").expect("a line");
        assert_eq!(status, "HTTP/1.1 429 Too Many Requests");
        assert!(answer.contains("\r\nRetry-After: 20\r\nHallway-Code: joins\r\n"), "{answer}");
    }
    assert!(join_from(&mut driver, Some(B)).1.starts_with("HTTP/1.1 101 "));
    driver.pass(19_999);
    assert!(join_from(&mut driver, Some(A)).1.contains("\r\nRetry-After: 1\r\n"));
    driver.pass(1);
    assert!(join_from(&mut driver, Some(A)).1.starts_with("HTTP/1.1 101 "));
    assert!(join_from(&mut driver, Some(A)).1.starts_with("HTTP/1.1 429 "));
}

#[test]
fn who_walks_through_many_rooms_costs_only_its_own_history() {
    let mut driver = Driver::new(Limits { rooms_max: 3, rate_per_second: 0, ..limits() });
    let mut visit = |ip, room: &str| {
        let id = driver.connect(Some(ip)).expect("a slot");
        driver.deliver(id, handshake(&format!("room={room}"), "").as_bytes());
        let told = driver.text(id);
        assert!(told.starts_with("HTTP/1.1 101 "), "{told}");
        driver.deliver(id, &chat(room));
        driver.reset(id);
        driver.pass(1);
        told
    };
    visit(B, "den");
    for number in 0..10 {
        visit(A, &format!("a{number}"));
    }
    assert!(visit(B, "den").contains(r#""message":"den""#), "it was empty for longest");
    assert!(visit(B, "a9").contains(r#""message":"a9""#), "the last of the other's");
    assert!(!visit(B, "a7").contains(r#""message":"a7""#));
}

// --- over real sockets

#[test]
fn a_flood_arrives_in_order_at_the_rate_and_delays_nobody() {
    const COUNT: usize = 1_000;
    let program = Program::start(&["--rate", "400", "--burst", "50"]);
    let (mut bob, mut carol) = (program.join("bob"), program.join("carol"));
    let mut flooder = program.connect();
    flooder.write_all(handshake("username=mallory", "").as_bytes()).expect("a request");
    let mut echoes = flooder.try_clone().expect("a socket");
    // It is read so that its sender is not too slow.
    thread::spawn(move || while echoes.read(&mut [0; 4096]).is_ok_and(|len| len > 0) {});
    let flood = thread::spawn(move || {
        flooder.write_all(&texts(COUNT)).expect("it is taken");
        flooder
    });
    let started = std::time::Instant::now();
    let mut told = hear_messages(&mut bob, 100);
    say(&mut carol, "and I?");
    told.extend(hear_messages(&mut bob, COUNT + 1 - 100));
    let took = started.elapsed().as_millis();
    assert!(took >= 2_300, "{took} ms for 950 at 400 a second");
    let carols = told.iter().position(|text| text.contains("and I?")).expect("carol is heard");
    assert!(carols < COUNT / 2, "carol waits for {carols} of mallory");
    told.remove(carols);
    for (number, text) in told.iter().enumerate() {
        assert!(text.contains(&format!("m{number};")), "{text} is not {number}");
    }
    flood.join().expect("it was sent");
}

#[test]
fn who_floods_and_hangs_up_gives_its_slot_back() {
    // All of it would take a hundred seconds.
    let program = Program::start(&["--max-peers", "1"]);
    let mut mallory = program.join("mallory");
    hear(&mut mallory);
    let mut stream = stream_of(&mallory);
    stream.write_all(&texts(1_000)).expect("it is sent");
    stream.shutdown(Shutdown::Write).expect("a socket");
    eventually("its slot is free", || program.try_join("alice").is_ok());
}

#[test]
fn joins_from_this_machine_are_only_warned_of() {
    let program = Program::start(&["--joins", "2"]);
    let members: Vec<_> = (0..4).map(|number| program.join(number)).collect();
    let line = program.logged("many joins");
    assert!(line.contains("limited=no"), "{line}");
    assert_eq!(members.len(), 4);
}
