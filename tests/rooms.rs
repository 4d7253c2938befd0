//! Rooms and the second dialect, in a server without sockets: nothing crosses from one room to
//! another, an empty room costs nothing, and each dialect says what docs/protocol.md promises.

#[path = "common/heap.rs"]
mod heap;
#[path = "protocol/house.rs"]
mod house;

use hallway::limits::{Limits, REFERENCE_BYTES_MAX, ROOM_CHARS_MAX, TYPING_MS_MIN};
use hallway::wire::envelope::Dialect::{self, First, Second};
use heap::held;
use house::{House, Who, chat, chat_with_reference, json};

const WELCOME: &str = r#"{"type":"welcome","#;

fn joined(name: &str, count: usize) -> String {
    format!(r#"{{"type":"userJoined","payload":{{"username":"{name}","count":{count}}}}}"#)
}

fn left(name: &str, count: usize) -> String {
    format!(r#"{{"type":"userLeft","payload":{{"username":"{name}","count":{count}}}}}"#)
}

fn user_count(count: usize) -> String {
    format!(r#"{{"type":"userCount","payload":{{"count":{count}}}}}"#)
}

fn system(text: &str) -> String {
    format!(r#"{{"type":"system","payload":{{"text":{}}}}}"#, serde_json::json!(text))
}

fn said(name: &str, message: &str) -> String {
    format!(r#"{{"type":"chatMessage","payload":{{"username":"{name}","message":"{message}"}}}}"#)
}

fn typing(name: &str) -> String {
    format!(r#"{{"type":"typing","payload":{{"username":"{name}"}}}}"#)
}

const TYPING: &str = r#"{"type":"typing"}"#;

/// The message of each chat message among `frames`.
fn messages(frames: &[String]) -> Vec<String> {
    let chats = frames.iter().map(|frame| json(frame)).filter(|json| json["type"] == "chatMessage");
    chats.map(|json| json["payload"]["message"].as_str().expect("a text").to_owned()).collect()
}

/// Lets several people take what they have been told, which is of no interest.
fn skip(house: &mut House, people: &[Who]) {
    for &who in people {
        house.take(who);
    }
}

// --- a thousand rooms

const ROOMS: usize = 1_000;
const MEMBERS: usize = 10;

fn many(history_frames_max: u32) -> Limits {
    let peers_max = u32::try_from(ROOMS * MEMBERS).expect("not so many");
    Limits { peers_max, history_frames_max, ..Limits::default() }
}

/// Even members speak the first dialect, odd ones the second.
fn dialect_of(member: usize) -> Dialect {
    Dialect::ALL[member % 2]
}

/// What happens in every one of `rooms` rooms at the same time: members come in one after the
/// other, speak, write, make mistakes, and go, each in a turn that all rooms share. Returns what
/// each member of each room was told.
fn same_day_everywhere(house: &mut House, rooms: usize) -> Vec<Vec<Vec<String>>> {
    house.checks_each_step = false;
    let mut people: Vec<Vec<Who>> = vec![Vec::new(); rooms];
    for member in 0..MEMBERS {
        for (room, people) in people.iter_mut().enumerate() {
            let query = format!("username=m{member}-of-r{room:03}&room=r{room:03}");
            people.push(house.arrive(&query, dialect_of(member)));
        }
        house.turn();
        house.wait(10);
    }
    for member in 0..MEMBERS {
        for (room, people) in people.iter().enumerate() {
            house.say(people[member], &format!("m{member} speaks in r{room:03}"));
            house.send(people[member], TYPING);
            house.send(people[member], &format!("no JSON in r{room:03}"));
        }
        house.turn();
        house.wait(10);
    }
    for member in 0..MEMBERS - 1 {
        for people in &people {
            house.leave(people[member]);
        }
        house.turn();
        house.wait(10);
    }
    let told = people.iter().map(|room| room.iter().map(|&who| house.take(who)).collect());
    let told = told.collect();
    for people in &people {
        house.leave(people[MEMBERS - 1]);
    }
    house.turn();
    told
}

/// A frame of a room as room 0 would have it: the room's number and its epoch are its own.
fn as_of_room_0(frame: &str, room: usize) -> String {
    let epoch = |room: usize| format!(r#""epoch":"{:x}-{}""#, house::EPOCH, room + 1);
    frame.replace(&format!("r{room:03}"), "r000").replace(&epoch(room), &epoch(0))
}

#[test]
fn a_thousand_rooms_are_each_as_if_they_were_alone() {
    let alone = same_day_everywhere(&mut House::new(many(100)), 1);
    let mut house = House::new(many(100));
    let told = same_day_everywhere(&mut house, ROOMS);
    for (room, members) in told.iter().enumerate() {
        for (member, frames) in members.iter().enumerate() {
            let here: Vec<_> = frames.iter().map(|frame| as_of_room_0(frame, room)).collect();
            assert_eq!(here, alone[0][member], "member {member} of room {room}");
        }
    }
    // What they were told is not nothing: the last member came to nine others and saw all.
    let last = &alone[0][MEMBERS - 1];
    assert!(last[0].contains(r#""users":["m0-of-r000","m1-of-r000","#), "{}", last[0]);
    assert_eq!(messages(last).len(), MEMBERS);
    assert_eq!(last.iter().filter(|frame| frame.contains(r#""type":"typing""#)).count(), 5);
    assert_eq!(last.iter().filter(|frame| frame.contains(r#""type":"error""#)).count(), 1);
    assert_eq!(last.last(), Some(&left("m8-of-r000", 1)));
    assert_eq!((house.server.rooms(), house.server.peers()), (ROOMS, 0), "they have a history");
}

#[test]
fn a_thousand_rooms_give_their_memory_back() {
    let before = held();
    let mut house = House::new(many(0));
    let mut left_over = Vec::new();
    for _ in 0..2 {
        same_day_everywhere(&mut house, ROOMS);
        assert_eq!((house.server.rooms(), house.server.peers()), (0, 0));
        house.forget_people();
        left_over.push(held().saturating_sub(before));
    }
    // Lists and buffers of the house itself keep the places of an ordinary turn; a byte for each
    // room or member that has gone would be more than that.
    assert!(left_over[0] < 64 * 1024, "{left_over:?} bytes are left");
    assert!(left_over[1] < left_over[0] + 1_000, "a second day leaves no more: {left_over:?}");
}

#[test]
fn an_empty_room_without_history_costs_nothing() {
    let mut house = House::new(Limits::default());
    let visit = |house: &mut House, room: usize| {
        for dialect in Dialect::ALL {
            let who = house.join(&format!("username=visitor&room=room{room}"), dialect);
            assert_eq!(house.server.members(&format!("room{room}")), 1);
            house.send(who, TYPING);
            house.send(who, "no JSON");
            house.leave(who);
            house.turn();
        }
        house.forget_people();
        assert_eq!(house.server.rooms(), 0);
        held()
    };
    let after_one = visit(&mut house, 0);
    for room in 1..ROOMS {
        assert_eq!(visit(&mut house, room), after_one, "after {room} rooms");
    }
}

#[test]
fn a_history_is_kept_for_who_comes_back_to_an_empty_room() {
    let mut house = House::new(Limits::default());
    let alice = house.join("username=alice&room=den", First);
    house.say(alice, "for later");
    house.leave(alice);
    house.turn();
    assert_eq!((house.server.rooms(), house.server.members("den")), (1, 0));
    let bob = house.join("username=bob&room=den", First);
    assert_eq!(house.take(bob), [said("alice", "for later"), system("bob joined"), user_count(1)]);
}

// --- rooms-max

fn few_rooms(rooms_max: u32) -> House {
    House::new(Limits { rooms_max, ..Limits::default() })
}

/// Somebody says something in a room and goes, so that an empty room with a history is left.
fn leave_a_word(house: &mut House, room: &str) {
    let who = house.join(&format!("username=passer&room={room}"), First);
    assert_eq!(house.person(who).status, Some(101));
    house.say(who, &format!("a word in {room}"));
    house.leave(who);
    house.turn();
    house.wait(1_000);
}

/// What somebody who looks into a room finds said in it.
fn look_into(house: &mut House, room: &str) -> Vec<String> {
    let who = house.join(&format!("username=looker&room={room}"), First);
    let found = messages(&house.take(who));
    house.leave(who);
    house.turn();
    found
}

#[test]
fn one_room_too_many_is_refused() {
    let mut house = few_rooms(2);
    let alice = house.join("username=alice&room=a", First);
    house.join("username=bob&room=b", Second);
    let refused = house.join("username=carol&room=c", First);
    let person = house.person(refused);
    assert_eq!(person.status, Some(503));
    assert!(person.head.contains("\r\nRetry-After: 5\r\n"), "{}", person.head);
    assert_eq!(house.server.rooms(), 2);

    let also = house.join("username=dave&room=a", First);
    assert_eq!(house.person(also).status, Some(101), "a room that exists is no new one");
    house.leave(alice);
    house.leave(also);
    house.turn();
    let later = house.join("username=carol&room=c", First);
    assert_eq!(house.person(later).status, Some(101), "an empty room makes place");
}

#[test]
fn the_lobby_always_has_a_place() {
    let mut house = few_rooms(1);
    house.join("username=alice&room=a", First);
    for query in ["", "room=lobby", "room=%20"] {
        let who = house.join(query, First);
        assert_eq!(house.person(who).status, Some(101), "{query}");
    }
    assert_eq!((house.server.rooms(), house.server.members("lobby")), (2, 3));
}

#[test]
fn the_room_that_was_empty_for_longest_is_forgotten_for_a_new_one() {
    let mut house = few_rooms(4);
    for room in ["lobby", "a", "b", "c"] {
        leave_a_word(&mut house, room);
    }
    // Somebody looks in, so b was empty for longest; but for the lobby, which is no matter.
    assert_eq!(look_into(&mut house, "a"), ["a word in a"]);
    house.wait(1_000);
    leave_a_word(&mut house, "d");
    assert_eq!(house.server.rooms(), 4);
    for room in ["lobby", "a", "c", "d"] {
        assert_eq!(look_into(&mut house, room), [format!("a word in {room}")]);
    }
    let stays = house.join("username=stays&room=a", First);
    house.wait(1_000);
    assert_eq!(look_into(&mut house, "b"), [""; 0], "b has been forgotten");
    // That look into b, for which c had to go, left nothing behind.
    assert_eq!(house.server.rooms(), 3);
    leave_a_word(&mut house, "c");
    leave_a_word(&mut house, "e");
    assert_eq!(look_into(&mut house, "lobby"), ["a word in lobby"], "the lobby never goes");
    assert_eq!(house.person(stays).status, Some(101));
    assert_eq!(house.server.members("a"), 1, "nor does a room with somebody in it");
}

#[test]
fn a_room_that_was_given_back_and_made_again_has_another_epoch() {
    let mut house = few_rooms(2);
    let epoch = |house: &mut House, room: &str| {
        let who = house.join(&format!("room={room}"), Second);
        let welcome = json(&house.take(who)[0]);
        house.leave(who);
        house.turn();
        welcome["payload"]["epoch"].as_str().expect("an epoch").to_owned()
    };
    let given_back = [epoch(&mut house, "a"), epoch(&mut house, "a")];
    assert_ne!(given_back[0], given_back[1]);

    leave_a_word(&mut house, "a");
    let kept = [epoch(&mut house, "a"), epoch(&mut house, "a")];
    assert_eq!(kept[0], kept[1], "a room with a history lives on");
    house.wait(1_000);
    leave_a_word(&mut house, "b");
    leave_a_word(&mut house, "c");
    assert_ne!(epoch(&mut house, "a"), kept[0], "a was forgotten for c");
}

// --- names of rooms

#[test]
fn names_of_rooms_are_cleaned() {
    let long = "x".repeat(ROOM_CHARS_MAX);
    let cases = [
        ("", "lobby"),
        ("room=", "lobby"),
        ("room=+%09", "lobby"),
        ("room=%E2%80%8B%E2%80%AE", "lobby"), // a zero-width space and an override
        ("room=den", "den"),
        ("room=+den+", "den"),
        ("room=d%E2%80%8Ben%00", "den"),
        ("room=Den", "Den"),
        ("room=two+words", "two words"),
        ("room=%E6%97%A5%E6%9C%AC", "日本"),
        ("room=%ff", "\u{fffd}"),
        (&format!("room={long}yz"), &long),
    ];
    for (query, room) in cases {
        let mut house = House::new(Limits::default());
        let who = house.join(query, Second);
        let welcome = json(&house.take(who)[0]);
        assert_eq!(welcome["payload"]["room"], room, "{query}");
        assert_eq!(house.server.members(room), 1, "{query}");
    }
}

// --- who comes and goes

#[test]
fn the_count_is_told_once_a_turn() {
    let mut house = House::new(Limits::default());
    let alice = house.join("username=alice", First);
    let bob = house.join("username=bob", Second);
    skip(&mut house, &[alice, bob]);
    let carol = house.arrive("username=carol", First);
    house.arrive("username=dave", Second);
    house.leave(carol);
    house.turn();
    assert_eq!(
        house.take(alice),
        [system("carol joined"), system("dave joined"), system("carol left"), user_count(3)]
    );
    assert_eq!(
        house.take(bob),
        [joined("carol", 3), joined("dave", 4), left("carol", 3)],
        "who is told with a count needs no other"
    );
}

#[test]
fn in_a_large_room_only_the_count_is_told() {
    let mut house = House::new(Limits { announce_up_to: 2, ..Limits::default() });
    let alice = house.join("username=alice", First);
    let bob = house.join("username=bob", Second);
    assert_eq!(
        house.take(alice),
        [system("alice joined"), user_count(1), system("bob joined"), user_count(2)]
    );
    assert_eq!(house.take(bob)[1..], [joined("bob", 2)]);

    let carol = house.join("username=carol", Second);
    let told = house.take(carol);
    assert_eq!(json(&told[0])["payload"]["users"], serde_json::Value::Null, "too many to name");
    assert_eq!(told[1..], [user_count(3)]);
    assert_eq!((house.take(alice), house.take(bob)), (vec![user_count(3)], vec![user_count(3)]));

    house.arrive("username=dave", First);
    house.arrive("username=erin", Second);
    house.turn();
    assert_eq!((house.take(alice), house.take(bob)), (vec![user_count(5)], vec![user_count(5)]));

    skip(&mut house, &[carol]);
    for who in [carol + 1, carol + 2] {
        house.leave(who);
        house.turn();
    }
    assert_eq!(
        house.take(bob),
        [user_count(4), user_count(3)],
        "three stay after the second: more than two"
    );
    house.leave(carol);
    house.turn();
    assert_eq!(house.take(bob), [left("carol", 2)]);
    assert_eq!(
        house.take(alice),
        [user_count(4), user_count(3), system("carol left"), user_count(2)]
    );
}

// --- two dialects in one room

/// What the first-dialect member `alice` is told while others come, speak and go, who speak
/// `others`' dialect.
fn told_alice(others: Dialect) -> Vec<String> {
    let mut house = House::new(Limits::default());
    let early = house.join("username=early", others);
    house.send(early, &chat_with_reference("before you came", "r0"));
    house.turn();
    let alice = house.join("username=alice", First);
    let bob = house.join("username=bob", others);
    house.say(alice, "hello \u{20ac}");
    house.send(bob, &chat_with_reference("hi", "r1"));
    house.say(alice, "how are you?");
    house.turn();
    if others == Second {
        house.send(bob, TYPING);
        house.turn();
    }
    house.send(bob, "no JSON");
    house.send(alice, &chat_with_reference("fine", "r2"));
    house.turn();
    house.send(alice, TYPING);
    house.leave(early);
    house.turn();
    house.take(alice)
}

#[test]
fn the_first_dialect_is_the_same_with_the_second_in_the_room() {
    let told = told_alice(Second);
    assert_eq!(told, told_alice(First));
    assert_eq!(
        told,
        [
            said("early", "before you came"),
            system("alice joined"),
            user_count(2),
            system("bob joined"),
            user_count(3),
            said("alice", "hello €"),
            said("bob", "hi"),
            said("alice", "how are you?"),
            said("alice", "fine"),
            system(r#"unknown type "typing""#),
            system("early left"),
            user_count(2),
        ]
    );
}

#[test]
fn a_reference_comes_back_to_its_sender_alone() {
    let mut house = House::new(Limits::default());
    let alice = house.join("username=alice", Second);
    let bob = house.join("username=bob", Second);
    let carol = house.join("username=carol", First);
    let twin = house.join("username=alice", Second);
    skip(&mut house, &[alice, bob, carol, twin]);
    house.send(alice, &chat_with_reference("one", "r1"));
    house.say(bob, "two");
    house.send(alice, &chat_with_reference("three", "r\\\"3"));
    house.say(alice, "four");
    house.turn();

    let told = |house: &mut House, who| -> Vec<(String, Option<String>)> {
        let frames = house.take(who);
        let chats = frames.iter().map(|frame| json(frame)["payload"].clone());
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        chats.map(|said| (text(&said["message"]).unwrap_or_default(), text(&said["ref"]))).collect()
    };
    let plain = ["one", "two", "three", "four"].map(|message| (message.to_owned(), None));
    let mut own = plain.clone();
    own[0].1 = Some("r1".to_owned());
    own[2].1 = Some("r\"3".to_owned());
    assert_eq!(told(&mut house, alice), own, "in the order of the room");
    for who in [bob, carol, twin] {
        assert_eq!(told(&mut house, who), plain, "person {who}");
    }
    let dave = house.join("username=alice&since=0&epoch=e-1", Second);
    let replayed = messages(&house.take(dave));
    assert_eq!(replayed, ["one", "two", "three", "four"]);
    let erin = house.join("username=alice", Second);
    assert!(house.take(erin).iter().all(|frame| !frame.contains("\"ref\"")), "nor in a replay");
}

#[test]
fn ids_and_times_are_the_servers() {
    let mut house = House::new(Limits::default());
    let alice = house.join("username=alice", Second);
    skip(&mut house, &[alice]);
    house.say(alice, "one");
    house.wait(1_877);
    house.say(alice, "two");
    house.turn();
    let told = house.take(alice);
    assert_eq!(
        told,
        [
            r#"{"type":"chatMessage","payload":{"id":"1","time":"2023-11-14T22:13:20.123Z","username":"alice","message":"one"}}"#,
            r#"{"type":"chatMessage","payload":{"id":"2","time":"2023-11-14T22:13:22.000Z","username":"alice","message":"two"}}"#,
        ]
    );
    let bob = house.join("username=bob", Second);
    assert_eq!(house.take(bob)[1..3], told[..], "the replay is the same to the byte");
}

#[test]
fn newcomers_of_one_turn_get_what_was_said_before_each_of_them() {
    for dialect in Dialect::ALL {
        let mut house = House::new(Limits::default());
        let alice = house.join("username=alice", dialect);
        house.say(alice, "one");
        let bob = house.arrive("username=bob", dialect);
        house.say(alice, "two");
        let carol = house.arrive("username=carol", dialect);
        house.say(alice, "three");
        house.turn();
        for who in [alice, bob, carol] {
            let told = messages(&house.take(who));
            assert_eq!(told, ["one", "two", "three"], "{dialect:?}, person {who}");
        }
    }
}

// --- errors

/// A message that is not accepted: code, text, and the `ref` that the error has.
type Fault = (String, &'static str, &'static str, Option<&'static str>);

fn faults() -> Vec<Fault> {
    let with_ref = |kind: &str, message: &str, reference: &str| {
        format!(r#"{{"type":"{kind}","payload":{{"message":"{message}","ref":{reference}}}}}"#)
    };
    let long_ref = format!("\"{}\"", "r".repeat(REFERENCE_BYTES_MAX + 1));
    let no_ref = "ref is not a string of at most 64 bytes";
    vec![
        ("hello".to_owned(), "notJson", "not JSON: expected value at line 1 column 1", None),
        ("[]".to_owned(), "notEnvelope", "not an envelope: ", None),
        (r#"{"type":"chatMessage"}"#.to_owned(), "notEnvelope", "not an envelope: missing", None),
        (
            r#"{"type":"chatMessage","payload":{"ref":"r1"}}"#.to_owned(),
            "notEnvelope",
            "not an envelope: missing field `message`",
            Some("r1"),
        ),
        (with_ref("nope", "hi", "\"r2\""), "unknownType", "unknown type \"nope\"", Some("r2")),
        (with_ref("welcome", "hi", "7"), "unknownType", "unknown type \"welcome\"", None),
        (with_ref("chatMessage", "", "\"r3\""), "empty", "message is empty", Some("r3")),
        (
            with_ref("chatMessage", "1234567890", "\"r4\""),
            "tooLong",
            "message is 10 bytes, the limit is 8",
            Some("r4"),
        ),
        (with_ref("chatMessage", "hi", "7"), "badRef", no_ref, None),
        (with_ref("chatMessage", "hi", &long_ref), "badRef", no_ref, None),
    ]
}

#[test]
fn errors_go_to_their_sender_with_code_and_reference() {
    let mut house = House::new(Limits { text_bytes_max: 8, ..Limits::default() });
    let alice = house.join("username=alice", Second);
    let bob = house.join("username=bob", Second);
    skip(&mut house, &[alice, bob]);
    for (text, code, why, reference) in faults() {
        house.send(alice, &text);
        house.turn();
        let told = house.take(alice);
        let [error] = &told[..] else { panic!("{text}: {told:?}") };
        let error = json(error);
        let payload = error["payload"].as_object().expect("an object");
        assert_eq!((&error["type"], &payload["code"]), (&"error".into(), &code.into()), "{text}");
        let said = payload["text"].as_str().expect("a text");
        assert!(said.starts_with(why), "{text}: {said}");
        let told = payload.get("ref").and_then(serde_json::Value::as_str);
        assert_eq!(told, reference, "{text}");
        assert_eq!(payload.contains_key("ref"), reference.is_some(), "{text}");
    }
    assert_eq!(house.take(bob), [""; 0], "nobody else is told");
    house.say(alice, "still in");
    house.turn();
    assert_eq!(messages(&house.take(bob)), ["still in"]);
}

#[test]
fn in_the_first_dialect_an_error_is_a_private_line_of_the_system() {
    let mut house = House::new(Limits { text_bytes_max: 8, ..Limits::default() });
    let alice = house.join("username=alice", First);
    let bob = house.join("username=bob", First);
    skip(&mut house, &[alice, bob]);
    for (text, code, why, _) in faults() {
        house.send(alice, &text);
        house.turn();
        let told = house.take(alice);
        if code == "badRef" {
            assert_eq!(told, [said("alice", "hi")], "a ref means nothing here: {text}");
            continue;
        }
        let [error] = &told[..] else { panic!("{text}: {told:?}") };
        let error = json(error);
        assert_eq!(error["type"], "system", "{text}");
        assert_eq!(error["payload"].as_object().expect("an object").len(), 1, "{error}");
        let said = error["payload"]["text"].as_str().expect("a text");
        assert!(said.starts_with(why), "{text}: {said}");
    }
    assert_eq!(messages(&house.take(bob)), ["hi", "hi"]);
}

#[test]
fn too_fast_is_an_error_and_then_the_end() {
    let mut house = House::new(Limits { rate_per_second: 1, burst: 2, ..Limits::default() });
    let alice = house.join("username=alice", Second);
    skip(&mut house, &[alice]);
    for (message, reference) in [("one", "r1"), ("two", "r2"), ("three", "r3")] {
        house.send(alice, &chat_with_reference(message, reference));
    }
    house.send(alice, TYPING);
    house.turn();
    let told = house.take(alice);
    let error = |reference: &str| {
        format!(
            r#"{{"type":"error","payload":{{"code":"tooFast","text":"too fast: the limit is 1 messages a second"{reference}}}}}"#
        )
    };
    assert_eq!(messages(&told), ["one", "two"]);
    assert_eq!(told[2..], [error(r#","ref":"r3""#), error("")], "typing counts like any message");
    for _ in 0..21 {
        house.wait(500);
        for _ in 0..2 {
            house.send(alice, &chat("more"));
        }
        house.turn();
    }
    assert_eq!(house.person(alice).close, Some(1008));
}

// --- typing

#[test]
fn typing_is_told_to_the_second_dialect_and_never_stored() {
    let mut house = House::new(Limits::default());
    let alice = house.join("username=alice", Second);
    let bob = house.join("username=bob", Second);
    let carol = house.join("username=carol", First);
    skip(&mut house, &[alice, bob, carol]);
    house.send(alice, TYPING);
    house.turn();
    for who in [alice, bob] {
        assert_eq!(house.take(who), [typing("alice")], "person {who}");
    }
    assert_eq!(house.take(carol), [""; 0]);
    let dave = house.join("username=dave", Second);
    assert_eq!(house.take(dave)[1..], [joined("dave", 4)]);
}

#[test]
fn typing_is_told_once_a_second_and_member() {
    let mut house = House::new(Limits::default());
    let alice = house.join("username=alice", Second);
    let bob = house.join("username=bob", Second);
    skip(&mut house, &[alice, bob]);
    for _ in 0..3 {
        house.send(alice, TYPING);
        house.turn();
    }
    house.wait(TYPING_MS_MIN - 1);
    house.send(alice, TYPING);
    house.send(bob, TYPING);
    house.turn();
    assert_eq!(house.take(bob), [typing("alice"), typing("bob")]);
    house.wait(1);
    house.send(alice, TYPING);
    house.turn();
    assert_eq!(house.take(bob), [typing("alice")]);
}

#[test]
fn typing_is_not_told_to_a_reader_that_lags() {
    let mut house = House::new(Limits::default());
    let alice = house.join("username=alice", Second);
    let bob = house.join("username=bob", Second);
    skip(&mut house, &[alice, bob]);
    house.stall(bob, 10);
    house.say(alice, "one");
    house.turn();
    house.send(alice, TYPING);
    house.turn();
    house.say(alice, "two");
    house.turn();
    house.read(bob);
    house.turn();
    let told = house.take(bob);
    assert_eq!((messages(&told), told.len()), (vec!["one".to_owned(), "two".to_owned()], 2));
    assert!(house.take(alice).contains(&typing("alice")), "who keeps up is told");
}

// --- welcome

#[test]
fn a_welcome_says_where_one_is() {
    let limits = Limits {
        text_bytes_max: 77,
        rate_per_second: 7,
        burst: 9,
        history_frames_max: 2,
        ..Limits::default()
    };
    let mut house = House::new(limits);
    let terms = r#""limits":{"textBytes":77,"refBytes":64,"usernameChars":64,"rate":7,"burst":9}"#;
    let alice = house.join("username=+al%E2%80%8Bice+&room=den", Second);
    assert!(house.person(alice).head.contains("\r\nSec-WebSocket-Protocol: hallway.v2\r\n"));
    assert_eq!(
        house.take(alice),
        [
            format!(
                r#"{WELCOME}"payload":{{"username":"alice","room":"den","epoch":"e-1","lastId":null,"complete":true,"users":[],{terms}}}}}"#
            ),
            joined("alice", 1)
        ]
    );
    for message in ["one", "two", "three"] {
        house.say(alice, message);
    }
    house.arrive("username=bob&room=den", First);
    let carol = house.join("room=den", Second);
    let told = house.take(carol);
    assert_eq!(
        told[0],
        format!(
            r#"{WELCOME}"payload":{{"username":"Anon_221320","room":"den","epoch":"e-1","lastId":"3","complete":true,"users":["alice","bob"],{terms}}}}}"#
        )
    );
    assert_eq!(messages(&told), ["two", "three"], "then the replay");
    assert_eq!(told[3..], [joined("Anon_221320", 3)], "then what happens from now on");
}

#[test]
fn without_a_history_ids_count_on() {
    let mut house = House::new(Limits { history_frames_max: 0, ..Limits::default() });
    let alice = house.join("username=alice", Second);
    house.say(alice, "one");
    house.turn();
    let bob = house.join("username=bob", Second);
    let told = house.take(bob);
    assert_eq!(json(&told[0])["payload"]["lastId"], "1");
    assert_eq!(told[1..], [joined("bob", 2)]);
}
