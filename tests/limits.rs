//! Each limit at its maximum and one beyond, in the server without sockets, where time is a value.

use std::net::{IpAddr, Ipv4Addr};

use hallway::conn::{Connections, Ending};
use hallway::limits::{
    CLOSE_MS_MAX, DRAIN_MS_MAX, ERROR_BYTES_MAX, Limits, PENDING_MS_MIN, PENDING_PER_ADDRESS_MAX,
    PROGRESS_MS_MAX, REFERENCE_BYTES_MAX, REFUSALS_MAX, REQUEST_BYTES_MAX, REQUEST_HEADERS_MAX,
    REQUEST_MS_MAX, ROOM_CHARS_MAX, USERNAME_CHARS_MAX,
};
use hallway::outbound::Thresholds;
use hallway::peer::PeerId;
use testkit::client::{chat, closing_code, handshake, masked};
use testkit::{Driver, NOW};

/// Where everybody comes from whose address does not matter.
const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

#[test]
fn a_request_head_has_ten_seconds_however_it_is_dripped() {
    let mut driver = Driver::new(Limits::default());
    let id = driver.open();
    for ms in (0..REQUEST_MS_MAX).step_by(1_000) {
        driver.at(NOW.mono_ms + ms);
        driver.deliver(id, b"G");
    }
    driver.at(NOW.mono_ms + REQUEST_MS_MAX - 1);
    assert_eq!(driver.take(id), b"");
    driver.at(NOW.mono_ms + REQUEST_MS_MAX);
    assert!(driver.take(id).starts_with(b"HTTP/1.1 408 "));
}

/// A request that waits at the gate of a room with one member, the first bytes of which came before
/// the others.
fn request_at_a_gate(first: usize) -> (Driver, PeerId) {
    let limits = Limits { queue_frames_max: 16, rate_per_second: 0, ..Limits::default() };
    let mut driver = Driver::new(limits);
    let speaker = driver.join("alice");
    (0..16).for_each(|_| driver.send(speaker, &chat("all at once")));
    let id = driver.open();
    let request = handshake("username=bob", "");
    let (head, tail) = request.as_bytes().split_at(first);
    driver.send(id, head);
    driver.send(id, tail);
    assert!(driver.socket(id).is_some_and(|socket| !socket.unread.is_empty()), "it waits");
    (driver, id)
}

#[test]
fn a_request_that_waits_at_a_gate_when_the_server_goes_is_refused() {
    let (mut driver, id) = request_at_a_gate(0);
    driver.serve(Connections::drain);
    driver.settle();
    let answer = driver.text(id);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nHallway-Code: draining\r\n"), "{answer}");
}

#[test]
fn a_request_that_waits_at_a_gate_for_ten_seconds_is_told_to_come_again() {
    for first in [0, 20] {
        let (mut driver, id) = request_at_a_gate(first);
        driver.at(NOW.mono_ms + REQUEST_MS_MAX);
        let answer = driver.text(id);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{first} bytes first: {answer}");
        assert!(answer.contains("\r\nRetry-After: 5\r\nHallway-Code: busy\r\n"), "{answer}");
        driver.reset(id);
        driver.settle();
        assert_eq!((driver.server.peers().len(), driver.server.members("lobby")), (1, 1));
    }
}

#[test]
fn a_connection_that_asks_for_nothing_is_dropped_without_a_word() {
    let mut driver = Driver::new(Limits::default());
    let id = driver.open();
    driver.at(NOW.mono_ms + REQUEST_MS_MAX);
    assert_eq!((driver.take(id), driver.server.peers().len()), (Vec::new(), 0));
}

#[test]
fn a_request_head_has_a_length() {
    for (len, status) in [(REQUEST_BYTES_MAX, "404"), (REQUEST_BYTES_MAX + 1, "431")] {
        let mut driver = Driver::new(Limits::default());
        let id = driver.open();
        let frame = "GET / HTTP/1.1\r\n\r\n".len();
        let head = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(len - frame));
        for byte in head.bytes() {
            driver.deliver(id, &[byte]);
        }
        let answer = String::from_utf8(driver.take(id)).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{len} bytes");
    }
}

#[test]
fn a_message_has_a_length_whether_in_one_frame_or_in_fragments() {
    let limits = Limits { message_bytes_max: 200, text_bytes_max: 100, ..Limits::default() };
    for (len, code) in [(200, None), (201, Some(1009))] {
        let mut driver = Driver::new(limits.clone());
        let id = driver.join("alice");
        driver.deliver(id, &masked(0x81, &vec![b' '; len]));
        assert_eq!(closing_code(&driver.take(id)), code, "{len} bytes in one frame");

        let id = driver.join("bob");
        driver.deliver(
            id,
            &[masked(0x01, &[b' '; 100]), masked(0x80, &vec![b' '; len - 100])].concat(),
        );
        assert_eq!(closing_code(&driver.take(id)), code, "{len} bytes in fragments");
    }
}

#[test]
fn a_message_has_so_many_fragments() {
    let limits = Limits { fragments_max: 5, ..Limits::default() };
    for (fragments, code) in [(5, None), (6, Some(1009))] {
        let mut driver = Driver::new(limits.clone());
        let id = driver.join("alice");
        let mut bytes = masked(0x01, b"");
        for _ in 0..fragments - 2 {
            bytes.extend(masked(0x00, b""));
        }
        bytes.extend(masked(0x80, b"x"));
        driver.deliver(id, &bytes);
        assert_eq!(closing_code(&driver.take(id)), code, "{fragments} fragments");
    }
}

#[test]
fn a_text_has_a_length_and_its_sender_lives_on() {
    let mut driver = Driver::new(Limits { text_bytes_max: 5, ..Limits::default() });
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    driver.take(bob);
    driver.deliver(alice, &chat("12345"));
    driver.deliver(alice, &chat("123456"));
    assert!(driver.text(alice).ends_with(r#"{"text":"message is 6 bytes, the limit is 5"}}"#));
    let heard = driver.text(bob);
    assert!(heard.contains("12345") && !heard.contains("limit"), "{heard}");
}

#[test]
fn a_text_is_measured_in_bytes_after_its_escapes_are_gone() {
    let mut driver = Driver::new(Limits { text_bytes_max: 6, ..Limits::default() });
    let alice = driver.join("alice");
    for (message, is_heard) in [("ääü", true), ("ääüx", false), (r"\u00e4\u00e4\n\n", true)] {
        driver.take(alice);
        driver.deliver(alice, &chat(message));
        assert_eq!(driver.text(alice).contains("chatMessage"), is_heard, "{message}");
    }
}

#[test]
fn a_request_has_so_many_header_fields() {
    // The handshake has five of its own.
    for (fields, status) in [(REQUEST_HEADERS_MAX, "101"), (REQUEST_HEADERS_MAX + 1, "431")] {
        let mut driver = Driver::new(Limits::default());
        let id = driver.open();
        driver.deliver(id, handshake("", &"X: y\r\n".repeat(fields - 5)).as_bytes());
        assert_eq!(driver.text(id).split(' ').nth(1), Some(status), "{fields} fields");
    }
}

#[test]
fn names_are_cut() {
    let mut driver = Driver::new(Limits::default());
    for len in [USERNAME_CHARS_MAX, USERNAME_CHARS_MAX + 1] {
        let id = driver.join(&"n".repeat(len));
        let name = "n".repeat(USERNAME_CHARS_MAX);
        assert!(driver.text(id).contains(&format!("\"{name} joined\"")), "{len} characters");
    }
    let room = "r".repeat(ROOM_CHARS_MAX);
    for query in [format!("room={room}"), format!("room={room}r")] {
        let id = driver.open();
        driver.deliver(id, handshake(&query, "").as_bytes());
    }
    assert_eq!(driver.server.members(&room), 2);
}

#[test]
fn what_an_error_quotes_is_cut() {
    let mut driver = Driver::new(Limits::default());
    let id = driver.join("alice");
    driver.take(id);
    driver.deliver(id, &masked(0x81, format!(r#"{{"type":"{}"}}"#, "ä".repeat(5000)).as_bytes()));
    let answer = driver.text(id);
    assert!(answer.contains("unknown type"), "{answer}");
    assert!(answer.len() < ERROR_BYTES_MAX + 100, "{answer}");
}

#[test]
fn a_reference_has_a_length() {
    for (len, is_heard) in [(REFERENCE_BYTES_MAX, true), (REFERENCE_BYTES_MAX + 1, false)] {
        let mut driver = Driver::new(Limits::default());
        let id = driver.open();
        let fields = "Sec-WebSocket-Protocol: hallway.v2\r\n";
        driver.deliver(id, handshake("", fields).as_bytes());
        driver.take(id);
        let reference = "r".repeat(len);
        let json =
            format!(r#"{{"type":"chatMessage","payload":{{"message":"x","ref":"{reference}"}}}}"#);
        driver.deliver(id, &masked(0x81, json.as_bytes()));
        let answer = driver.text(id);
        assert_eq!(answer.contains("chatMessage"), is_heard, "{len} bytes: {answer}");
        assert_eq!(answer.contains(&reference), is_heard, "{len} bytes: {answer}");
    }
}

#[test]
fn a_newcomer_gets_as_many_messages_as_the_history_keeps() {
    for history_frames_max in [0, 1, 100] {
        let limits = Limits { history_frames_max, rate_per_second: 0, ..Limits::default() };
        let mut driver = Driver::new(limits);
        let alice = driver.join("alice");
        for number in 0..150 {
            driver.deliver(alice, &chat(&format!("m{number}")));
        }
        let bob = driver.join("bob");
        let text = driver.text(bob);
        assert_eq!(text.matches("chatMessage").count(), history_frames_max as usize);
        assert_eq!(text.contains("m149"), history_frames_max > 0);
    }
}

#[test]
fn a_reader_may_lag_so_many_frames_and_then_costs_only_itself() {
    let limits = Limits { queue_frames_max: 10, rate_per_second: 0, ..Limits::default() };
    for (messages, is_dropped) in [(10, false), (11, true)] {
        let mut driver = Driver::new(limits.clone());
        let (alice, slow) = (driver.join("alice"), driver.join("slow"));
        driver.take(slow);
        driver.take(alice);
        driver.block(slow);
        for number in 0..messages {
            driver.deliver(alice, &chat(&format!("m{number}")));
        }
        let heard = driver.text(alice);
        let order: Vec<usize> =
            (0..messages).map(|number| heard.find(&format!("m{number}\"")).unwrap()).collect();
        assert!(order.is_sorted(), "nobody else sees a gap");
        assert_eq!(heard.contains("slow left"), is_dropped, "{messages} messages");
        driver.unblock(slow);
        let code = if is_dropped { Some(1013) } else { None };
        assert_eq!(closing_code(&driver.take(slow)), code, "{messages} messages");
    }
}

/// What a reader gets in the end that does not read while `count` messages are said to its room,
/// with a queue of `queue_bytes_max`.
fn lag(queue_bytes_max: u32, count: usize) -> Vec<u8> {
    let limits =
        Limits { queue_bytes_max, text_bytes_max: 100, rate_per_second: 0, ..Limits::default() };
    assert_eq!(limits.check(), Ok(()));
    let mut driver = Driver::new(limits);
    let (alice, slow) = (driver.join("alice"), driver.join("slow"));
    driver.take(slow);
    driver.block(slow);
    for _ in 0..count {
        driver.deliver(alice, &chat(&"x".repeat(100)));
    }
    assert_eq!(driver.text(alice).matches("chatMessage").count(), count, "nobody else notices");
    driver.unblock(slow);
    driver.take(slow)
}

#[test]
fn a_reader_may_lag_so_many_bytes() {
    let each = u32::try_from(lag(10_000, 1).len()).unwrap();
    assert_eq!(closing_code(&lag(50 * each, 50)), None);
    assert_eq!(closing_code(&lag(50 * each - 1, 50)), Some(1013));
}

#[test]
fn a_slow_reader_gets_the_rest_of_its_frame_and_then_a_close() {
    let limits = Limits { queue_frames_max: 10, rate_per_second: 0, ..Limits::default() };
    let frame = br#"..{"type":"chatMessage","payload":{"username":"alice","message":"m0"}}"#.len();
    for capacity in [1, frame - 1, frame, frame + 1, 2 * frame - 1] {
        let mut driver = Driver::new(limits.clone());
        let (alice, slow) = (driver.join("alice"), driver.join("slow"));
        driver.take(slow);
        driver.block_after(slow, capacity);
        for _ in 0..10 {
            // Two that were said together are one write, which may end anywhere in them.
            driver.deliver(alice, &[chat("m1"), chat("m2")].concat());
        }
        assert_eq!(driver.server.counters().exited.of(Ending::TooSlow), 1);
        driver.unblock(slow);
        let stream = driver.take(slow);
        let whole_frames = capacity.div_ceil(frame);
        assert_eq!(closing_code(&stream), Some(1013), "after {capacity} bytes");
        assert_eq!(&stream[whole_frames * frame..][..1], b"\x88", "after {capacity} bytes");
        assert_eq!(driver.text(alice).matches("chatMessage").count(), 20, "nobody else notices");
    }
}

#[test]
fn who_errs_and_lags_at_once_is_told_of_the_error() {
    let limits = Limits { queue_frames_max: 10, rate_per_second: 0, ..Limits::default() };
    let mut driver = Driver::new(limits);
    let (alice, slow) = (driver.join("alice"), driver.join("slow"));
    driver.take(slow);
    driver.block(slow);
    for number in 0..10 {
        driver.deliver(alice, &chat(&format!("m{number}")));
    }
    let reserved_bits = 0xf1;
    driver.deliver(slow, &[chat("one too many"), masked(reserved_bits, b"")].concat());
    driver.unblock(slow);
    let stream = driver.take(slow);
    assert_eq!(closing_code(&stream), Some(1002));
    assert_eq!(
        String::from_utf8_lossy(&stream).matches("chatMessage").count(),
        11,
        "all that was said before"
    );
    let left = driver.server.counters().exited;
    assert_eq!((left.of(Ending::Protocol), left.of(Ending::TooSlow)), (1, 0));
    assert!(driver.text(alice).contains("one too many"), "nobody else notices");
}

#[test]
fn a_thousand_messages_in_one_segment_reach_everybody_who_reads() {
    let mut driver = Driver::new(Limits { rate_per_second: 0, ..Limits::default() });
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    let all: Vec<u8> = (0..1000).flat_map(|number| chat(&format!("m{number}"))).collect();
    driver.take(bob);
    driver.deliver(alice, &all);
    let heard = driver.text(bob);
    assert_eq!(heard.matches("chatMessage").count(), 1000);
    assert_eq!(driver.server.counters().exited.of(Ending::TooSlow), 0);
    let limits = Limits::default();
    assert!(limits.queue_frames_max < 1000, "or it would prove nothing");
}

#[test]
fn a_thousand_leaves_at_once_overflow_nobody_who_reads() {
    let mut driver = Driver::new(Limits { announce_up_to: 1_000, ..Limits::default() });
    let stays = driver.join("stays");
    let others: Vec<_> = (0..900).map(|number| driver.join(&format!("n{number}"))).collect();
    driver.take(stays);
    for id in others {
        driver.reset(id);
    }
    driver.settle();
    driver.at(driver.now.mono_ms + Thresholds::default().news_ms);
    assert_eq!(driver.text(stays).matches(" left").count(), 900);
    assert_eq!(
        (driver.server.counters().exited.of(Ending::TooSlow), driver.server.peers().len()),
        (0, 1)
    );
}

#[test]
fn a_thousand_closes_at_once_overflow_nobody_who_reads() {
    let limits = Limits { peers_max: 1001, announce_up_to: 1_001, ..Limits::default() };
    let mut driver = Driver::new(limits);
    let stays = driver.join("stays");
    let others: Vec<_> =
        (0..1000).map(|number| driver.ask(&format!("username={number}"), "")).collect();
    driver.settle();
    driver.take(stays);
    for id in others {
        driver.send(id, &masked(0x88, &1000_u16.to_be_bytes()));
    }
    driver.settle();
    let heard = driver.text(stays);
    assert_eq!(heard.matches(" left").count(), 1000);
    assert!(heard.ends_with(r#"{"type":"userCount","payload":{"count":1}}"#), "{heard}");
    assert_eq!(driver.server.counters().exited.of(Ending::TooSlow), 0);
}

#[test]
fn every_ping_of_one_segment_is_answered_to_who_reads_and_the_last_to_who_does_not() {
    let mut driver = Driver::new(Limits { rate_per_second: 0, ..Limits::default() });
    let id = driver.join("alice");
    driver.take(id);
    let numbers = (0..1000_u16).map(u16::to_be_bytes);
    let pings: Vec<u8> = numbers.clone().flat_map(|number| masked(0x89, &number)).collect();
    driver.deliver(id, &pings);
    let pongs: Vec<u8> = numbers.flat_map(|[high, low]| [0x8a, 2, high, low]).collect();
    assert_eq!(driver.take(id), pongs);

    driver.block(id);
    driver.deliver(id, &masked(0x89, b"first"));
    for _ in 0..1000 {
        driver.deliver(id, &masked(0x89, b"more"));
    }
    driver.unblock(id);
    let late = driver.take(id);
    assert!(late.len() <= 2 * (2 + 125), "one slot, and one that was being written");
    assert!(late.ends_with(b"\x8a\x04more"));
}

#[test]
fn a_pong_overtakes_neither_the_handshake_nor_an_earlier_pong() {
    let mut driver = Driver::new(Limits::default());
    let id = driver.open();
    driver.deliver(id, &[handshake("", "").as_bytes(), &masked(0x89, b"early")].concat());
    let told = driver.text(id);
    assert!(told.starts_with("HTTP/1.1 101 ") && told.contains("\u{5}early"), "{told}");

    // Each has been offered to the socket, which took nothing of it.
    driver.block(id);
    for name in [b"1st", b"2nd", b"3rd"] {
        driver.deliver(id, &masked(0x89, name));
        driver.socket_mut(id).expect("a socket").is_blocked = false;
        driver.server.handle_writable(id);
        driver.settle();
    }
    driver.unblock(id);
    let told = driver.text(id);
    let positions: Vec<_> =
        ["1st", "2nd", "3rd"].map(|name| told.find(name)).into_iter().flatten().collect();
    assert!(positions.is_sorted() && told.ends_with("\u{3}3rd"), "{told:?}");
}

#[test]
fn who_is_silent_is_pinged_and_then_dropped() {
    let mut driver = Driver::new(Limits { ping_ms: 6400, ..Limits::default() });
    let id = driver.join("alice");
    driver.take(id);
    let slice = 100;
    driver.at(NOW.mono_ms + 6399);
    assert_eq!(driver.take(id), b"");
    driver.at(NOW.mono_ms + 6400 + slice);
    assert_eq!(driver.take(id), b"\x89\x00");
    driver.deliver(id, &masked(0x8a, b""));
    let silent_ms = ms_until_dropped(&mut driver);
    let most_ms = 6400 * 5 / 2 + slice;
    assert!((6400 * 5 / 2..=most_ms).contains(&silent_ms), "a pong is a sign of life: {silent_ms}");
    let counters = driver.server.counters();
    assert_eq!(counters.exited.of(Ending::Silent), 1);
    assert_eq!(counters.pinged, 3, "once before the pong, and twice after it");
}

/// Wakes the server whenever it wants to be woken, until nobody is there; how long that takes.
fn ms_until_dropped(driver: &mut Driver) -> u64 {
    let from_ms = driver.now.mono_ms;
    while driver.server.members("lobby") > 0 {
        driver.at(driver.server.poll_timeout().expect("a deadline"));
        assert!(driver.now.mono_ms < from_ms + 1_000_000, "nobody is ever dropped");
    }
    driver.now.mono_ms - from_ms
}

#[test]
fn time_in_which_the_process_was_stopped_is_nobodys_silence() {
    let mut driver = Driver::new(Limits::default());
    let id = driver.join("alice");
    driver.take(id);
    driver.at(NOW.mono_ms + 600_000);
    assert_eq!(driver.server.members("lobby"), 1, "nobody has asked it anything");
    assert_eq!(driver.take(id), b"\x89\x00");
    let silent_ms = ms_until_dropped(&mut driver);
    assert!(silent_ms < 75_000, "from here on it is the peer's: {silent_ms} ms");
}

#[test]
fn without_pings_nobody_is_dropped_and_no_time_matters() {
    let mut driver = Driver::new(Limits { ping_ms: 0, ..Limits::default() });
    let id = driver.join("alice");
    driver.take(id);
    assert_eq!(driver.server.poll_timeout(), None);
    driver.at(NOW.mono_ms + 1_000_000_000);
    assert_eq!((driver.take(id), driver.server.peers().len()), (Vec::new(), 1));
}

#[test]
fn who_does_not_take_its_answer_is_dropped() {
    let mut driver = Driver::new(Limits::default());
    let id = driver.open();
    driver.block(id);
    driver.deliver(id, b"GET / HTTP/1.1\r\nHost: box\r\n\r\n");
    driver.at(NOW.mono_ms + REQUEST_MS_MAX - 1);
    assert_eq!(driver.server.peers().len(), 1);
    driver.at(NOW.mono_ms + REQUEST_MS_MAX);
    assert_eq!(driver.server.peers().len(), 0);
}

#[test]
fn a_drain_waits_for_who_is_slow_to_go_but_not_for_long() {
    let mut driver = Driver::new(Limits::default());
    let (gone, stays, silent) = (driver.join("gone"), driver.join("stays"), driver.open());
    for id in [gone, stays] {
        driver.take(id);
    }
    driver.server.drain(NOW);
    driver.settle();
    for id in [gone, stays] {
        let told = driver.take(id);
        assert_eq!((closing_code(&told), &told[..1]), (Some(1001), &b"\x88"[..]));
    }
    assert_eq!(driver.take(silent), b"");
    driver.reset(gone);
    assert!(!driver.server.is_drained(driver.now), "one is still there");
    driver.at(NOW.mono_ms + DRAIN_MS_MAX - 1);
    assert!(!driver.server.is_drained(driver.now));
    driver.at(NOW.mono_ms + DRAIN_MS_MAX);
    assert!(driver.server.is_drained(driver.now));
}

#[test]
fn who_does_not_go_after_a_close_is_dropped() {
    let mut driver = Driver::new(Limits::default());
    let id = driver.join("alice");
    driver.deliver(id, &masked(0x88, b"\x03\xe8"));
    assert_eq!(closing_code(&driver.take(id)), Some(1000));
    driver.at(NOW.mono_ms + CLOSE_MS_MAX - 1);
    assert_eq!(driver.server.peers().len(), 1);
    driver.at(NOW.mono_ms + CLOSE_MS_MAX);
    assert_eq!(driver.server.peers().len(), 0);
}

#[test]
fn one_peer_too_many_gets_a_503_and_one_connection_too_many_nothing() {
    let mut driver = Driver::new(Limits { peers_max: 2, ..Limits::default() });
    let first = driver.join("a");
    driver.join("b");
    assert_eq!(driver.server.members("lobby"), 2);
    let third = driver.join("c");
    let answer = driver.text(third);
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 5\r\n"));
    for _ in 0..REFUSALS_MAX - 1 {
        driver.open();
    }
    assert_eq!(driver.connect(HERE), None);
    assert_eq!(driver.server.counters().turned_away, 1);
    driver.reset(first);
    let id = driver.join("d");
    assert!(driver.text(id).starts_with("HTTP/1.1 101 "), "a slot has come free");
}

#[test]
fn when_all_slots_are_taken_the_oldest_who_is_no_member_is_evicted() {
    let mut driver = Driver::new(Limits { peers_max: 2, ..Limits::default() });
    let alice = driver.join("alice");
    let reader = driver.open();
    driver.block(reader);
    driver.deliver(reader, b"GET / HTTP/1.1\r\nHost: box\r\n\r\n");
    for _ in 0..REFUSALS_MAX {
        let slow = driver.open();
        driver.deliver(slow, b"GET / HT");
    }
    let full = driver.server.peers().len();

    driver.now.mono_ms += PENDING_MS_MIN - 1;
    assert_eq!(driver.connect(HERE), None, "each has a moment");
    driver.now.mono_ms += 1;
    let gone: Vec<_> = (0..=REFUSALS_MAX)
        .map(|_| {
            assert!(driver.connect(HERE).is_some(), "one is evicted");
            assert_eq!(driver.server.peers().len(), full);
            driver.closed.pop().expect("its socket was dropped").id
        })
        .collect();
    assert_eq!(gone.first(), Some(&reader));
    assert!(gone.is_sorted_by_key(|id| id.generation()), "in the order in which they came");
    assert_eq!(driver.connect(HERE), None, "newcomers have their moment too");
    let counters = driver.server.counters();
    assert_eq!(counters.closed.of(Ending::Evicted), u64::from(REFUSALS_MAX));
    assert_eq!((counters.closed.of(Ending::Served), counters.turned_away), (1, 2));

    driver.take(alice);
    driver.deliver(alice, &chat("still here"));
    assert!(driver.text(alice).contains("still here"), "members are evicted for nobody");
}

#[test]
fn one_address_may_have_so_many_peers() {
    let mut driver = Driver::new(Limits { peers_per_ip_max: 1, ..Limits::default() });
    let first = driver.join("a");
    let second = driver.join("b");
    assert!(driver.text(second).starts_with("HTTP/1.1 429 "));
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let elsewhere = driver.connect(Some(other)).unwrap();
    driver.deliver(elsewhere, handshake("", "").as_bytes());
    assert!(driver.text(elsewhere).starts_with("HTTP/1.1 101 "), "addresses count apart");
    driver.reset(first);
    driver.settle();
    let third = driver.join("c");
    assert!(driver.text(third).starts_with("HTTP/1.1 101 "), "a slot has come free");
}

#[test]
fn a_websocket_counts_for_its_address_until_it_is_gone() {
    let mut driver = Driver::new(Limits { peers_per_ip_max: 1, ..Limits::default() });
    let first = driver.join("a");
    driver.deliver(first, &masked(0x88, b"\x03\xe8"));
    assert_eq!(closing_code(&driver.take(first)), Some(1000));
    let second = driver.join("b");
    assert!(driver.text(second).starts_with("HTTP/1.1 429 "), "the first is still here");
    driver.reset(first);
    let third = driver.join("c");
    assert!(driver.text(third).starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_subscriber_of_ipv6_is_one_address_and_a_unix_socket_none() {
    let limits = Limits { peers_per_ip_max: 1, ..Limits::default() };
    let mut driver = Driver::new(limits);
    let mut join = |ip: Option<&str>| {
        let ip = ip.map(|ip| ip.parse::<IpAddr>().expect("an address"));
        let id = driver.connect(ip).expect("a slot");
        driver.deliver(id, handshake("", "").as_bytes());
        driver.text(id).split(' ').nth(1).map(ToOwned::to_owned)
    };
    for (ip, status) in [
        (Some("2001:db8::1"), "101"),
        (Some("2001:db8::2"), "429"),
        (Some("2001:db8:0:0:ffff::"), "429"),
        (Some("2001:db8:0:1::1"), "101"),
        (Some("192.0.2.1"), "101"),
        (Some("::ffff:192.0.2.1"), "429"),
        (None, "101"),
        (None, "101"),
    ] {
        assert_eq!(join(ip).as_deref(), Some(status), "{ip:?}");
    }
}

#[test]
fn an_address_may_have_some_connections_for_pages_and_refusals() {
    let mut driver = Driver::new(Limits { peers_per_ip_max: 1, ..Limits::default() });
    let member = driver.join("a");
    let pending: Vec<_> = (0..PENDING_PER_ADDRESS_MAX).map(|_| driver.open()).collect();
    assert_eq!(driver.connect(HERE), None);
    assert_eq!(driver.server.counters().turned_away, 1);
    assert!(driver.connect(None).is_some(), "others may");
    driver.reset(pending[0]);
    driver.settle();
    assert!(driver.connect(HERE).is_some() && driver.connect(HERE).is_none());
    driver.reset(member);
    driver.settle();
    assert!(driver.connect(HERE).is_some(), "a WebSocket is a connection too");
}

#[test]
fn the_address_with_the_most_pending_gives_way_at_once() {
    let address = |last| Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
    let mut driver = Driver::new(Limits { peers_max: 2, ..Limits::default() });
    let honest = driver.connect(address(1)).expect("a slot");
    // Two that were WebSockets, and do not go.
    let over: Vec<_> = (0..2).map(|_| driver.connect(address(2)).expect("a slot")).collect();
    for &id in &over {
        driver.deliver(id, handshake("", "").as_bytes());
        driver.deliver(id, &masked(0x88, b"\x03\xe8"));
        assert_eq!(closing_code(&driver.take(id)), Some(1000));
    }
    for _ in 0..REFUSALS_MAX - 1 {
        driver.connect(address(2)).expect("a slot");
    }
    assert_eq!(driver.connect(address(2)), None, "its own have their moment");
    for &gone in &over {
        assert!(driver.connect(address(3)).is_some(), "others need not wait");
        assert_eq!(driver.closed.pop().map(|socket| socket.id), Some(gone));
    }
    assert!(driver.socket(honest).is_some(), "who has one loses none");
    driver.now.mono_ms += PENDING_MS_MIN;
    assert!(driver.connect(address(2)).is_some());
    assert!(driver.socket(honest).is_some());
}

/// How long somebody stays whose socket takes nothing, though it says something each second.
fn stalled_ms(limits: Limits) -> u64 {
    let mut driver = Driver::new(limits);
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    driver.block(bob);
    driver.deliver(alice, &chat("x"));
    let from_ms = driver.now.mono_ms;
    while driver.server.members("lobby") > 1 && driver.now.mono_ms < from_ms + 100_000 {
        driver.deliver(bob, &masked(0x8a, b""));
        // Nobody else keeps it, or is dropped.
        driver.deliver(alice, &masked(0x8a, b""));
        driver.pass(1_000);
    }
    assert_eq!(driver.server.counters().exited.of(Ending::Stalled), 1);
    assert!(driver.socket(alice).is_some());
    driver.now.mono_ms - from_ms
}

#[test]
fn who_takes_no_byte_is_dropped_however_much_it_says() {
    let often = Limits { ping_ms: 1_000, ..Limits::default() };
    let never = Limits { ping_ms: 0, ..Limits::default() };
    for limits in [Limits::default(), often, never] {
        let (ping_ms, ms) = (limits.ping_ms, stalled_ms(limits));
        assert!((30_000..=31_000).contains(&ms), "{ms} ms with pings after {ping_ms} ms");
    }
}

#[test]
fn who_takes_bytes_slowly_stays() {
    let mut driver = Driver::new(Limits { ping_ms: 0, ..Limits::default() });
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    driver.take(bob);
    driver.block(bob);
    driver.deliver(alice, &chat(&"x".repeat(1_000)));
    for _ in 0..20 {
        driver.pass(PROGRESS_MS_MAX - 1_000);
        driver.take_more(bob, 1);
        driver.settle();
        assert_eq!(driver.server.members("lobby"), 2);
    }
    driver.pass(PROGRESS_MS_MAX + 1_000);
    assert_eq!(driver.server.members("lobby"), 1, "as long as it does");
}

#[test]
fn who_has_taken_everything_is_not_stalled() {
    let mut driver = Driver::new(Limits { ping_ms: 0, ..Limits::default() });
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    driver.block(bob);
    driver.deliver(alice, &chat("x"));
    driver.pass(20_000);
    driver.unblock(bob);
    driver.pass(600_000);
    assert_eq!(driver.server.members("lobby"), 2);
    driver.block(bob);
    driver.deliver(alice, &chat("x"));
    driver.pass(PROGRESS_MS_MAX - 1);
    assert_eq!(driver.server.members("lobby"), 2, "the clock begins anew");
}

/// What a GET of /chat without an upgrade is answered.
fn probe(driver: &mut Driver, query: &str) -> String {
    let id = driver.open();
    driver.deliver(id, format!("GET /chat{query} HTTP/1.1\r\nHost: box\r\n\r\n").as_bytes());
    String::from_utf8(driver.take(id)).unwrap()
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
        let mut driver = Driver::new(limits.clone());
        assert!(probe(&mut driver, query).starts_with("HTTP/1.1 426 "), "there is a slot");
        driver.join("x&room=a");
        let answer = probe(&mut driver, query);
        let retries = answer.contains("\r\nRetry-After: ");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(what) && retries == (status == "503"), "{answer}");
        assert_eq!((driver.server.members("a"), driver.server.rooms()), (1, 1), "nothing changed");
    }
}

#[test]
fn large_rooms_are_told_counts_only() {
    let mut driver = Driver::new(Limits { announce_up_to: 2, ..Limits::default() });
    let first = driver.join("a");
    driver.take(first);
    driver.join("b");
    assert!(driver.text(first).contains("b joined"), "two are not too many");
    driver.join("c");
    assert_eq!(&driver.take(first)[2..], br#"{"type":"userCount","payload":{"count":3}}"#);
}

#[test]
fn a_thousand_faults_in_one_segment_are_all_answered_to_who_reads() {
    let mut driver = Driver::new(Limits { rate_per_second: 0, ..Limits::default() });
    let id = driver.join("alice");
    driver.take(id);
    driver.deliver(id, &masked(0x81, b"no JSON").repeat(1000));
    assert_eq!(driver.text(id).matches("not JSON: ").count(), 1000);
    assert_eq!(driver.server.counters().exited.of(Ending::TooSlow), 0);
}
