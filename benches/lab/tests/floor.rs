//! The floor does what it is compared for, and a client of another make finds nothing wrong with it.

mod server;

use std::io::{ErrorKind, Read, Write};
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::{Server, hear, say};
use tungstenite::Message;

fn start() -> Server {
    Server::start(Command::new(env!("CARGO_BIN_EXE_floor")).arg("127.0.0.1:0"))
}

#[test]
fn everybody_in_the_room_hears_it_and_nobody_else() {
    let floor = start();
    let [mut alice, mut bob, mut carol] =
        ["red", "red", "blue"].map(|room| floor.join("somebody", room));
    say(&mut alice, "to the red ones");
    say(&mut carol, "to the blue ones");
    assert_eq!(hear(&mut alice), "to the red ones");
    assert_eq!(hear(&mut bob), "to the red ones");
    assert_eq!(hear(&mut carol), "to the blue ones");
}

#[test]
fn a_frame_of_each_length_comes_through_unchanged() {
    let floor = start();
    let mut alice = floor.join("somebody", "lengths");
    for length in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
        let text: String = ('a'..='z').cycle().take(length).collect();
        say(&mut alice, &text);
        assert_eq!(hear(&mut alice), text);
    }
}

#[test]
fn a_ping_is_answered_and_a_close_as_well() {
    let floor = start();
    let mut alice = floor.join("somebody", "");
    alice.send(Message::Ping("are you there?".into())).expect("sent");
    assert_eq!(alice.read().expect("a message"), Message::Pong("are you there?".into()));
    alice.close(None).expect("sent");
    assert_eq!(alice.read().expect("a message"), Message::Close(None));
}

#[test]
fn a_newcomer_gets_the_last_hundred_and_what_comes_then() {
    let floor = start();
    let mut alice = floor.join("somebody", "history");
    for number in 0..250 {
        say(&mut alice, &number.to_string());
    }
    (0..250).for_each(|number| assert_eq!(hear(&mut alice), number.to_string()));
    let mut bob = floor.join("somebody", "history");
    say(&mut alice, "250");
    (150..=250).for_each(|number| assert_eq!(hear(&mut bob), number.to_string()));
}

#[test]
fn a_request_and_a_frame_may_come_byte_by_byte() {
    let floor = start();
    let mut stream = floor.connect();
    let request = b"GET /chat?username=a&room=b HTTP/1.1\r\nHost: floor\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let frame = b"\x81\x82\x01\x02\x03\x04ik";
    for &byte in request.iter().chain(frame) {
        stream.write_all(&[byte]).expect("written");
    }
    let expected =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x02hi";
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), String::from_utf8_lossy(expected));
}

#[test]
fn a_slow_reader_gets_all_of_it_in_the_end() {
    let floor = start();
    let mut slow = floor.join("somebody", "slow");
    let mut alice = floor.join("somebody", "slow");
    let text = "x".repeat(200_000);
    for _ in 0..200 {
        say(&mut alice, &text);
        assert_eq!(hear(&mut alice), text);
    }
    (0..200).for_each(|_| assert_eq!(hear(&mut slow), text));
}

#[test]
fn who_sends_what_the_floor_does_not_speak_is_dropped_and_the_others_stay() {
    let floor = start();
    let mut alice = floor.join("somebody", "");
    let bad: [&[u8]; 3] = [b"\x81\x02hi", b"\x01\x82\0\0\0\0hi", b"\x83\x80\0\0\0\0"];
    for bytes in bad {
        let mut mallory = floor.join("somebody", "").get_ref().try_clone().expect("the socket");
        mallory.write_all(bytes).expect("written");
        let end = mallory.read(&mut [0; 16]).or_else(|error| match error.kind() {
            ErrorKind::ConnectionReset => Ok(0),
            _ => Err(error),
        });
        assert_eq!(end.expect("it is dropped in time"), 0, "after {bytes:?}");
    }
    say(&mut alice, "still here");
    assert_eq!(hear(&mut alice), "still here");
}

#[test]
fn a_thousand_hear_once_what_one_of_them_says() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("descriptors");
    let floor = start();
    let mut clients: Vec<_> = (0..1000).map(|_| floor.join("somebody", "crowd")).collect();
    // The first half leaves and as many come, so that slots are given a second time.
    clients.drain(..500);
    clients.extend((0..500).map(|_| floor.join("somebody", "crowd")));
    for text in ["once", "and no more than once"] {
        say(&mut clients[0], text);
        clients.iter_mut().for_each(|client| assert_eq!(hear(client), text));
    }
}
