//! What is counted, and that it adds up: every end of a connection, every refusal and every
//! error has its own number, and each frame that somebody was to be told is accounted for.

mod common;

use common::{House, NOW, chat, handshake, masked};
use hallway::hub::PeerId;
use hallway::limits::{
    CLOSE_MS_MAX, GUEST_MS_MIN, Limits, RATE_GRACE_MS, REFUSALS_MAX, REQUEST_BYTES_MAX,
    REQUEST_MS_MAX,
};
use hallway::server::{Counters, Ending};
use hallway::wire::envelope::REJECTION_CODES;
use hallway::wire::response::REFUSAL_STATUSES;

fn limits() -> Limits {
    Limits { rate_per_second: 0, peers_max: 50, rooms_max: 4, ..Limits::default() }
}

/// Ends a connection in this way.
fn end(house: &mut House, ending: Ending) {
    let id = house.connect();
    match ending {
        Ending::Unused => return house.server.handle_eof(id, house.now),
        Ending::GaveWay => {
            // All others are gone in time.
            (1..limits().peers_max + REFUSALS_MAX).for_each(|_| _ = house.connect());
            house.at(house.now.mono_ms + GUEST_MS_MIN);
            house.connect();
            return;
        }
        Ending::Served => return house.send(id, b"GET /health HTTP/1.1\r\nHost: box\r\n\r\n"),
        Ending::Refused => return house.send(id, b"GET /nowhere HTTP/1.1\r\nHost: box\r\n\r\n"),
        _ => house.handshake(id, "alice"),
    }
    match ending {
        Ending::Left => house.send(id, &masked(0x88, b"\x03\xe8")),
        Ending::Lost => house.server.handle_eof(id, house.now),
        Ending::Silent => {
            while house.server.counters().left.sum() == 0 && house.now.mono_ms < 2 * NOW.mono_ms {
                house.at(house.server.poll_timeout().expect("a deadline"));
            }
        }
        Ending::Protocol => house.send(id, &masked(0x83, b"")),
        Ending::Binary => house.send(id, &masked(0x82, b"")),
        Ending::NotUtf8 => house.send(id, &masked(0x81, b"\xff")),
        Ending::OverRate => stay_over_the_rate(house, id),
        Ending::TooBig => house.send(id, &masked(0x81, &[b'a'; 16 * 1024 + 1])),
        Ending::TooSlow => {
            house.block(id);
            let other = house.join("bob");
            (0..300).for_each(|_| house.send(other, &chat("Hello!")));
            house.server.handle_closed(other, house.now);
        }
        _ => house.server.drain(house.now),
    }
}

fn stay_over_the_rate(house: &mut House, id: PeerId) {
    for _ in 0..=RATE_GRACE_MS / 500 {
        (0..30).for_each(|_| house.send(id, &chat("!")));
        house.at(house.now.mono_ms + 500);
    }
}

#[test]
fn each_end_of_a_connection_has_its_number() {
    for ending in Ending::ALL {
        let is_rated = ending == Ending::OverRate;
        let rated = Limits { rate_per_second: 10, burst: 10, ..limits() };
        let mut house = House::new(if is_rated { rated } else { limits() });
        end(&mut house, ending);
        house.flush();
        house.at(house.now.mono_ms + REQUEST_MS_MAX.max(CLOSE_MS_MAX));
        let Counters { accepted, closed, joined, left, .. } = house.server.counters();
        assert_eq!(house.server.peers(), 0, "{ending}");
        assert_eq!((closed.sum(), left.sum()), (accepted, joined), "{ending}");
        assert_eq!(closed.of(ending), 1, "{ending}");
        // The second connection of the slow reader's case is its own, and so is a full house.
        let others = match ending {
            Ending::TooSlow => 1,
            Ending::GaveWay => u64::from(limits().peers_max + REFUSALS_MAX),
            _ => 0,
        };
        assert_eq!(closed.sum(), 1 + others, "{ending}");
    }
}

#[test]
fn each_refusal_is_counted_by_its_status() {
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(REQUEST_BYTES_MAX));
    let foreign = handshake("", "Origin: http://elsewhere.example\r\n");
    let unwanted = "GET /chat HTTP/1.1\r\nHost: box\r\n\r\n";
    let requests = [
        (400, "no request\r\n\r\n"),
        (403, &foreign),
        (404, "GET /nowhere HTTP/1.1\r\nHost: box\r\n\r\n"),
        (405, "POST / HTTP/1.1\r\nHost: box\r\n\r\n"),
        (408, "GET /chat HTTP/1.1\r\n"),
        (426, unwanted),
        (429, &handshake("", "")),
        (431, &long),
        (503, &handshake("", "")),
        (505, &handshake("", "").replace("HTTP/1.1", "HTTP/1.0")),
    ];
    assert_eq!(requests.map(|(status, _)| status), REFUSAL_STATUSES);
    for (status, request) in requests {
        let peers_per_ip_max = u32::from(status == 429);
        let peers_max = if status == 503 { 1 } else { 50 };
        let mut house = House::new(Limits { peers_per_ip_max, peers_max, ..limits() });
        house.join("alice");
        let id = house.connect();
        house.send(id, request.as_bytes());
        house.at(NOW.mono_ms + REQUEST_MS_MAX);
        let answer = house.text(id);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
        let Counters { refused, full, .. } = house.server.counters();
        assert_eq!((refused.of(status), refused.sum()), (1, 1), "{status}");
        assert_eq!(full, u64::from(status == 503));
    }
}

#[test]
fn one_room_too_many_is_told_from_a_full_house() {
    let mut house = House::new(Limits { rooms_max: 1, ..limits() });
    for room in ["one", "two"] {
        let id = house.connect();
        house.send(id, handshake(&format!("room={room}"), "").as_bytes());
    }
    let Counters { refused, full, no_room, .. } = house.server.counters();
    assert_eq!((refused.of(503), full, no_room), (1, 0, 1));
}

#[test]
fn each_error_is_counted_by_its_code() {
    let long = "a".repeat(5_000);
    let messages = [
        ("notJson", "{".to_owned()),
        ("notEnvelope", "{}".to_owned()),
        ("unknownType", r#"{"type":"nope"}"#.to_owned()),
        ("empty", r#"{"type":"chatMessage","payload":{"message":""}}"#.to_owned()),
        ("tooLong", format!(r#"{{"type":"chatMessage","payload":{{"message":"{long}"}}}}"#)),
        ("badRef", r#"{"type":"chatMessage","payload":{"message":"a","ref":1}}"#.to_owned()),
        ("tooFast", "the burst is used up".to_owned()),
    ];
    assert_eq!(messages.each_ref().map(|(code, _)| *code), REJECTION_CODES);
    let mut house = House::new(Limits { rate_per_second: 1, burst: 6, ..limits() });
    let id = house.connect();
    house.send(id, handshake("", "Sec-WebSocket-Protocol: hallway.v2\r\n").as_bytes());
    for (code, message) in messages {
        house.send(id, &masked(0x81, message.as_bytes()));
        assert_eq!(house.server.counters().rejected.of(code), 1, "{code}");
    }
}

#[test]
fn bytes_and_messages_are_counted_as_they_come_and_go() {
    let mut house = House::new(limits());
    let id = house.join("alice");
    let before = house.server.counters();
    let sent = [masked(0x89, b"?"), masked(0x8a, b""), chat("Hello!")].concat();
    house.send(id, &sent);
    let after = house.server.counters();
    assert_eq!(after.received_bytes - before.received_bytes, sent.len() as u64);
    assert_eq!((after.texts, after.pings, after.pongs, after.messages), (1, 1, 1, 1));
    assert_eq!(after.sent_bytes, house.take(id).len() as u64);
}

/// Three members, of whom the second does not read.
fn three(house: &mut House) -> [PeerId; 3] {
    let ids = ["a", "b", "c"].map(|name| house.join(name));
    house.block(ids[1]);
    ids
}

#[test]
fn what_waits_is_not_sent_and_what_is_sent_was_expected() {
    let mut house = House::new(limits());
    let [a, b, _] = three(&mut house);
    let before = house.server.counters().frames;
    assert_eq!((before.sent, before.dropped()), (before.expected, 0));
    (0..10).for_each(|_| house.send(a, &chat("Hello!")));
    let frames = house.server.counters().frames;
    assert_eq!((frames.expected - before.expected, frames.sent - before.sent), (30, 20));
    house.unblock(b);
    let frames = house.server.counters().frames;
    assert_eq!((frames.sent, frames.dropped()), (frames.expected, 0));
}

#[test]
fn what_a_slow_reader_misses_is_counted() {
    let mut house = House::new(limits());
    let [a, _, _] = three(&mut house);
    (0..300).for_each(|_| house.send(a, &chat("Hello!")));
    let frames = house.server.counters().frames;
    // 256 fill its queue, and with the next it is given up; after that nobody expects it to hear.
    assert_eq!((frames.too_slow, frames.gone, frames.spared), (257, 0, 0));
    assert_eq!(frames.sent + frames.dropped(), frames.expected);
}

#[test]
fn what_a_laggard_would_have_been_told_alone_is_counted() {
    let mut house = House::new(limits());
    let [a, b, _] = three(&mut house);
    (0..256).for_each(|_| house.send(a, &chat("Hello!")));
    // Its own message is one too many, and then comes what is wrong with the next.
    house.send(b, &[chat("Hello!"), masked(0x81, b"?")].concat());
    let frames = house.server.counters().frames;
    assert_eq!((frames.too_slow, frames.gone, frames.spared), (258, 0, 0));
    assert_eq!(frames.sent + frames.dropped(), frames.expected);
}

#[test]
fn what_was_for_somebody_who_is_gone_is_counted() {
    let mut house = House::new(limits());
    let [a, b, _] = three(&mut house);
    (0..10).for_each(|_| house.send(a, &chat("Hello!")));
    // One more in the turn in which it goes: that one has not even reached its queue.
    house.server.handle_input(a, &mut chat("Hello!"), NOW);
    house.server.handle_closed(b, NOW);
    house.flush();
    let frames = house.server.counters().frames;
    assert_eq!((frames.too_slow, frames.gone, frames.spared), (0, 11, 0));
    assert_eq!(frames.sent + frames.dropped(), frames.expected);
}

#[test]
fn who_lags_is_spared_the_news_of_who_writes() {
    let mut house = House::new(limits());
    let second = "Sec-WebSocket-Protocol: hallway.v2\r\n";
    let [a, b] = ["a", "b"].map(|name| {
        let id = house.connect();
        house.send(id, handshake(&format!("username={name}"), second).as_bytes());
        id
    });
    house.block(b);
    house.send(a, &chat("Hello!"));
    house.send(a, &masked(0x81, br#"{"type":"typing"}"#));
    let Counters { typing, frames, .. } = house.server.counters();
    assert_eq!((typing, frames.spared, frames.gone, frames.too_slow), (1, 1, 0, 0));
}
