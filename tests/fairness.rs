//! What a crowd is told holds nobody else back, nor the other way round: who is written to when.

mod common;

use common::{House, chat, handshake, masked};
use hallway::hub::PeerId;
use hallway::limits::{CROWD_MEMBERS_MIN, CROWD_NEWS_MS_MIN, Limits};
use hallway::server::Output;

const CROWD: u32 = 500;
const _: () = assert!(CROWD as usize > CROWD_MEMBERS_MIN && CROWD_MEMBERS_MIN > 2);

/// A lobby with a crowd in it, to which somebody has just said `text`; nothing is written yet.
fn crowd_told(text: &str) -> (House, Vec<PeerId>) {
    let mut house = House::new(Limits { announce_up_to: 0, ..Limits::default() });
    let crowd: Vec<PeerId> =
        (0..CROWD).map(|number| house.join_unflushed(&format!("n{number}"))).collect();
    house.flush();
    crowd.iter().for_each(|&id| drop(house.take(id)));
    hand_in(&mut house, crowd[0], &chat(text));
    (house, crowd)
}

/// The same long ago, and all has been written.
fn crowd() -> (House, Vec<PeerId>) {
    let (mut house, crowd) = crowd_told("long ago");
    house.at(house.now.mono_ms + CROWD_NEWS_MS_MIN);
    crowd.iter().for_each(|&id| drop(house.take(id)));
    (house, crowd)
}

fn hand_in(house: &mut House, id: PeerId, bytes: &[u8]) {
    let taken = house.server.handle_input(id, &mut bytes.to_vec(), house.now);
    assert_eq!(taken, bytes.len());
}

fn join_room(house: &mut House, room: &str) -> PeerId {
    let id = house.connect();
    hand_in(house, id, handshake(&format!("room={room}"), "").as_bytes());
    id
}

fn steps(house: &mut House, count: u32) {
    (0..count).for_each(|_| assert!(house.step().is_some()));
}

/// How many others are written to before this one is.
fn steps_until(house: &mut House, id: PeerId) -> u32 {
    (0..).find(|_| house.step().expect("it is written to") == Output::Transmit(id)).expect("a step")
}

#[test]
fn a_pong_does_not_wait_behind_a_crowd() {
    let (mut house, crowd) = crowd_told("to all");
    steps(&mut house, 10);
    // It is of the crowd itself, and its place there is at the end.
    let last = crowd[crowd.len() - 1];
    hand_in(&mut house, last, &masked(0x89, b"?"));
    assert!(steps_until(&mut house, last) <= 1);
    let text = house.text(last);
    assert!(text.starts_with("\u{FFFD}\u{1}?") && text.contains("to all"), "{text:?}");

    // It was given all there was; nothing is left for its place in the crowd's line.
    house.flush();
    assert_eq!(house.text(last), "");
    assert!(crowd[..crowd.len() - 1].iter().all(|&id| house.text(id).contains("to all")));
}

#[test]
fn a_small_room_does_not_wait_behind_a_crowd() {
    let (mut house, _) = crowd_told("to all");
    let (one, other) = (join_room(&mut house, "a"), join_room(&mut house, "a"));
    steps(&mut house, 10);
    house.take(other);
    hand_in(&mut house, one, &chat("among us"));
    assert!(steps_until(&mut house, other) <= 3);
    assert!(house.text(other).contains("among us"));
}

#[test]
fn a_crowd_does_not_wait_behind_those_who_never_rest() {
    let (mut house, crowd) = crowd_told("to all");
    let pinger = join_room(&mut house, "a");
    let mut told = 0;
    for _ in 0..2 * CROWD {
        if !house.server.must_flush(pinger) {
            hand_in(&mut house, pinger, &masked(0x89, b"?"));
        }
        told += u32::from(house.step() != Some(Output::Transmit(pinger)));
    }
    assert!(told >= CROWD, "{told} of the crowd");
    assert!(crowd.iter().all(|&id| house.text(id).contains("to all")));
}

#[test]
fn what_a_crowd_is_told_meanwhile_is_one_write_each() {
    let (mut house, crowd) = crowd_told("first");
    steps(&mut house, 10);
    for text in ["second", "third"] {
        hand_in(&mut house, crowd[0], &chat(text));
    }
    let mut writes = 10;
    while house.step().is_some() {
        writes += 1;
    }
    assert_eq!(writes, 2 * CROWD, "one for the first, and one for the others together");
}

#[test]
fn a_full_turn_of_a_crowd_keeps_its_own_members_waiting_and_nobody_else() {
    let (mut house, crowd) = crowd_told("first");
    let other = join_room(&mut house, "a");
    steps(&mut house, 10);
    let mut said = 0;
    while !house.server.must_flush(crowd[1]) {
        hand_in(&mut house, crowd[0], &chat("and more"));
        said += 1;
    }
    assert!(said > 100, "{said}");
    assert!(!house.server.must_flush(other));
    hand_in(&mut house, other, &chat("among us"));
    assert!(steps_until(&mut house, other) <= 3);

    // Who is in no room yet may be about to join any.
    let newcomer = house.connect();
    assert!(house.server.must_flush(newcomer));
    house.flush();
    assert!(!house.server.must_flush(newcomer) && !house.server.must_flush(crowd[1]));
    assert_eq!(house.text(crowd[1]).matches("and more").count(), said);
}

/// What a member has been told since this was last asked: how many there are, and what was said.
fn told(house: &mut House, id: PeerId) -> Vec<String> {
    let text = house.text(id);
    let values = text.split("\"count\":").flat_map(|part| part.split("\"message\":")).skip(1);
    values.map(|value| value.split('}').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn who_comes_to_a_crowd_is_told_at_once_and_who_comes_right_after_a_little_later() {
    let (mut house, crowd) = crowd();
    house.join("one");
    assert_eq!(told(&mut house, crowd[0]), ["501"]);

    let newcomer = house.join("two");
    house.join("three");
    assert!(house.text(newcomer).starts_with("HTTP/1.1 101"), "nobody waits to come in");
    assert_eq!(told(&mut house, crowd[0]), [""; 0]);
    let at = house.now.mono_ms + CROWD_NEWS_MS_MIN;
    assert_eq!(house.server.poll_timeout(), Some(at));
    house.at(at - 1);
    assert_eq!(told(&mut house, crowd[0]), [""; 0]);
    house.at(at);
    assert_eq!(told(&mut house, crowd[0]), ["503"]);
    assert_eq!(told(&mut house, newcomer), ["503"]);
    assert_ne!(house.server.poll_timeout(), Some(at), "nothing is left to tell");
}

#[test]
fn a_message_brings_the_news_along() {
    let (mut house, crowd) = crowd();
    house.join("one");
    house.join("two");
    told(&mut house, crowd[0]);
    house.send(crowd[1], &chat("hello"));
    assert_eq!(told(&mut house, crowd[0]), ["\"hello\"", "502"]);
    house.at(house.now.mono_ms + CROWD_NEWS_MS_MIN);
    assert_eq!(told(&mut house, crowd[0]), [""; 0], "it is not told twice");
}

#[test]
fn who_leaves_a_crowd_gets_its_close_at_once() {
    let (mut house, crowd) = crowd();
    house.join("one");
    house.send(crowd[1], &masked(0x88, b""));
    assert!(house.take(crowd[1]).ends_with(b"\x88\x00"));
}

#[test]
fn a_small_room_is_told_at_once() {
    let (mut house, _) = crowd();
    let first = join_room(&mut house, "a");
    for count in 2..5 {
        join_room(&mut house, "a");
        house.flush();
        assert!(house.text(first).contains(&format!("\"count\":{count}")));
    }
}

#[test]
fn a_turn_waits_until_the_one_before_it_has_been_written() {
    let limits = Limits { queue_frames_max: 8, ..Limits::default() };
    let mut house = House::new(limits);
    let members: Vec<PeerId> = (0..3).map(|number| house.join(&format!("n{number}"))).collect();
    members.iter().for_each(|&id| drop(house.take(id)));
    let mut said = 0;
    for _ in 0..4 {
        while !house.server.must_flush(members[0]) {
            hand_in(&mut house, members[0], &chat("hello"));
            said += 1;
        }
        // The turn goes out to all, and is written to one of them before there is more to say.
        steps(&mut house, 1);
    }
    house.flush();
    assert!(said > 8, "more than a queue holds: {said}");
    for id in members {
        assert_eq!(house.text(id).matches("hello").count(), said, "nobody was sent away");
    }
}
