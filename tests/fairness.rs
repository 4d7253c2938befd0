//! Who is written to when: a broadcast to a crowd does not delay others, nor they the crowd.

use hallway::conn::{Ending, Output};
use hallway::limits::Limits;
use hallway::outbound::Thresholds;
use hallway::peer::PeerId;
use testkit::Driver;
use testkit::client::{chat, masked};

const CROWD: u32 = 500;

/// How long the news of a crowd are held, in milliseconds.
fn news_ms() -> u64 {
    let Thresholds { crowd, news_ms, .. } = Thresholds::default();
    assert!(crowd > 2 && crowd < CROWD as usize, "a few are none, and these are one");
    news_ms
}

/// So many join the lobby, and take what they are told about that.
fn fill_lobby(driver: &mut Driver, count: u32) -> Vec<PeerId> {
    let ids: Vec<PeerId> =
        (0..count).map(|number| driver.ask(&format!("username=n{number}"), "")).collect();
    driver.settle();
    driver.at(driver.now.mono_ms + news_ms());
    skip(driver, &ids);
    ids
}

/// Forgets what these have been told.
fn skip(driver: &mut Driver, ids: &[PeerId]) {
    ids.iter().for_each(|&id| drop(driver.take(id)));
}

/// A lobby with a crowd in it, to which somebody has just said `text`; nothing is written yet.
fn crowd_told(text: &str) -> (Driver, Vec<PeerId>) {
    let mut driver =
        Driver::new(Limits { announce_up_to: 0, rate_per_second: 0, ..Limits::default() });
    let crowd = fill_lobby(&mut driver, CROWD);
    driver.send(crowd[0], &chat(text));
    (driver, crowd)
}

/// The same long ago, and all has been written.
fn crowd() -> (Driver, Vec<PeerId>) {
    let (mut driver, crowd) = crowd_told("long ago");
    driver.settle();
    driver.at(driver.now.mono_ms + news_ms());
    skip(&mut driver, &crowd);
    (driver, crowd)
}

/// Somebody comes to a room; nothing is written yet.
fn join_room(driver: &mut Driver, room: &str) -> PeerId {
    driver.ask(&format!("room={room}"), "")
}

/// Whether what a client has sent has to wait.
fn is_waiting(driver: &Driver, id: PeerId) -> bool {
    driver.socket(id).is_some_and(|socket| !socket.unread.is_empty())
}

/// Says a text again and again until it has to wait; how much has been said in all rooms so far.
fn say_what_is_allowed(driver: &mut Driver, id: PeerId, text: &str) -> u64 {
    while !is_waiting(driver, id) {
        driver.send(id, &chat(text));
    }
    driver.server.chat_counters().messages
}

fn steps(driver: &mut Driver, count: u32) {
    (0..count).for_each(|_| assert!(driver.step().is_some()));
}

/// How many others are written to before this one is.
fn steps_until(driver: &mut Driver, id: PeerId) -> u32 {
    (0..)
        .find(|_| driver.step().expect("it is written to") == Output::Transmit(id))
        .expect("a step")
}

#[test]
fn a_pong_does_not_wait_behind_a_crowd() {
    let (mut driver, crowd) = crowd_told("to all");
    steps(&mut driver, 10);
    // It is of the crowd itself, and one of the last there.
    let last = crowd[1];
    driver.send(last, &masked(0x89, b"?"));
    assert!(steps_until(&mut driver, last) <= 1);
    let text = driver.text(last);
    assert!(text.starts_with("\u{FFFD}\u{1}?") && text.contains("to all"), "{text:?}");

    // It was given all there was, and nothing is left for the crowd's pass.
    driver.settle();
    assert_eq!(driver.text(last), "");
    for id in crowd.into_iter().filter(|&id| id != last) {
        assert!(driver.text(id).contains("to all"));
    }
}

#[test]
fn a_small_room_does_not_wait_behind_a_crowd() {
    // A channel has one quantum before another that was listed later; after that, one that was just
    // listed goes first.
    let quantum = u32::try_from(Thresholds::default().quantum_readers).expect("a small number");
    for (written, others_max) in [(10, quantum), (2 * quantum, 3)] {
        let (mut driver, _) = crowd_told("to all");
        let (one, other) = (join_room(&mut driver, "a"), join_room(&mut driver, "a"));
        steps(&mut driver, written);
        driver.take(other);
        driver.send(one, &chat("among us"));
        let others = steps_until(&mut driver, other);
        assert!(others <= others_max, "{others} before it, after {written}");
        assert!(driver.text(other).contains("among us"));
    }
}

#[test]
fn a_crowd_does_not_wait_behind_those_who_never_rest() {
    let (mut driver, crowd) = crowd_told("to all");
    let pinger = join_room(&mut driver, "a");
    let (mut pongs, mut told) = (0, 0);
    while told < CROWD {
        if !is_waiting(&driver, pinger) {
            driver.send(pinger, &masked(0x89, b"?"));
        }
        match driver.step() {
            Some(Output::Transmit(id)) if id == pinger => pongs += 1,
            Some(Output::Transmit(_)) => told += 1,
            output => assert_eq!(output, Some(Output::Read(pinger))),
        }
    }
    assert!(pongs <= CROWD + 2, "they alternate: {pongs}");
    assert!(crowd.iter().all(|&id| driver.text(id).contains("to all")));
}

#[test]
fn what_a_crowd_is_told_meanwhile_is_one_write_each() {
    let (mut driver, crowd) = crowd_told("first");
    steps(&mut driver, 10);
    for text in ["second", "third"] {
        driver.send(crowd[0], &chat(text));
    }
    let mut writes = 10;
    while driver.step().is_some() {
        writes += 1;
    }
    assert_eq!(writes, CROWD + 10, "a second one only for those who had heard the first");
}

#[test]
fn a_crowd_that_is_told_much_keeps_its_own_members_waiting_and_nobody_else() {
    let (mut driver, crowd) = crowd_told("first");
    let other = join_room(&mut driver, "a");
    steps(&mut driver, 100);
    let said = say_what_is_allowed(&mut driver, crowd[0], "and more");
    assert_eq!(said, 128, "half a queue");
    driver.send(crowd[1], &masked(0x89, b"?"));
    assert!(is_waiting(&driver, crowd[1]));
    driver.send(other, &chat("among us"));
    assert!(!is_waiting(&driver, other) && steps_until(&mut driver, other) <= 3);

    let (newcomer, elsewhere) = (join_room(&mut driver, "lobby"), join_room(&mut driver, "b"));
    assert!(is_waiting(&driver, newcomer) && !is_waiting(&driver, elsewhere));
    assert_eq!((driver.server.members("lobby"), driver.server.members("b")), (500, 1));
    driver.settle();
    assert!(!is_waiting(&driver, newcomer) && !is_waiting(&driver, crowd[1]));
    assert_eq!(driver.server.members("lobby"), 501);
    assert_eq!(driver.text(crowd[1]).matches("and more").count(), 128, "also what waited");
}

/// What a member has been told since this was last asked: how many there are, and what was said.
fn told(driver: &mut Driver, id: PeerId) -> Vec<String> {
    let text = driver.text(id);
    let values = text.split("\"count\":").flat_map(|part| part.split("\"message\":")).skip(1);
    values.map(|value| value.split('}').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn who_comes_to_a_crowd_is_told_at_once_and_who_comes_right_after_a_little_later() {
    let (mut driver, crowd) = crowd();
    driver.join("one");
    assert_eq!(told(&mut driver, crowd[0]), ["501"]);

    let newcomer = driver.join("two");
    driver.join("three");
    assert!(driver.text(newcomer).starts_with("HTTP/1.1 101"), "nobody waits to come in");
    assert_eq!(told(&mut driver, crowd[0]), [""; 0]);
    let at = driver.now.mono_ms + news_ms();
    assert_eq!(driver.server.poll_timeout(), Some(at));
    driver.at(at - 1);
    assert_eq!(told(&mut driver, crowd[0]), [""; 0]);
    driver.at(at);
    assert_eq!(told(&mut driver, crowd[0]), ["503"]);
    assert_eq!(told(&mut driver, newcomer), ["503"]);
    assert_ne!(driver.server.poll_timeout(), Some(at), "nothing is left to tell");
}

#[test]
fn a_message_brings_the_news_along() {
    let (mut driver, crowd) = crowd();
    driver.join("one");
    driver.join("two");
    told(&mut driver, crowd[0]);
    driver.deliver(crowd[1], &chat("hello"));
    assert_eq!(told(&mut driver, crowd[0]), ["\"hello\"", "502"]);
    driver.at(driver.now.mono_ms + news_ms());
    assert_eq!(told(&mut driver, crowd[0]), [""; 0], "it is not told twice");
}

#[test]
fn who_leaves_a_crowd_gets_its_close_at_once() {
    let (mut driver, crowd) = crowd();
    driver.join("one");
    driver.deliver(crowd[1], &masked(0x88, b""));
    assert!(driver.take(crowd[1]).ends_with(b"\x88\x00"));
}

#[test]
fn a_small_room_is_told_at_once() {
    let (mut driver, _) = crowd();
    let first = join_room(&mut driver, "a");
    for count in 2..5 {
        join_room(&mut driver, "a");
        driver.settle();
        assert!(driver.text(first).contains(&format!("\"count\":{count}")));
    }
}

#[test]
fn what_is_said_waits_until_the_pass_before_it_is_over() {
    let limits = Limits { queue_frames_max: 8, rate_per_second: 0, ..Limits::default() };
    let mut driver = Driver::new(limits);
    let members = fill_lobby(&mut driver, 3);
    for _ in 0..20 {
        say_what_is_allowed(&mut driver, members[0], "hello");
        // It is written to one of them before there is more to say.
        steps(&mut driver, 1);
    }
    driver.settle();
    let said = driver.server.chat_counters().messages;
    assert!(said > 8, "more than a queue holds: {said}");
    for id in members {
        assert_eq!(driver.text(id).matches("hello").count() as u64, said, "nobody was sent away");
    }
}

/// A room was once given its next batch before everybody had been written the one before: its
/// members were one fewer than a crowd by then, and stood in another list. All of them were sent
/// away, though their sockets had taken everything.
#[test]
fn a_room_that_shrinks_while_it_is_written_to_keeps_its_readers() {
    let mut driver = Driver::new(Limits { rate_per_second: 0, ..Limits::default() });
    let lobby = fill_lobby(&mut driver, CROWD);
    let size = Thresholds::default().crowd;
    let mut room: Vec<PeerId> = (0..size).map(|_| join_room(&mut driver, "den")).collect();
    driver.at(driver.now.mono_ms + news_ms());
    skip(&mut driver, &room);

    driver.send(lobby[0], &chat("to the lobby"));
    steps(&mut driver, 1);
    let (leaver, speaker) = (room.remove(1), room[0]);
    assert_eq!(say_what_is_allowed(&mut driver, speaker, "hello"), 1 + 128, "half a queue");
    let written = |driver: &Driver| {
        let has_heard = |&&id: &&PeerId| !driver.socket(id).expect("a socket").received.is_empty();
        room.iter().filter(has_heard).count()
    };
    while written(&driver) < 5 {
        steps(&mut driver, 1);
    }
    driver.reset(leaver);
    assert_eq!(driver.server.members("den"), size - 1);
    while say_what_is_allowed(&mut driver, speaker, "hello") < 4 * 128 {
        steps(&mut driver, 1);
    }
    driver.settle();
    let said = driver.server.chat_counters().messages - 1;
    assert_eq!(driver.server.counters().exited.of(Ending::TooSlow), 0);
    for id in room {
        assert_eq!(driver.text(id).matches("hello").count() as u64, said, "all of it");
    }
}
