//! What is counted, and that it adds up: every end of a connection, every refusal and every error
//! has its own number, and each frame for a reader is sent, dropped or still waiting.

use hallway::chat::{self, Hosts, Setup};
use hallway::conn::{Counters, Ending};
use hallway::envelope::REJECTION_CODES;
use hallway::http::REFUSAL_STATUSES;
use hallway::limits::{
    CLOSE_MS_MAX, Limits, PENDING_MS_MIN, PROGRESS_MS_MAX, REFUSALS_MAX, REQUEST_BYTES_MAX,
    REQUEST_MS_MAX,
};
use hallway::outbound::Frames;
use hallway::peer::PeerId;
use testkit::client::{V2, chat, handshake, masked};
use testkit::{Driver, NOW};

fn limits() -> Limits {
    Limits { rate_per_second: 0, peers_max: 50, rooms_max: 4, ..Limits::default() }
}

/// Ends a connection in this way.
fn end(driver: &mut Driver, ending: Ending) {
    let id = driver.open();
    match ending {
        Ending::Unused => return driver.eof(id),
        Ending::Evicted => {
            // All others are gone in time.
            (1..limits().peers_max + REFUSALS_MAX).for_each(|_| _ = driver.open());
            driver.at(driver.now.mono_ms + PENDING_MS_MIN);
            driver.open();
            return;
        }
        Ending::Served => return driver.deliver(id, b"GET /health HTTP/1.1\r\nHost: box\r\n\r\n"),
        Ending::Refused => {
            return driver.deliver(id, b"GET /nowhere HTTP/1.1\r\nHost: box\r\n\r\n");
        }
        _ => driver.deliver(id, handshake("username=alice", "").as_bytes()),
    }
    match ending {
        Ending::ClosedByPeer => driver.deliver(id, &masked(0x88, b"\x03\xe8")),
        Ending::Lost => driver.eof(id),
        Ending::Silent => {
            while driver.server.counters().exited.sum() == 0 && driver.now.mono_ms < 2 * NOW.mono_ms
            {
                driver.at(driver.server.poll_timeout().expect("a deadline"));
            }
        }
        Ending::Stalled => {
            driver.block(id);
            while driver.server.counters().exited.sum() == 0 && driver.now.mono_ms < 2 * NOW.mono_ms
            {
                // It is not silent.
                driver.deliver(id, &masked(0x89, b""));
                driver.at(driver.now.mono_ms + PROGRESS_MS_MAX / 8);
            }
        }
        Ending::Protocol => driver.deliver(id, &masked(0x83, b"")),
        Ending::Binary => driver.deliver(id, &masked(0x82, b"")),
        Ending::NotUtf8 => driver.deliver(id, &masked(0x81, b"\xff")),
        Ending::TooBig => driver.deliver(id, &masked(0x81, &[b'a'; 16 * 1024 + 1])),
        Ending::TooSlow => {
            driver.block(id);
            let other = driver.join("bob");
            (0..300).for_each(|_| driver.deliver(other, &chat("Hello!")));
            driver.reset(other);
        }
        Ending::OverMemory => driver.deliver(id, &masked(0x01, &[b'a'; 15 * 1024])),
        _ => driver.server.drain(driver.now),
    }
}

#[test]
fn each_end_of_a_connection_has_its_number() {
    for ending in Ending::ALL {
        let memory_bytes_max = if ending == Ending::OverMemory { 10_000 } else { 1 << 28 };
        let mut driver = Driver::new(Limits { memory_bytes_max, ..limits() });
        end(&mut driver, ending);
        driver.settle();
        driver.at(driver.now.mono_ms + REQUEST_MS_MAX.max(CLOSE_MS_MAX));
        let &Counters { accepted, closed, joined, exited, .. } = driver.server.counters();
        assert_eq!(driver.server.peers().len(), 0, "{ending}");
        assert_eq!((closed.sum(), exited.sum()), (accepted, joined), "{ending}");
        assert_eq!(closed.of(ending), 1, "{ending}");
        // The second connection of the slow reader's case is its own, and so are those that fill the server.
        let others = match ending {
            Ending::TooSlow => 1,
            Ending::Evicted => u64::from(limits().peers_max + REFUSALS_MAX),
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
        (421, "GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n"),
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
        let mut hosts = Hosts::default();
        hosts.add("box").expect("a name");
        let limits = Limits { peers_per_ip_max, peers_max, ..limits() };
        let mut driver = Driver::chat(Setup { limits, hosts, ..Setup::default() });
        driver.join("alice");
        let id = driver.open();
        driver.deliver(id, request.as_bytes());
        driver.at(NOW.mono_ms + REQUEST_MS_MAX);
        let answer = driver.text(id);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
        let refused = driver.server.counters().refused;
        assert_eq!((refused.of(status), refused.sum()), (1, 1), "{status}");
        assert_eq!(driver.server.chat_counters().full, u64::from(status == 503));
    }
}

#[test]
fn one_room_too_many_is_told_from_a_full_server() {
    let mut driver = Driver::new(Limits { rooms_max: 1, ..limits() });
    for room in ["one", "two"] {
        let id = driver.open();
        driver.deliver(id, handshake(&format!("room={room}"), "").as_bytes());
    }
    let chat::Counters { full, no_room, .. } = *driver.server.chat_counters();
    assert_eq!((driver.server.counters().refused.of(503), full, no_room), (1, 0, 1));
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
    ];
    assert_eq!(messages.each_ref().map(|(code, _)| *code), REJECTION_CODES);
    let mut driver = Driver::new(limits());
    let id = driver.open();
    driver.deliver(id, handshake("", V2).as_bytes());
    for (code, message) in messages {
        driver.deliver(id, &masked(0x81, message.as_bytes()));
        assert_eq!(driver.server.chat_counters().rejected.of(code), 1, "{code}");
    }
}

#[test]
fn bytes_and_messages_are_counted_as_they_come_and_go() {
    let mut driver = Driver::new(limits());
    let id = driver.join("alice");
    let before = *driver.server.counters();
    let sent = [masked(0x89, b"?"), masked(0x8a, b""), chat("Hello!")].concat();
    driver.deliver(id, &sent);
    let after = *driver.server.counters();
    assert_eq!(after.received_bytes - before.received_bytes, sent.len() as u64);
    assert_eq!((after.texts, after.pings, after.pongs), (1, 1, 1));
    assert_eq!(driver.server.chat_counters().messages, 1);
    assert_eq!(after.sent_bytes, driver.take(id).len() as u64);
}

/// Three members, of whom the second does not read.
fn three(driver: &mut Driver) -> [PeerId; 3] {
    let ids = ["a", "b", "c"].map(|name| driver.join(name));
    driver.block(ids[1]);
    ids
}

fn frames(driver: &Driver) -> Frames {
    driver.server.peers().outbound.frames()
}

/// Frames that wait for somebody.
fn waiting(driver: &Driver) -> u64 {
    driver.server.peers().outbound.depth().sum.frames
}

#[test]
fn each_frame_waits_or_is_sent() {
    let mut driver = Driver::new(limits());
    let [a, b, c] = three(&mut driver);
    // Who came and how many there are now, to all who were there.
    assert_eq!((frames(&driver).sent, waiting(&driver)), (2 * (1 + 2 + 3), 0));
    (0..10).for_each(|_| driver.deliver(a, &chat("Hello!")));
    assert_eq!((frames(&driver).sent, waiting(&driver)), (12 + 20, 10));
    driver.unblock(b);
    assert_eq!(frames(&driver), Frames { sent: 12 + 30, too_slow: 0, gone: 0 });
    let received: usize =
        [a, b, c].map(|id| driver.text(id).matches("Hello!").count()).iter().sum();
    assert_eq!((received, waiting(&driver)), (30, 0));
}

#[test]
fn what_a_slow_reader_misses_is_counted() {
    let mut driver = Driver::new(limits());
    let [a, _, _] = three(&mut driver);
    (0..300).for_each(|_| driver.deliver(a, &chat("Hello!")));
    // 256 fill its queue, and with the next it is given up; after that nothing is for it. The two
    // others are told that as well, and how many stay.
    let sent = 12 + 2 * (300 + 2);
    assert_eq!(frames(&driver), Frames { sent, too_slow: 257, gone: 0 });
    assert_eq!(waiting(&driver), 0);
}

#[test]
fn what_a_slow_reader_would_have_been_told_alone_is_counted() {
    let mut driver = Driver::new(limits());
    let [a, b, _] = three(&mut driver);
    (0..256).for_each(|_| driver.deliver(a, &chat("Hello!")));
    // Its own message is one too many, and then comes what is wrong with the next.
    driver.deliver(b, &[chat("Hello!"), masked(0x81, b"?")].concat());
    let sent = 12 + 2 * (257 + 2);
    assert_eq!(frames(&driver), Frames { sent, too_slow: 258, gone: 0 });
}

#[test]
fn what_was_for_somebody_who_is_gone_is_counted() {
    let mut driver = Driver::new(limits());
    let [a, b, _] = three(&mut driver);
    (0..10).for_each(|_| driver.deliver(a, &chat("Hello!")));
    // One more in the iteration in which it goes: nobody has been written that yet.
    driver.send(a, &chat("Hello!"));
    driver.reset(b);
    driver.settle();
    let sent = 12 + 2 * (11 + 2);
    assert_eq!(frames(&driver), Frames { sent, too_slow: 0, gone: 11 });
}

#[test]
fn the_news_of_who_writes_are_no_frame_that_counts() {
    let mut driver = Driver::new(limits());
    let [a, b] = ["a", "b"].map(|name| driver.ask(&format!("username={name}"), V2));
    driver.settle();
    driver.block(b);
    let before = frames(&driver).sent;
    driver.deliver(a, &chat("Hello!"));
    driver.deliver(a, &masked(0x81, br#"{"type":"typing"}"#));
    assert_eq!(driver.server.chat_counters().typing, 1);
    assert_eq!((frames(&driver).sent - before, waiting(&driver)), (1, 1));
    driver.unblock(b);
    assert_eq!(frames(&driver), Frames { sent: before + 2, too_slow: 0, gone: 0 });
}
