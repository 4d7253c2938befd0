//! Each limit at its maximum and one beyond, in the server without sockets, where time is a value.

mod common;

use common::{House, NOW, chat, closing_code, handshake, masked};
use std::net::{IpAddr, Ipv4Addr};

use hallway::limits::{
    CLOSE_MS_MAX, CROWD_NEWS_MS_MIN, DRAIN_MS_MAX, ERROR_BYTES_MAX, GUEST_MS_MIN, Limits,
    REFERENCE_BYTES_MAX, REFUSALS_MAX, REQUEST_BYTES_MAX, REQUEST_HEADERS_MAX, REQUEST_MS_MAX,
    ROOM_CHARS_MAX, USERNAME_CHARS_MAX,
};
use hallway::server::Ending;

#[test]
fn a_request_head_has_ten_seconds_however_it_is_dripped() {
    let mut house = House::new(Limits::default());
    let id = house.connect();
    for ms in (0..REQUEST_MS_MAX).step_by(1_000) {
        house.at(NOW.mono_ms + ms);
        house.send(id, b"G");
    }
    house.at(NOW.mono_ms + REQUEST_MS_MAX - 1);
    assert_eq!(house.take(id), b"");
    house.at(NOW.mono_ms + REQUEST_MS_MAX);
    assert!(house.take(id).starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn a_connection_that_asks_for_nothing_is_dropped_without_a_word() {
    let mut house = House::new(Limits::default());
    let id = house.connect();
    house.at(NOW.mono_ms + REQUEST_MS_MAX);
    assert_eq!((house.take(id), house.server.peers()), (Vec::new(), 0));
}

#[test]
fn a_request_head_has_a_length() {
    for (len, status) in [(REQUEST_BYTES_MAX, "404"), (REQUEST_BYTES_MAX + 1, "431")] {
        let mut house = House::new(Limits::default());
        let id = house.connect();
        let frame = "GET / HTTP/1.1\r\n\r\n".len();
        let head = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(len - frame));
        for byte in head.bytes() {
            house.send(id, &[byte]);
        }
        let answer = String::from_utf8(house.take(id)).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{len} bytes");
    }
}

#[test]
fn a_message_has_a_length_whether_in_one_frame_or_in_fragments() {
    let limits = Limits { message_bytes_max: 200, text_bytes_max: 100, ..Limits::default() };
    for (len, code) in [(200, None), (201, Some(1009))] {
        let mut house = House::new(limits.clone());
        let id = house.join("alice");
        house.send(id, &masked(0x81, &vec![b' '; len]));
        assert_eq!(closing_code(&house.take(id)), code, "{len} bytes in one frame");

        let id = house.join("bob");
        house
            .send(id, &[masked(0x01, &[b' '; 100]), masked(0x80, &vec![b' '; len - 100])].concat());
        assert_eq!(closing_code(&house.take(id)), code, "{len} bytes in fragments");
    }
}

#[test]
fn a_message_has_so_many_fragments() {
    let limits = Limits { fragments_max: 5, ..Limits::default() };
    for (fragments, code) in [(5, None), (6, Some(1009))] {
        let mut house = House::new(limits.clone());
        let id = house.join("alice");
        let mut bytes = masked(0x01, b"");
        for _ in 0..fragments - 2 {
            bytes.extend(masked(0x00, b""));
        }
        bytes.extend(masked(0x80, b"x"));
        house.send(id, &bytes);
        assert_eq!(closing_code(&house.take(id)), code, "{fragments} fragments");
    }
}

#[test]
fn a_text_has_a_length_and_its_sender_lives_on() {
    let mut house = House::new(Limits { text_bytes_max: 5, ..Limits::default() });
    let (alice, bob) = (house.join("alice"), house.join("bob"));
    house.take(bob);
    house.send(alice, &chat("12345"));
    house.send(alice, &chat("123456"));
    assert!(house.text(alice).ends_with(r#"{"text":"message is 6 bytes, the limit is 5"}}"#));
    let heard = house.text(bob);
    assert!(heard.contains("12345") && !heard.contains("limit"), "{heard}");
}

#[test]
fn a_text_is_measured_in_bytes_after_its_escapes_are_gone() {
    let mut house = House::new(Limits { text_bytes_max: 6, ..Limits::default() });
    let alice = house.join("alice");
    for (message, is_heard) in [("ääü", true), ("ääüx", false), (r"\u00e4\u00e4\n\n", true)] {
        house.take(alice);
        house.send(alice, &chat(message));
        assert_eq!(house.text(alice).contains("chatMessage"), is_heard, "{message}");
    }
}

#[test]
fn a_request_has_so_many_header_fields() {
    // The handshake has five of its own.
    for (fields, status) in [(REQUEST_HEADERS_MAX, "101"), (REQUEST_HEADERS_MAX + 1, "431")] {
        let mut house = House::new(Limits::default());
        let id = house.connect();
        house.send(id, handshake("", &"X: y\r\n".repeat(fields - 5)).as_bytes());
        assert_eq!(house.text(id).split(' ').nth(1), Some(status), "{fields} fields");
    }
}

#[test]
fn names_are_cut() {
    let mut house = House::new(Limits::default());
    for len in [USERNAME_CHARS_MAX, USERNAME_CHARS_MAX + 1] {
        let id = house.join(&"n".repeat(len));
        let name = "n".repeat(USERNAME_CHARS_MAX);
        assert!(house.text(id).contains(&format!("\"{name} joined\"")), "{len} characters");
    }
    let room = "r".repeat(ROOM_CHARS_MAX);
    for query in [format!("room={room}"), format!("room={room}r")] {
        let id = house.connect();
        house.send(id, handshake(&query, "").as_bytes());
    }
    assert_eq!(house.server.members(&room), 2);
}

#[test]
fn what_an_error_quotes_is_cut() {
    let mut house = House::new(Limits::default());
    let id = house.join("alice");
    house.take(id);
    house.send(id, &masked(0x81, format!(r#"{{"type":"{}"}}"#, "ä".repeat(5000)).as_bytes()));
    let answer = house.text(id);
    assert!(answer.contains("unknown type"), "{answer}");
    assert!(answer.len() < ERROR_BYTES_MAX + 100, "{answer}");
}

#[test]
fn a_reference_has_a_length() {
    for (len, is_heard) in [(REFERENCE_BYTES_MAX, true), (REFERENCE_BYTES_MAX + 1, false)] {
        let mut house = House::new(Limits::default());
        let id = house.connect();
        let fields = "Sec-WebSocket-Protocol: hallway.v2\r\n";
        house.send(id, handshake("", fields).as_bytes());
        house.take(id);
        let reference = "r".repeat(len);
        let json =
            format!(r#"{{"type":"chatMessage","payload":{{"message":"x","ref":"{reference}"}}}}"#);
        house.send(id, &masked(0x81, json.as_bytes()));
        let answer = house.text(id);
        assert_eq!(answer.contains("chatMessage"), is_heard, "{len} bytes: {answer}");
        assert_eq!(answer.contains(&reference), is_heard, "{len} bytes: {answer}");
    }
}

#[test]
fn a_newcomer_gets_as_many_messages_as_the_history_keeps() {
    for history_frames_max in [0, 1, 100] {
        let mut house = House::new(Limits { history_frames_max, ..Limits::default() });
        let alice = house.join("alice");
        for number in 0..150 {
            house.send(alice, &chat(&format!("m{number}")));
        }
        let bob = house.join("bob");
        let text = house.text(bob);
        assert_eq!(text.matches("chatMessage").count(), history_frames_max as usize);
        assert_eq!(text.contains("m149"), history_frames_max > 0);
    }
}

#[test]
fn a_reader_may_lag_so_many_frames_and_then_costs_only_itself() {
    let limits = Limits { queue_frames_max: 10, rate_per_second: 0, ..Limits::default() };
    for (messages, is_dropped) in [(10, false), (11, true)] {
        let mut house = House::new(limits.clone());
        let (alice, slow) = (house.join("alice"), house.join("slow"));
        house.take(slow);
        house.take(alice);
        house.block(slow);
        for number in 0..messages {
            house.send(alice, &chat(&format!("m{number}")));
        }
        let heard = house.text(alice);
        let order: Vec<usize> =
            (0..messages).map(|number| heard.find(&format!("m{number}\"")).unwrap()).collect();
        assert!(order.is_sorted(), "nobody else sees a gap");
        assert_eq!(heard.contains("slow left"), is_dropped, "{messages} messages");
        house.unblock(slow);
        let code = if is_dropped { Some(1013) } else { None };
        assert_eq!(closing_code(&house.take(slow)), code, "{messages} messages");
    }
}

/// What a reader gets in the end that does not read while `count` messages are said to its room,
/// with a queue of `queue_bytes_max`.
fn lag(queue_bytes_max: u32, count: usize) -> Vec<u8> {
    let limits =
        Limits { queue_bytes_max, text_bytes_max: 100, rate_per_second: 0, ..Limits::default() };
    assert_eq!(limits.check(), Ok(()));
    let mut house = House::new(limits);
    let (alice, slow) = (house.join("alice"), house.join("slow"));
    house.take(slow);
    house.block(slow);
    for _ in 0..count {
        house.send(alice, &chat(&"x".repeat(100)));
    }
    assert_eq!(house.text(alice).matches("chatMessage").count(), count, "nobody else notices");
    house.unblock(slow);
    house.take(slow)
}

#[test]
fn a_reader_may_lag_so_many_bytes() {
    let each = u32::try_from(lag(10_000, 1).len()).unwrap();
    assert_eq!(closing_code(&lag(50 * each, 50)), None);
    assert_eq!(closing_code(&lag(50 * each - 1, 50)), Some(1013));
}

#[test]
fn a_laggard_gets_the_rest_of_its_frame_and_then_a_close() {
    let limits = Limits { queue_frames_max: 10, rate_per_second: 0, ..Limits::default() };
    let frame = br#"..{"type":"chatMessage","payload":{"username":"alice","message":"m0"}}"#.len();
    for room in [1, frame - 1, frame, frame + 1, 2 * frame - 1] {
        let mut house = House::new(limits.clone());
        let (alice, slow) = (house.join("alice"), house.join("slow"));
        house.take(slow);
        house.block_after(slow, room);
        for _ in 0..10 {
            // Two in one turn share a piece of memory, which must be cut between them.
            house.send(alice, &[chat("m1"), chat("m2")].concat());
        }
        assert_eq!(house.server.counters().left.of(Ending::TooSlow), 1);
        house.unblock(slow);
        let stream = house.take(slow);
        let whole_frames = room.div_ceil(frame);
        assert_eq!(closing_code(&stream), Some(1013), "after {room} bytes");
        assert_eq!(&stream[whole_frames * frame..][..1], b"\x88", "after {room} bytes");
        assert_eq!(house.text(alice).matches("chatMessage").count(), 20, "nobody else notices");
    }
}

#[test]
fn who_errs_and_lags_at_once_is_told_of_the_error() {
    let limits = Limits { queue_frames_max: 10, rate_per_second: 0, ..Limits::default() };
    let mut house = House::new(limits);
    let (alice, slow) = (house.join("alice"), house.join("slow"));
    house.take(slow);
    house.block(slow);
    for number in 0..10 {
        house.send(alice, &chat(&format!("m{number}")));
    }
    let reserved_bits = 0xf1;
    house.send(slow, &[chat("one too many"), masked(reserved_bits, b"")].concat());
    house.unblock(slow);
    let stream = house.take(slow);
    assert_eq!(closing_code(&stream), Some(1002));
    assert_eq!(String::from_utf8_lossy(&stream).matches("chatMessage").count(), 10, "up to there");
    let left = house.server.counters().left;
    assert_eq!((left.of(Ending::Protocol), left.of(Ending::TooSlow)), (1, 0));
    assert!(house.text(alice).contains("one too many"), "nobody else notices");
}

#[test]
fn a_thousand_messages_in_one_segment_reach_everybody_who_reads() {
    let mut house = House::new(Limits { rate_per_second: 0, ..Limits::default() });
    let (alice, bob) = (house.join("alice"), house.join("bob"));
    let all: Vec<u8> = (0..1000).flat_map(|number| chat(&format!("m{number}"))).collect();
    house.take(bob);
    house.send(alice, &all);
    let heard = house.text(bob);
    assert_eq!(heard.matches("chatMessage").count(), 1000);
    assert_eq!(house.server.counters().left.of(Ending::TooSlow), 0);
    let limits = Limits::default();
    assert!(limits.queue_frames_max < 1000, "or it would prove nothing");
}

#[test]
fn a_thousand_leaves_in_one_turn_overflow_nobody_who_reads() {
    let mut house = House::new(Limits::default());
    let stays = house.join("stays");
    let others: Vec<_> = (0..900).map(|number| house.join(&format!("n{number}"))).collect();
    house.take(stays);
    for id in others {
        if house.server.must_flush(stays) {
            house.flush();
        }
        house.server.handle_closed(id, house.now);
    }
    house.flush();
    house.at(house.now.mono_ms + CROWD_NEWS_MS_MIN);
    assert_eq!(house.text(stays).matches(" left").count(), 900);
    assert_eq!((house.server.counters().left.of(Ending::TooSlow), house.server.peers()), (0, 1));
}

#[test]
fn a_thousand_closes_in_one_turn_overflow_nobody_who_reads() {
    let mut house = House::new(Limits { peers_max: 1001, ..Limits::default() });
    let stays = house.join("stays");
    let others: Vec<_> =
        (0..1000).map(|number| house.join_unflushed(&number.to_string())).collect();
    house.flush();
    house.take(stays);
    for id in others {
        // What was not taken because the turn was full comes again, as in the reactor.
        let mut close = masked(0x88, &1000_u16.to_be_bytes());
        let mut taken = 0;
        while taken < close.len() {
            taken += house.server.handle_input(id, &mut close[taken..], house.now);
            if taken < close.len() {
                house.flush_unchecked();
            }
        }
    }
    house.flush();
    let heard = house.text(stays);
    assert_eq!(heard.matches(" left").count(), 1000);
    assert!(heard.ends_with(r#"{"type":"userCount","payload":{"count":1}}"#), "{heard}");
    assert_eq!(house.server.counters().left.of(Ending::TooSlow), 0);
}

#[test]
fn every_ping_of_one_segment_is_answered_to_who_reads_and_the_last_to_who_does_not() {
    let mut house = House::new(Limits::default());
    let id = house.join("alice");
    house.take(id);
    let numbers = (0..1000_u16).map(u16::to_be_bytes);
    let pings: Vec<u8> = numbers.clone().flat_map(|number| masked(0x89, &number)).collect();
    house.send(id, &pings);
    let pongs: Vec<u8> = numbers.flat_map(|[high, low]| [0x8a, 2, high, low]).collect();
    assert_eq!(house.take(id), pongs);

    house.block(id);
    house.send(id, &masked(0x89, b"first"));
    for _ in 0..1000 {
        house.send(id, &masked(0x89, b"more"));
    }
    house.unblock(id);
    let late = house.take(id);
    assert!(late.len() <= 2 * (2 + 125), "one slot, and one that was being written");
    assert!(late.ends_with(b"\x8a\x04more"));
}

#[test]
fn a_pong_overtakes_neither_the_handshake_nor_an_earlier_pong() {
    let mut house = House::new(Limits::default());
    let id = house.connect();
    house.send(id, &[handshake("", "").as_bytes(), &masked(0x89, b"early")].concat());
    let told = house.text(id);
    assert!(told.starts_with("HTTP/1.1 101 ") && told.contains("\u{5}early"), "{told}");

    // Each has been offered to the socket, which took nothing of it.
    house.block(id);
    for name in [b"1st", b"2nd", b"3rd"] {
        house.send(id, &masked(0x89, name));
        house.server.handle_writable(id);
        house.flush();
    }
    house.unblock(id);
    let told = house.text(id);
    let places: Vec<_> =
        ["1st", "2nd", "3rd"].map(|name| told.find(name)).into_iter().flatten().collect();
    assert!(places.is_sorted() && told.ends_with("\u{3}3rd"), "{told:?}");
}

#[test]
fn who_sends_too_fast_is_told_and_after_ten_seconds_sent_away() {
    let limits = Limits { rate_per_second: 10, burst: 5, ..Limits::default() };
    let mut house = House::new(limits);
    let id = house.join("alice");
    house.take(id);
    house.send(id, &[chat("x"), chat("x"), chat("x"), chat("x"), chat("x")].concat());
    assert!(!house.text(id).contains("too fast"));
    house.send(id, &chat("x"));
    assert!(house.text(id).contains("too fast: the limit is 10 messages a second"));
    for step in 1..=40 {
        assert_eq!(closing_code(&house.take(id)), None, "after {} ms", step * 250);
        house.at(NOW.mono_ms + step * 250);
        house.send(id, &chat("x").repeat(20));
    }
    assert_eq!(closing_code(&house.take(id)), Some(1008));
}

#[test]
fn who_is_silent_is_pinged_and_then_dropped() {
    let mut house = House::new(Limits { ping_ms: 6400, ..Limits::default() });
    let id = house.join("alice");
    house.take(id);
    let slice = 100;
    house.at(NOW.mono_ms + 6399);
    assert_eq!(house.take(id), b"");
    house.at(NOW.mono_ms + 6400 + slice);
    assert_eq!(house.take(id), b"\x89\x00");
    house.send(id, &masked(0x8a, b""));
    let silent_ms = ms_until_dropped(&mut house);
    let most_ms = 6400 * 5 / 2 + slice;
    assert!((6400 * 5 / 2..=most_ms).contains(&silent_ms), "a pong is a sign of life: {silent_ms}");
    let counters = house.server.counters();
    assert_eq!(counters.left.of(Ending::Silent), 1);
    assert_eq!(counters.pinged, 3, "once before the pong, and twice after it");
}

/// Wakes the server whenever it wants to be woken, until nobody is there; how long that takes.
fn ms_until_dropped(house: &mut House) -> u64 {
    let from_ms = house.now.mono_ms;
    while house.server.members("lobby") > 0 {
        house.at(house.server.poll_timeout().expect("a deadline"));
        assert!(house.now.mono_ms < from_ms + 1_000_000, "nobody is ever dropped");
    }
    house.now.mono_ms - from_ms
}

#[test]
fn time_in_which_the_process_was_stopped_is_nobodys_silence() {
    let mut house = House::new(Limits::default());
    let id = house.join("alice");
    house.take(id);
    house.at(NOW.mono_ms + 600_000);
    assert_eq!(house.server.members("lobby"), 1, "nobody has asked it anything");
    assert_eq!(house.take(id), b"\x89\x00");
    let silent_ms = ms_until_dropped(&mut house);
    assert!(silent_ms < 75_000, "from here on it is the peer's: {silent_ms} ms");
}

#[test]
fn without_pings_nobody_is_dropped_and_no_time_matters() {
    let mut house = House::new(Limits { ping_ms: 0, ..Limits::default() });
    let id = house.join("alice");
    house.take(id);
    assert_eq!(house.server.poll_timeout(), None);
    house.at(NOW.mono_ms + 1_000_000_000);
    assert_eq!((house.take(id), house.server.peers()), (Vec::new(), 1));
}

#[test]
fn who_does_not_take_its_answer_is_dropped() {
    let mut house = House::new(Limits::default());
    let id = house.connect();
    house.block(id);
    house.send(id, b"GET / HTTP/1.1\r\nHost: box\r\n\r\n");
    house.at(NOW.mono_ms + REQUEST_MS_MAX - 1);
    assert_eq!(house.server.peers(), 1);
    house.at(NOW.mono_ms + REQUEST_MS_MAX);
    assert_eq!(house.server.peers(), 0);
}

#[test]
fn a_drain_waits_for_who_is_slow_to_go_but_not_for_long() {
    let mut house = House::new(Limits::default());
    let (gone, stays, silent) = (house.join("gone"), house.join("stays"), house.connect());
    for id in [gone, stays] {
        house.take(id);
    }
    house.server.drain(NOW);
    house.flush();
    for id in [gone, stays] {
        let told = house.take(id);
        assert_eq!((closing_code(&told), &told[..1]), (Some(1001), &b"\x88"[..]));
    }
    assert_eq!(house.take(silent), b"");
    house.server.handle_closed(gone, NOW);
    assert!(!house.server.is_drained(house.now), "one is still there");
    house.at(NOW.mono_ms + DRAIN_MS_MAX - 1);
    assert!(!house.server.is_drained(house.now));
    house.at(NOW.mono_ms + DRAIN_MS_MAX);
    assert!(house.server.is_drained(house.now));
}

#[test]
fn who_does_not_go_after_a_close_is_dropped() {
    let mut house = House::new(Limits::default());
    let id = house.join("alice");
    house.send(id, &masked(0x88, b"\x03\xe8"));
    assert_eq!(closing_code(&house.take(id)), Some(1000));
    house.at(NOW.mono_ms + CLOSE_MS_MAX - 1);
    assert_eq!(house.server.peers(), 1);
    house.at(NOW.mono_ms + CLOSE_MS_MAX);
    assert_eq!(house.server.peers(), 0);
}

#[test]
fn one_peer_too_many_gets_a_503_and_one_connection_too_many_nothing() {
    let mut house = House::new(Limits { peers_max: 2, ..Limits::default() });
    let first = house.join("a");
    house.join("b");
    assert_eq!(house.server.members("lobby"), 2);
    let third = house.connect();
    house.handshake(third, "c");
    let answer = house.text(third);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 5\r\n"));
    for _ in 0..REFUSALS_MAX - 1 {
        house.connect();
    }
    assert_eq!(house.server.accept(999, None, NOW), None);
    assert_eq!(house.server.counters().turned_away, 1);
    house.server.handle_closed(first, NOW);
    let id = house.join("d");
    assert!(house.text(id).starts_with("HTTP/1.1 101 "), "a place has come free");
}

#[test]
fn when_all_places_are_taken_the_oldest_who_is_no_member_gives_way() {
    let mut house = House::new(Limits { peers_max: 2, ..Limits::default() });
    let alice = house.join("alice");
    let reader = house.connect();
    house.block(reader);
    house.send(reader, b"GET / HTTP/1.1\r\nHost: box\r\n\r\n");
    for _ in 0..REFUSALS_MAX {
        let slow = house.connect();
        house.send(slow, b"GET / HT");
    }
    let full = house.server.peers();

    let mut later = house.now;
    later.mono_ms += GUEST_MS_MIN - 1;
    assert_eq!(house.server.accept(990, None, later), None, "each has a moment");
    later.mono_ms += 1;
    let gone: Vec<_> = (0..=REFUSALS_MAX)
        .map(|number| {
            assert!(house.server.accept(1000 + number, None, later).is_some(), "one gives way");
            assert_eq!(house.server.peers(), full);
            house.server.poll_close().expect("its socket is to be dropped")
        })
        .collect();
    assert_eq!(gone.first(), Some(&reader));
    assert!(gone.is_sorted_by_key(|id| id.generation()), "in the order in which they came");
    assert_eq!(house.server.accept(2000, None, later), None, "newcomers have their moment too");
    let counters = house.server.counters();
    assert_eq!(counters.closed.of(Ending::GaveWay), u64::from(REFUSALS_MAX));
    assert_eq!((counters.closed.of(Ending::Served), counters.turned_away), (1, 2));

    house.now = later;
    house.take(alice);
    house.send(alice, &chat("still here"));
    assert!(house.text(alice).contains("still here"), "members give way to nobody");
}

#[test]
fn one_address_may_have_so_many_peers() {
    let mut house = House::new(Limits { peers_per_ip_max: 1, ..Limits::default() });
    let first = house.join("a");
    let second = house.connect();
    house.handshake(second, "b");
    assert!(house.text(second).starts_with("HTTP/1.1 429 "));
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let elsewhere = house.server.accept(99, Some(other), NOW).unwrap();
    house.handshake(elsewhere, "x");
    assert!(house.text(elsewhere).starts_with("HTTP/1.1 101 "), "addresses count apart");
    house.server.handle_closed(first, NOW);
    house.flush();
    let third = house.join("c");
    assert!(house.text(third).starts_with("HTTP/1.1 101 "), "a place has come free");
}

/// What a GET of /chat without an upgrade is answered.
fn knock(house: &mut House, query: &str) -> String {
    let id = house.connect();
    house.send(id, format!("GET /chat{query} HTTP/1.1\r\nHost: box\r\n\r\n").as_bytes());
    String::from_utf8(house.take(id)).unwrap()
}

#[test]
fn a_page_can_read_without_a_handshake_why_its_handshake_was_refused() {
    let free = Limits { peers_max: 1, rooms_max: 1, ..Limits::default() };
    let of_address = Limits { peers_per_ip_max: 1, ..free.clone() };
    let of_rooms = Limits { peers_max: 9, ..free.clone() };
    for (limits, query, status, what) in [
        (&free, "", "503", "Hallway-Code: full\r\n"),
        (&Limits { peers_max: 9, ..of_address }, "", "429", "Hallway-Code: address\r\n"),
        (&of_rooms, "?room=b", "503", "Hallway-Code: rooms\r\n"),
        (&of_rooms, "?room=a", "426", "WebSocket"),
    ] {
        let mut house = House::new(limits.clone());
        assert!(knock(&mut house, query).starts_with("HTTP/1.1 426 "), "there is a place");
        let first = house.connect();
        house.handshake(first, "x&room=a");
        let answer = knock(&mut house, query);
        let retries = answer.contains("\r\nRetry-After: ");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(what) && retries == (status == "503"), "{answer}");
        assert_eq!((house.server.members("a"), house.server.rooms()), (1, 1), "nothing changed");
    }
}

#[test]
fn large_rooms_are_told_counts_only() {
    let mut house = House::new(Limits { announce_up_to: 2, ..Limits::default() });
    let first = house.join("a");
    house.take(first);
    house.join("b");
    assert!(house.text(first).contains("b joined"), "two are not too many");
    house.join("c");
    assert_eq!(&house.take(first)[2..], br#"{"type":"userCount","payload":{"count":3}}"#);
}

#[test]
fn a_thousand_faults_in_one_segment_are_all_answered_to_who_reads() {
    let mut house = House::new(Limits { rate_per_second: 0, ..Limits::default() });
    let id = house.join("alice");
    house.take(id);
    house.send(id, &masked(0x81, b"no JSON").repeat(1000));
    assert_eq!(house.text(id).matches("not JSON: ").count(), 1000);
    assert_eq!(house.server.counters().left.of(Ending::TooSlow), 0);
}
