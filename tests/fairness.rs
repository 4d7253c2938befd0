//! What a crowd is told holds nobody else back, nor the other way round: who is written to when.

mod common;

use common::{House, chat, handshake, masked};
use hallway::hub::PeerId;
use hallway::limits::{CROWD_MEMBERS_MIN, Limits};
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
