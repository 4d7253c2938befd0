//! Rooms and the second version, in a server without sockets: nothing crosses from one room to
//! another, an empty room costs nothing, and each version says what docs/protocol.md promises.

#[path = "protocol/people.rs"]
mod people;

use hallway::envelope::Version::{self, V1, V2};
use hallway::limits::{Limits, REFERENCE_BYTES_MAX, ROOM_CHARS_MAX, TYPING_MS_MIN};
use people::{People, Who, chat_with_reference, json};
use testkit::heap::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

/// Who is there as a welcome says, in the order of the alphabet: theirs is no particular one.
fn users(welcome: &str) -> Vec<String> {
    let welcome = json(welcome);
    let users = welcome["payload"]["users"].as_array().expect("names").iter();
    let mut users: Vec<_> = users.map(|name| name.as_str().expect("a name").to_owned()).collect();
    users.sort();
    users
}

/// Lets several people take what they have been told, which is of no interest.
fn skip(people: &mut People, several: &[Who]) {
    for &who in several {
        people.take(who);
    }
}

// --- a thousand rooms

const ROOMS: usize = 1_000;
const MEMBERS: usize = 10;

fn many(history_frames_max: u32) -> Limits {
    let peers_max = u32::try_from(ROOMS * MEMBERS).expect("not so many");
    Limits { peers_max, history_frames_max, ..Limits::default() }
}

/// Even members speak the first version, odd ones the second.
fn version_of(member: usize) -> Version {
    Version::ALL[member % 2]
}

/// What happens in every one of `rooms` rooms at the same time: members come in one after the
/// other, speak, write, make mistakes, and go, each in a moment that all rooms share. Returns what
/// each member of each room was told.
fn same_day_everywhere(people: &mut People, rooms: usize) -> Vec<Vec<Vec<String>>> {
    people.checks_each_step = false;
    let mut all: Vec<Vec<Who>> = vec![Vec::new(); rooms];
    for member in 0..MEMBERS {
        for (room, members) in all.iter_mut().enumerate() {
            let query = format!("username=m{member}-of-r{room:03}&room=r{room:03}");
            members.push(people.arrive(&query, version_of(member)));
        }
        people.flush();
        people.wait(10);
    }
    for member in 0..MEMBERS {
        for (room, members) in all.iter().enumerate() {
            people.say(members[member], &format!("m{member} speaks in r{room:03}"));
            people.send(members[member], TYPING);
            people.send(members[member], &format!("no JSON in r{room:03}"));
        }
        people.flush();
        people.wait(10);
    }
    for member in 0..MEMBERS - 1 {
        for members in &all {
            people.leave(members[member]);
        }
        people.flush();
        people.wait(10);
    }
    let told = all.iter().map(|room| room.iter().map(|&who| people.take(who)).collect());
    let told = told.collect();
    for members in &all {
        people.leave(members[MEMBERS - 1]);
    }
    people.flush();
    told
}

/// A frame of a room as room 0 would have it: the room's number and its epoch are its own.
fn as_of_room_0(frame: &str, room: usize) -> String {
    let epoch = |room: usize| format!(r#""epoch":"{:x}-{}""#, people::EPOCH, room + 1);
    frame.replace(&format!("r{room:03}"), "r000").replace(&epoch(room), &epoch(0))
}

#[test]
fn a_thousand_rooms_are_each_as_if_they_were_alone() {
    let alone = same_day_everywhere(&mut People::new(many(100)), 1);
    let mut people = People::new(many(100));
    let told = same_day_everywhere(&mut people, ROOMS);
    for (room, members) in told.iter().enumerate() {
        for (member, frames) in members.iter().enumerate() {
            let here: Vec<_> = frames.iter().map(|frame| as_of_room_0(frame, room)).collect();
            assert_eq!(here, alone[0][member], "member {member} of room {room}");
        }
    }
    // What they were told is not nothing: the last member came to nine others and saw all.
    let last = &alone[0][MEMBERS - 1];
    let all_others: Vec<_> = (0..MEMBERS - 1).map(|member| format!("m{member}-of-r000")).collect();
    assert_eq!(users(&last[0]), all_others);
    assert_eq!(messages(last).len(), MEMBERS);
    assert_eq!(last.iter().filter(|frame| frame.contains(r#""type":"typing""#)).count(), 5);
    assert_eq!(last.iter().filter(|frame| frame.contains(r#""type":"error""#)).count(), 1);
    assert_eq!(last.last(), Some(&left("m8-of-r000", 1)));
    assert_eq!(
        (people.server().rooms(), people.server().peers().len()),
        (ROOMS, 0),
        "they have a history"
    );
}

#[test]
fn a_thousand_rooms_give_their_memory_back() {
    let mut people = People::new(many(0));
    let mut left_over = Vec::new();
    for _ in 0..2 {
        same_day_everywhere(&mut people, ROOMS);
        assert_eq!((people.server().rooms(), people.server().peers().len()), (0, 0));
        people.forget_people();
        left_over.push(people.driver.held);
    }
    // Lists and buffers keep what an ordinary iteration takes; a byte for each room or member that
    // has gone would be more than that.
    assert!(left_over[0] < 64 * 1024, "{left_over:?} bytes are left");
    assert!(left_over[1] < left_over[0] + 1_000, "a second day leaves no more: {left_over:?}");
}

#[test]
fn an_empty_room_without_history_costs_nothing() {
    let mut people = People::new(Limits::default());
    let visit = |people: &mut People, room: usize| {
        for version in Version::ALL {
            let who = people.join(&format!("username=visitor&room=room{room}"), version);
            assert_eq!(people.server().members(&format!("room{room}")), 1);
            people.send(who, TYPING);
            people.send(who, "no JSON");
            people.leave(who);
            people.flush();
        }
        people.forget_people();
        assert_eq!(people.server().rooms(), 0);
        people.driver.held
    };
    let after_one = visit(&mut people, 0);
    for room in 1..ROOMS {
        assert_eq!(visit(&mut people, room), after_one, "after {room} rooms");
    }
}

#[test]
fn a_history_is_kept_for_who_comes_back_to_an_empty_room() {
    let mut people = People::new(Limits::default());
    let alice = people.join("username=alice&room=den", V1);
    people.say(alice, "for later");
    people.leave(alice);
    people.flush();
    assert_eq!((people.server().rooms(), people.server().members("den")), (1, 0));
    let bob = people.join("username=bob&room=den", V1);
    assert_eq!(people.take(bob), [said("alice", "for later"), system("bob joined"), user_count(1)]);
}

// --- rooms-max

fn few_rooms(rooms_max: u32) -> People {
    People::new(Limits { rooms_max, ..Limits::default() })
}

/// Somebody says something in a room and goes, so that an empty room with a history is left.
fn leave_a_word(people: &mut People, room: &str) {
    let who = people.join(&format!("username=passer&room={room}"), V1);
    assert_eq!(people.person(who).status, Some(101));
    people.say(who, &format!("a word in {room}"));
    people.leave(who);
    people.flush();
    people.wait(1_000);
}

/// What somebody who looks into a room finds said in it.
fn look_into(people: &mut People, room: &str) -> Vec<String> {
    let who = people.join(&format!("username=looker&room={room}"), V1);
    let found = messages(&people.take(who));
    people.leave(who);
    people.flush();
    found
}

#[test]
fn one_room_too_many_is_refused() {
    let mut people = few_rooms(2);
    let alice = people.join("username=alice&room=a", V1);
    people.join("username=bob&room=b", V2);
    let refused = people.join("username=carol&room=c", V1);
    let person = people.person(refused);
    assert_eq!(person.status, Some(503));
    assert!(person.head.contains("\r\nRetry-After: 5\r\n"), "{}", person.head);
    assert_eq!(people.server().rooms(), 2);

    let also = people.join("username=dave&room=a", V1);
    assert_eq!(people.person(also).status, Some(101), "a room that exists is no new one");
    people.leave(alice);
    people.leave(also);
    people.flush();
    let later = people.join("username=carol&room=c", V1);
    assert_eq!(people.person(later).status, Some(101), "an empty room is forgotten for it");
}

#[test]
fn the_lobby_can_always_be_joined() {
    let mut people = few_rooms(1);
    people.join("username=alice&room=a", V1);
    for query in ["", "room=lobby", "room=%20"] {
        let who = people.join(query, V1);
        assert_eq!(people.person(who).status, Some(101), "{query}");
    }
    assert_eq!((people.server().rooms(), people.server().members("lobby")), (2, 3));
}

#[test]
fn the_room_that_was_empty_for_longest_is_forgotten_for_a_new_one() {
    let mut people = few_rooms(4);
    for room in ["lobby", "a", "b", "c"] {
        leave_a_word(&mut people, room);
    }
    // Somebody looks in, so b was empty for longest; but for the lobby, which is no matter.
    assert_eq!(look_into(&mut people, "a"), ["a word in a"]);
    people.wait(1_000);
    leave_a_word(&mut people, "d");
    assert_eq!(people.server().rooms(), 4);
    for room in ["lobby", "a", "c", "d"] {
        assert_eq!(look_into(&mut people, room), [format!("a word in {room}")]);
    }
    let stays = people.join("username=stays&room=a", V1);
    people.wait(1_000);
    assert_eq!(look_into(&mut people, "b"), [""; 0], "b has been forgotten");
    // That look into b, for which c had to go, left nothing behind.
    assert_eq!(people.server().rooms(), 3);
    leave_a_word(&mut people, "c");
    leave_a_word(&mut people, "e");
    assert_eq!(look_into(&mut people, "lobby"), ["a word in lobby"], "the lobby never goes");
    assert_eq!(people.person(stays).status, Some(101));
    assert_eq!(people.server().members("a"), 1, "nor does a room with somebody in it");
}

#[test]
fn a_room_that_was_given_back_and_made_again_has_another_epoch() {
    let mut people = few_rooms(2);
    let epoch = |people: &mut People, room: &str| {
        let who = people.join(&format!("room={room}"), V2);
        let welcome = json(&people.take(who)[0]);
        people.leave(who);
        people.flush();
        welcome["payload"]["epoch"].as_str().expect("an epoch").to_owned()
    };
    let given_back = [epoch(&mut people, "a"), epoch(&mut people, "a")];
    assert_ne!(given_back[0], given_back[1]);

    leave_a_word(&mut people, "a");
    let kept = [epoch(&mut people, "a"), epoch(&mut people, "a")];
    assert_eq!(kept[0], kept[1], "a room with a history lives on");
    people.wait(1_000);
    leave_a_word(&mut people, "b");
    leave_a_word(&mut people, "c");
    assert_ne!(epoch(&mut people, "a"), kept[0], "a was forgotten for c");
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
        let mut people = People::new(Limits::default());
        let who = people.join(query, V2);
        let welcome = json(&people.take(who)[0]);
        assert_eq!(welcome["payload"]["room"], room, "{query}");
        assert_eq!(people.server().members(room), 1, "{query}");
    }
}

// --- who comes and goes

#[test]
fn the_count_is_told_once_for_all_that_happens_at_once() {
    let mut people = People::new(Limits::default());
    let alice = people.join("username=alice", V1);
    let bob = people.join("username=bob", V2);
    skip(&mut people, &[alice, bob]);
    let carol = people.arrive("username=carol", V1);
    people.arrive("username=dave", V2);
    people.leave(carol);
    people.flush();
    assert_eq!(
        people.take(alice),
        [system("carol joined"), system("dave joined"), system("carol left"), user_count(3)]
    );
    assert_eq!(
        people.take(bob),
        [joined("carol", 3), joined("dave", 4), left("carol", 3)],
        "who is told with a count needs no other"
    );
}

#[test]
fn in_a_large_room_only_the_count_is_told() {
    let mut people = People::new(Limits { announce_up_to: 2, ..Limits::default() });
    let alice = people.join("username=alice", V1);
    let bob = people.join("username=bob", V2);
    assert_eq!(
        people.take(alice),
        [system("alice joined"), user_count(1), system("bob joined"), user_count(2)]
    );
    assert_eq!(people.take(bob)[1..], [joined("bob", 2)]);

    let carol = people.join("username=carol", V2);
    let told = people.take(carol);
    assert_eq!(json(&told[0])["payload"]["users"], serde_json::Value::Null, "too many to name");
    assert_eq!(told[1..], [user_count(3)]);
    assert_eq!((people.take(alice), people.take(bob)), (vec![user_count(3)], vec![user_count(3)]));

    people.arrive("username=dave", V1);
    people.arrive("username=erin", V2);
    people.flush();
    assert_eq!((people.take(alice), people.take(bob)), (vec![user_count(5)], vec![user_count(5)]));

    skip(&mut people, &[carol]);
    for who in [carol + 1, carol + 2] {
        people.leave(who);
        people.flush();
    }
    assert_eq!(
        people.take(bob),
        [user_count(4), user_count(3)],
        "three stay after the second: more than two"
    );
    people.leave(carol);
    people.flush();
    assert_eq!(people.take(bob), [left("carol", 2)]);
    assert_eq!(
        people.take(alice),
        [user_count(4), user_count(3), system("carol left"), user_count(2)]
    );
}

// --- two versions in one room

/// What the first-version member `alice` is told while others come, speak and go, who speak
/// `others`' version.
fn told_alice(others: Version) -> Vec<String> {
    let mut people = People::new(Limits::default());
    let early = people.join("username=early", others);
    people.send(early, &chat_with_reference("before you came", "r0"));
    people.flush();
    let alice = people.join("username=alice", V1);
    let bob = people.join("username=bob", others);
    people.say(alice, "hello \u{20ac}");
    people.send(bob, &chat_with_reference("hi", "r1"));
    people.say(alice, "how are you?");
    people.flush();
    if others == V2 {
        people.send(bob, TYPING);
        people.flush();
    }
    people.send(bob, "no JSON");
    people.send(alice, &chat_with_reference("fine", "r2"));
    people.flush();
    people.send(alice, TYPING);
    people.leave(early);
    people.flush();
    people.take(alice)
}

#[test]
fn version_1_is_the_same_with_version_2_in_the_room() {
    let told = told_alice(V2);
    assert_eq!(told, told_alice(V1));
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
    let mut people = People::new(Limits::default());
    let alice = people.join("username=alice", V2);
    let bob = people.join("username=bob", V2);
    let carol = people.join("username=carol", V1);
    let twin = people.join("username=alice", V2);
    skip(&mut people, &[alice, bob, carol, twin]);
    people.send(alice, &chat_with_reference("one", "r1"));
    people.say(bob, "two");
    people.send(alice, &chat_with_reference("three", "r\\\"3"));
    people.say(alice, "four");
    people.flush();

    let told = |people: &mut People, who| -> Vec<(String, Option<String>)> {
        let frames = people.take(who);
        let chats = frames.iter().map(|frame| json(frame)["payload"].clone());
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        chats.map(|said| (text(&said["message"]).unwrap_or_default(), text(&said["ref"]))).collect()
    };
    let plain = ["one", "two", "three", "four"].map(|message| (message.to_owned(), None));
    let mut own = plain.clone();
    own[0].1 = Some("r1".to_owned());
    own[2].1 = Some("r\"3".to_owned());
    assert_eq!(told(&mut people, alice), own, "in the order of the room");
    for who in [bob, carol, twin] {
        assert_eq!(told(&mut people, who), plain, "person {who}");
    }
    let dave = people.join("username=alice&since=0&epoch=e-1", V2);
    let replayed = messages(&people.take(dave));
    assert_eq!(replayed, ["one", "two", "three", "four"]);
    let erin = people.join("username=alice", V2);
    assert!(people.take(erin).iter().all(|frame| !frame.contains("\"ref\"")), "nor in a replay");
}

#[test]
fn ids_and_times_are_the_servers() {
    let mut people = People::new(Limits::default());
    let alice = people.join("username=alice", V2);
    skip(&mut people, &[alice]);
    people.say(alice, "one");
    people.wait(1_877);
    people.say(alice, "two");
    people.flush();
    let told = people.take(alice);
    assert_eq!(
        told,
        [
            r#"{"type":"chatMessage","payload":{"id":"1","time":"2023-11-14T22:13:20.123Z","username":"alice","message":"one"}}"#,
            r#"{"type":"chatMessage","payload":{"id":"2","time":"2023-11-14T22:13:22.000Z","username":"alice","message":"two"}}"#,
        ]
    );
    let bob = people.join("username=bob", V2);
    assert_eq!(people.take(bob)[1..3], told[..], "the replay is the same to the byte");
}

#[test]
fn newcomers_of_one_moment_get_what_was_said_before_each_of_them() {
    for version in Version::ALL {
        let mut people = People::new(Limits::default());
        let alice = people.join("username=alice", version);
        people.say(alice, "one");
        let bob = people.arrive("username=bob", version);
        people.say(alice, "two");
        let carol = people.arrive("username=carol", version);
        people.say(alice, "three");
        people.flush();
        for who in [alice, bob, carol] {
            let told = messages(&people.take(who));
            assert_eq!(told, ["one", "two", "three"], "{version:?}, person {who}");
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
    let mut people = People::new(Limits { text_bytes_max: 8, ..Limits::default() });
    let alice = people.join("username=alice", V2);
    let bob = people.join("username=bob", V2);
    skip(&mut people, &[alice, bob]);
    for (text, code, why, reference) in faults() {
        people.send(alice, &text);
        people.flush();
        let told = people.take(alice);
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
    assert_eq!(people.take(bob), [""; 0], "nobody else is told");
    people.say(alice, "still in");
    people.flush();
    assert_eq!(messages(&people.take(bob)), ["still in"]);
}

#[test]
fn in_version_1_an_error_is_told_by_the_system_to_its_sender_alone() {
    let mut people = People::new(Limits { text_bytes_max: 8, ..Limits::default() });
    let alice = people.join("username=alice", V1);
    let bob = people.join("username=bob", V1);
    skip(&mut people, &[alice, bob]);
    for (text, code, why, _) in faults() {
        people.send(alice, &text);
        people.flush();
        let told = people.take(alice);
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
    assert_eq!(messages(&people.take(bob)), ["hi", "hi"]);
}

// --- typing

#[test]
fn typing_is_told_to_version_2_and_never_stored() {
    let mut people = People::new(Limits::default());
    let alice = people.join("username=alice", V2);
    let bob = people.join("username=bob", V2);
    let carol = people.join("username=carol", V1);
    skip(&mut people, &[alice, bob, carol]);
    people.send(alice, TYPING);
    people.flush();
    for who in [alice, bob] {
        assert_eq!(people.take(who), [typing("alice")], "person {who}");
    }
    assert_eq!(people.take(carol), [""; 0]);
    let dave = people.join("username=dave", V2);
    assert_eq!(people.take(dave)[1..], [joined("dave", 4)]);
}

#[test]
fn typing_is_told_once_a_second_and_member() {
    let mut people = People::new(Limits::default());
    let alice = people.join("username=alice", V2);
    let bob = people.join("username=bob", V2);
    skip(&mut people, &[alice, bob]);
    for _ in 0..3 {
        people.send(alice, TYPING);
        people.flush();
    }
    people.wait(TYPING_MS_MIN - 1);
    people.send(alice, TYPING);
    people.send(bob, TYPING);
    people.flush();
    assert_eq!(people.take(bob), [typing("alice"), typing("bob")]);
    people.wait(1);
    people.send(alice, TYPING);
    people.flush();
    assert_eq!(people.take(bob), [typing("alice")]);
}

#[test]
fn typing_is_told_to_a_slow_reader_late_and_never_where_much_else_is_said() {
    let mut people = People::new(Limits { rate_per_second: 0, ..Limits::default() });
    let alice = people.join("username=alice", V2);
    let bob = people.join("username=bob", V2);
    skip(&mut people, &[alice, bob]);
    people.stall(bob, 10);
    people.say(alice, "one");
    people.send(alice, TYPING);
    people.flush();
    people.read(bob);
    people.flush();
    assert_eq!(people.take(bob)[1..], [typing("alice")]);
    assert!(people.take(alice).contains(&typing("alice")), "who keeps up is told at once");

    people.wait(TYPING_MS_MIN);
    for _ in 0..Limits::default().queue_frames_max / 4 {
        people.say(alice, "and more");
    }
    people.send(alice, TYPING);
    people.flush();
    for who in [alice, bob] {
        assert!(!people.take(who).contains(&typing("alice")));
    }
    people.send(alice, TYPING);
    people.flush();
    assert_eq!(people.take(bob), [typing("alice")], "what was not told is no time lost");
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
    let mut people = People::new(limits);
    let terms = r#""limits":{"textBytes":77,"refBytes":64,"usernameChars":64,"rate":7,"burst":9}"#;
    let alice = people.join("username=+al%E2%80%8Bice+&room=den", V2);
    assert!(people.person(alice).head.contains("\r\nSec-WebSocket-Protocol: hallway.v2\r\n"));
    assert_eq!(
        people.take(alice),
        [
            format!(
                r#"{WELCOME}"payload":{{"username":"alice","room":"den","epoch":"e-1","lastId":null,"complete":true,"users":[],{terms}}}}}"#
            ),
            joined("alice", 1)
        ]
    );
    for message in ["one", "two", "three"] {
        people.say(alice, message);
    }
    people.arrive("username=bob&room=den", V1);
    let carol = people.join("room=den", V2);
    let told = people.take(carol);
    assert_eq!(users(&told[0]), ["alice", "bob"]);
    let welcome = told[0].replace(r#"["bob","alice"]"#, r#"["alice","bob"]"#);
    assert_eq!(
        welcome,
        format!(
            r#"{WELCOME}"payload":{{"username":"Anon_221320","room":"den","epoch":"e-1","lastId":"3","complete":true,"users":["alice","bob"],{terms}}}}}"#
        )
    );
    assert_eq!(messages(&told), ["two", "three"], "then the replay");
    assert_eq!(told[3..], [joined("Anon_221320", 3)], "then what happens from now on");
}

#[test]
fn without_a_history_ids_count_on() {
    let mut people = People::new(Limits { history_frames_max: 0, ..Limits::default() });
    let alice = people.join("username=alice", V2);
    people.say(alice, "one");
    people.flush();
    let bob = people.join("username=bob", V2);
    let told = people.take(bob);
    assert_eq!(json(&told[0])["payload"]["lastId"], "1");
    assert_eq!(told[1..], [joined("bob", 2)]);
}
