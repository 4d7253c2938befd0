//! Records that come from elsewhere, already in an order: from a journal, from another server. Their
//! ids rise and may have gaps; members are told these ids and resume by them.

#[path = "protocol/people.rs"]
mod people;

use hallway::envelope::Version::{V1, V2};
use hallway::limits::Limits;
use hallway::rooms::{Record, Source};
use people::{People, Who, chat_with_reference, json};
use serde_json::Value;

const EPOCH: &str = "e-1";

/// Applies a record to the lobby, as whoever owns the order of its records does.
fn apply(people: &mut People, id: u64, text: &str, source: Source<'_>) {
    let record = Record { id, unix_ms: 1_700_000_000_000, author: "eve".into(), text };
    let (chat, peers) = people.driver.server.application_mut();
    let lobby = chat.rooms.find("lobby").expect("somebody has been there");
    chat.rooms.apply(&mut peers.outbound, lobby, record, source);
    people.server().check();
}

/// Records with these ids, each of which says its own.
fn apply_all(people: &mut People, ids: &[u64]) {
    ids.iter().for_each(|&id| apply(people, id, &format!("this is {id}"), Source::Elsewhere));
    people.flush();
}

/// The payloads of the chat messages among what somebody was told.
fn records(told: &[String]) -> Vec<Value> {
    let told = told.iter().map(|frame| json(frame));
    told.filter(|frame| frame["type"] == "chatMessage")
        .map(|frame| frame["payload"].clone())
        .collect()
}

/// The ids of the records that somebody was told since the last time.
fn ids(people: &mut People, who: Who) -> Vec<u64> {
    let number = |record: &Value| {
        let id: u64 = record["id"].as_str().expect("an id").parse().expect("a number");
        assert!(record["message"] == format!("this is {id}") || record["username"] != "eve");
        id
    };
    records(&people.take(who)).iter().map(number).collect()
}

/// What somebody is told who comes back after this id: the id of the last record, whether nothing is
/// missing, and the ids of the replay.
fn come_back(people: &mut People, since: u64) -> (Option<u64>, bool, Vec<u64>) {
    let who = people.join(&format!("username=bob&since={since}&epoch={EPOCH}"), V2);
    let told = people.take(who);
    let welcome = json(&told[0])["payload"].clone();
    people.leave(who);
    people.flush();
    let last_id = welcome["lastId"].as_str().map(|id| id.parse().expect("a number"));
    let number = |record: &Value| record["id"].as_str().and_then(|id| id.parse().ok());
    let replayed = records(&told).iter().map(|record| number(record).expect("an id")).collect();
    (last_id, welcome["complete"] == true, replayed)
}

/// A lobby with a member of each version.
fn lobby(history_frames_max: u32) -> (People, Who, Who) {
    let mut people = People::new(Limits { history_frames_max, ..Limits::default() });
    let (old, new) = (people.join("username=old", V1), people.join("username=new", V2));
    people.take(old);
    people.take(new);
    (people, old, new)
}

#[test]
fn a_record_from_elsewhere_is_told_to_all_with_its_own_id_and_time() {
    let (mut people, old, new) = lobby(100);
    apply(&mut people, 4711, "from elsewhere", Source::Elsewhere);
    people.flush();
    assert_eq!(
        people.take(old),
        [r#"{"type":"chatMessage","payload":{"username":"eve","message":"from elsewhere"}}"#]
    );
    assert_eq!(
        people.take(new),
        [
            r#"{"type":"chatMessage","payload":{"id":"4711","time":"2023-11-14T22:13:20.000Z","username":"eve","message":"from elsewhere"}}"#
        ]
    );
}

#[test]
fn what_is_said_here_counts_on_from_there() {
    let (mut people, old, new) = lobby(100);
    people.say(old, "first");
    apply_all(&mut people, &[50, 1 << 53]);
    people.say(old, "last");
    people.flush();
    assert_eq!(ids(&mut people, new), [1, 50, 1 << 53, (1 << 53) + 1]);
}

#[test]
fn a_record_is_proposed_here_and_applied_later_with_its_reference() {
    let (mut people, old, new) = lobby(100);
    let twin = people.join("username=new", V2);
    people.take(twin);
    let peer = people.person(new).peer.expect("it is here");
    apply(&mut people, 7, "this is 7", Source::Elsewhere);
    apply(&mut people, 9, "this is 9", Source::Member(peer, "r9"));
    apply(&mut people, 12, "this is 12", Source::Elsewhere);
    people.send(new, &chat_with_reference("own", "r13"));
    people.flush();
    let told = |people: &mut People, who| -> Vec<(Value, Value)> {
        let records = records(&people.take(who));
        records.into_iter().map(|record| (record["id"].clone(), record["ref"].clone())).collect()
    };
    let pair = |id: &str, reference: Option<&str>| (Value::from(id), Value::from(reference));
    let none = ["7", "9", "12", "13"].map(|id| pair(id, None));
    let with = [pair("7", None), pair("9", Some("r9")), pair("12", None), pair("13", Some("r13"))];
    assert_eq!(told(&mut people, new), with);
    assert_eq!(told(&mut people, twin), none);
    assert_eq!(records(&people.take(old)).len(), 4);
}

#[test]
fn who_has_left_before_its_record_comes_misses_nothing_later() {
    let (mut people, _, new) = lobby(100);
    let peer = people.person(new).peer.expect("it is here");
    people.leave(new);
    people.flush();
    apply(&mut people, 3, "this is 3", Source::Member(peer, "r"));
    people.flush();
    assert_eq!(come_back(&mut people, 2), (Some(3), true, vec![3]));
}

/// Gaps within a block of a replay, over its end, over several blocks, and a wide one.
const IDS: [u64; 9] = [3, 4, 60, 64, 130, 1_000, 1_001, 5_000_000_000, (1 << 63) + 5];

#[test]
fn coming_back_goes_by_ids_also_where_there_is_none() {
    let (mut people, ..) = lobby(100);
    let last = IDS[IDS.len() - 1];
    assert_eq!(come_back(&mut people, 0), (None, true, vec![]));
    apply_all(&mut people, &IDS);
    let points = IDS.iter().flat_map(|&id| [id - 1, id, id + 1]).chain([0, 63, 65, 128, 1 << 40]);
    for since in points {
        let expected = match since <= last {
            true => IDS.into_iter().filter(|&id| id > since).collect(),
            false => IDS.to_vec(),
        };
        assert_eq!(come_back(&mut people, since), (Some(last), since <= last, expected), "{since}");
    }
    let newcomer = people.join("username=carol", V1);
    assert_eq!(records(&people.take(newcomer)).len(), IDS.len());
}

#[test]
fn nothing_is_missing_from_the_last_that_was_forgotten_on() {
    let (mut people, ..) = lobby(3);
    apply_all(&mut people, &[10, 20, 30, 40, 50]);
    let kept = vec![30, 40, 50];
    for (since, complete) in [(0, false), (10, false), (19, false), (20, true), (29, true)] {
        let expected = (Some(50), complete, kept.clone());
        assert_eq!(come_back(&mut people, since), expected, "after {since}");
    }
    assert_eq!(come_back(&mut people, 30), (Some(50), true, vec![40, 50]));
    assert_eq!(come_back(&mut people, 51), (Some(50), false, kept));
}

#[test]
fn without_a_history_the_last_id_is_known_and_nothing_else() {
    let (mut people, ..) = lobby(0);
    apply_all(&mut people, &[10, 20]);
    assert_eq!(come_back(&mut people, 20), (Some(20), true, vec![]));
    assert_eq!(come_back(&mut people, 19), (Some(20), false, vec![]));
}

/// Whatever is forgotten meanwhile, who has come is told all that was there, and all that came after.
#[test]
fn a_replay_across_gaps_goes_on_while_records_come() {
    for capacity in [1, 100, 1_000] {
        let (mut people, _, new) = lobby(20);
        let before: Vec<u64> = (1..=20).map(|number| number * number * 7).collect();
        apply_all(&mut people, &before);
        people.take(new);
        let newcomer = people.arrive("username=slow", V2);
        people.stall(newcomer, capacity);
        people.flush();
        let after: Vec<u64> = (1..=40).map(|number| 10_000 + number * 33).collect();
        for id in &after {
            apply_all(&mut people, &[*id]);
            people.read_some(newcomer, 50);
        }
        people.read(newcomer);
        people.flush();
        assert_eq!(ids(&mut people, newcomer), [before, after.clone()].concat(), "{capacity}");
        assert_eq!(ids(&mut people, new), after);
        // As many as ever are left for those who come later.
        let (last, kept) = (after.last().copied(), after[20..].to_vec());
        assert_eq!(come_back(&mut people, after[19]), (last, true, kept.clone()));
        assert_eq!(come_back(&mut people, after[19] - 1), (last, false, kept));
    }
}
