//! One budget for all that peers and rooms hold: what is counted is what is held, and whatever is
//! short of memory costs those most who hold most.

use std::net::{IpAddr, Ipv4Addr};

use hallway::conn::Ending;
use hallway::limits::Limits;
use hallway::peer::PeerId;
use testkit::Driver;
use testkit::client::{V2, chat, closing_code, handshake, masked};
use testkit::heap::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: u32 = 1024 * 1024;

/// What one event may add, and what the server's own lists and buffers take.
const BEYOND_BYTES: usize = 512 * 1024;

fn limits(memory_bytes_max: u32) -> Limits {
    Limits { memory_bytes_max, rate_per_second: 0, joins_per_minute: 0, ..Limits::default() }
}

fn address(last: u8) -> Option<IpAddr> {
    Some(Ipv4Addr::new(192, 0, 2, last).into())
}

/// Somebody from an address joins a room.
fn join(driver: &mut Driver, ip: Option<IpAddr>, query: &str, fields: &str) -> PeerId {
    let id = driver.connect(ip).expect("there is a slot");
    driver.deliver(id, handshake(query, fields).as_bytes());
    id
}

fn is_member(driver: &Driver, id: PeerId) -> bool {
    driver.socket(id).is_some_and(|socket| !socket.is_shut)
}

/// A room with a full history of long messages, in which nobody is.
fn fill_room(driver: &mut Driver, ip: Option<IpAddr>, room: &str) {
    let id = join(driver, ip, &format!("room={room}"), "");
    for _ in 0..100 {
        driver.deliver(id, &chat(&"x".repeat(2_000)));
    }
    driver.take(id);
    driver.reset(id);
    driver.settle();
}

fn check_held(driver: &Driver, budget: u32) {
    let (held, most) = (driver.held, budget as usize + BEYOND_BYTES);
    assert!(held <= most, "{held} bytes of heap, {most} are allowed");
    assert!(driver.server.held_bytes() <= budget as usize, "{}", driver.server.held_bytes());
}

#[test]
fn what_is_counted_is_what_is_held() {
    let mut driver = Driver::new(limits(256 * MIB));
    let empty = driver.held;
    let check = |driver: &Driver, what: &str| {
        let (held, counted) = (driver.held - empty, driver.server.held_bytes());
        assert!(
            held <= counted + counted / 8 + 16 * 1024,
            "{what}: {held} bytes, {counted} counted"
        );
        assert!(counted <= 2 * held + 64 * 1024, "{what}: {held} bytes, {counted} counted");
    };
    (0..200).for_each(|number| {
        driver.join(&format!("n{number}"));
    });
    check(&driver, "members");
    (0..20).for_each(|number| fill_room(&mut driver, address(1), &format!("r{number}")));
    check(&driver, "histories");
    let blocked = join(&mut driver, address(2), "room=r1", V2);
    driver.block(blocked);
    let speaker = join(&mut driver, address(2), "room=r1", V2);
    for _ in 0..200 {
        driver.deliver(speaker, &chat(&"x".repeat(4_000)));
        driver.take(speaker);
    }
    check(&driver, "a log");
    let partial: Vec<PeerId> = (0..100).map(|_| driver.join("p")).collect();
    for &id in &partial {
        driver.deliver(id, &masked(0x01, &[b'x'; 12_000]));
    }
    check(&driver, "parts of messages");
    let heads: Vec<PeerId> = (0..100).map(|_| driver.open()).collect();
    for &id in &heads {
        driver.deliver(id, &[&b"GET /"[..], &[b'x'; 7_000]].concat());
    }
    check(&driver, "parts of requests");
    for id in partial.into_iter().chain(heads).chain([blocked, speaker]) {
        driver.reset(id);
    }
    driver.settle();
    check(&driver, "after all");
}

#[test]
fn histories_of_whoever_makes_most_rooms_go_first() {
    let mut driver = Driver::new(limits(4 * MIB));
    fill_room(&mut driver, address(1), "honest");
    for number in 0..40 {
        fill_room(&mut driver, address(2), &format!("r{number}"));
        check_held(&driver, 4 * MIB);
    }
    assert!(driver.server.counters().memory_short > 0, "the budget was met");
    let id = join(&mut driver, address(1), "room=honest", "");
    assert_eq!(driver.text(id).matches("chatMessage").count(), 100, "nothing of it is lost");
}

#[test]
fn the_oldest_messages_of_the_longest_history_go_and_who_resumes_is_told() {
    let mut driver = Driver::new(Limits { history_frames_max: 1_000, ..limits(2 * MIB) });
    let stays = join(&mut driver, address(1), "room=short", "");
    driver.deliver(stays, &chat("kept"));
    let alice = join(&mut driver, address(1), "username=alice", V2);
    let welcome = driver.text(alice);
    let epoch = welcome.split(r#""epoch":""#).nth(1).unwrap().split('"').next().unwrap();
    for _ in 0..900 {
        driver.deliver(alice, &chat(&"x".repeat(4_000)));
        driver.take(alice);
        check_held(&driver, 2 * MIB);
    }
    assert!(is_member(&driver, alice) && is_member(&driver, stays), "nobody is sent away");
    let bob = join(&mut driver, address(1), &format!("since=1&epoch={epoch}"), V2);
    assert!(driver.text(bob).contains(r#""complete":false"#));
    let carol = join(&mut driver, address(1), "room=short", "");
    assert!(driver.text(carol).contains("kept"), "the short history is kept");
}

#[test]
fn who_holds_parts_of_messages_goes_before_others() {
    let message = Limits { message_bytes_max: MIB, text_bytes_max: 4_096, ..limits(4 * MIB) };
    let mut driver = Driver::new(message);
    let healthy = join(&mut driver, address(1), "username=healthy", "");
    let little = join(&mut driver, address(1), "username=little", "");
    driver.deliver(little, &masked(0x01, &[b'x'; 3_000]));
    let mut attackers = Vec::new();
    for _ in 0..20 {
        let id = join(&mut driver, address(2), "username=attacker&room=other", "");
        driver.deliver(id, &masked(0x01, &vec![b'x'; 700_000]));
        attackers.push(id);
        check_held(&driver, 4 * MIB);
    }
    let exited = driver.server.counters().exited;
    assert!(exited.of(Ending::OverMemory) > 0, "some of them are dropped");
    assert_eq!(exited.sum(), exited.of(Ending::OverMemory));
    assert!(is_member(&driver, healthy) && is_member(&driver, little), "and only of them");
    driver.take(healthy);
    driver.deliver(healthy, &chat("still here"));
    assert!(driver.text(healthy).contains("still here"));
}

#[test]
fn readers_who_keep_a_long_log_are_told_to_come_again() {
    let queue = Limits { queue_bytes_max: 8 * MIB, ..limits(3 * MIB) };
    let mut driver = Driver::new(Limits { queue_frames_max: 4_096, ..queue });
    let speaker = join(&mut driver, address(1), "username=speaker", "");
    let reader = join(&mut driver, address(1), "username=reader", "");
    let stalled = join(&mut driver, address(2), "username=stalled", "");
    driver.take(stalled);
    driver.block_after(stalled, 1);
    for _ in 0..1_000 {
        driver.deliver(speaker, &chat(&"x".repeat(4_000)));
        driver.take(speaker);
        driver.take(reader);
        check_held(&driver, 3 * MIB);
    }
    assert_eq!(driver.server.counters().exited.of(Ending::TooSlow), 1);
    assert!(is_member(&driver, speaker) && is_member(&driver, reader));
    driver.unblock(stalled);
    let told = driver.take(stalled);
    assert_eq!(closing_code(&told), Some(1013));
}

#[test]
fn where_nothing_is_left_to_go_newcomers_are_refused_until_there_is() {
    // All of it is connections.
    let mut driver = Driver::new(Limits { peers_max: 10_000, ..limits(MIB) });
    let mut ids = Vec::new();
    while let Some(id) = driver.connect(address(1)) {
        driver.deliver(id, handshake("", "").as_bytes());
        ids.push(id);
        assert!(ids.len() < 5_000, "the budget is met");
        driver.take(id);
    }
    let last = ids.pop().unwrap();
    driver.reset(last);
    driver.settle();
    check_held(&driver, MIB);
    let id = join(&mut driver, address(1), "", "");
    assert!(driver.text(id).starts_with("HTTP/1.1 101 "), "there is room for one more");
}

#[test]
fn many_who_hold_little_each_hold_no_more_than_the_budget() {
    let budget = 4 * MIB;
    for query in ["", "username=attacker"] {
        let mut driver = Driver::new(Limits { peers_max: 5_000, ..limits(budget) });
        let healthy = join(&mut driver, address(1), "username=healthy", "");
        let attackers: Vec<PeerId> =
            (0..2_000).filter_map(|_| driver.connect(address(2))).collect();
        assert_eq!(attackers.len(), 2_000);
        for id in attackers {
            if query.is_empty() {
                driver.deliver(id, &[&b"GET /"[..], &[b'x'; 7_000]].concat());
            } else {
                driver.deliver(id, handshake(query, "").as_bytes());
                driver.deliver(id, &masked(0x01, &[b'x'; 7_000]));
                driver.take(id);
            }
            driver.take(healthy);
            check_held(&driver, budget);
        }
        assert!(is_member(&driver, healthy), "{query:?}");
        driver.deliver(healthy, &chat("still here"));
        assert!(driver.text(healthy).contains("still here"));
    }
}
