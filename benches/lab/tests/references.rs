//! Each reference speaks the dialect that the instrument speaks to it. Those that are not installed are
//! skipped:
//!
//!     references/install && cargo test --test references

mod server;

use std::net::TcpListener;
use std::process::Command;

use server::{Server, hear, say};
use tungstenite::Message;

/// Messages in one go, more than a turn brings.
const MESSAGES: usize = 5000;

const PINGS: usize = 500;

/// Messages that a newcomer gets.
const HISTORY: usize = 100;

const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/references/run");

/// If it is not, the test is skipped.
fn is_installed(name: &str) -> bool {
    let version = Command::new(RUN).args([name, "--version"]).output().expect("a script");
    if !version.status.success() {
        let skips = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/skips");
        let why = String::from_utf8_lossy(&version.stderr);
        let counted =
            Command::new(skips).args(["add", &format!("references::{name}"), &why]).status();
        assert!(counted.expect("a script").success());
    }
    version.status.success()
}

fn start(name: &str) -> Server {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a free port").to_string();
    Server::start(Command::new(RUN).args([name, &address]))
}

/// `has_names` is false where the payload comes back as it is.
fn converses(name: &str, has_names: bool) {
    if !is_installed(name) {
        return;
    }
    let server = start(name);
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| server.join(name, "red"));
    let mut carol = server.join("carol", "blue");
    let said = |text: &str| format!(r#"{{"type":"chatMessage","payload":{{"message":"{text}"}}}}"#);
    let heard = |name: &str, text: &str| match has_names {
        true => said(text).replace(r#"{"message""#, &format!(r#"{{"username":"{name}","message""#)),
        false => said(text),
    };

    // In one go, as they come from a load that the machine has kept waiting.
    let number = |number: usize| number.to_string().into();
    for ping in 0..PINGS {
        alice.write(Message::Ping(number(ping))).expect("queued");
    }
    alice.flush().expect("sent");
    for pong in 0..PINGS {
        assert_eq!(alice.read().expect("a message"), Message::Pong(number(pong)));
    }

    say(&mut carol, &said("to the blue ones"));
    assert_eq!(hear(&mut carol), heard("carol", "to the blue ones"));

    for number in 0..MESSAGES {
        say(&mut alice, &said(&number.to_string()));
    }
    for number in 0..MESSAGES {
        let expected = heard("alice", &number.to_string());
        assert_eq!(hear(&mut alice), expected);
        assert_eq!(hear(&mut bob), expected);
    }

    let mut dave = server.join("dave", "red");
    for number in MESSAGES - HISTORY..MESSAGES {
        assert_eq!(hear(&mut dave), heard("alice", &number.to_string()));
    }

    drop(alice);
    say(&mut bob, &said("who is left?"));
    assert_eq!(hear(&mut bob), heard("bob", "who is left?"));
    assert_eq!(hear(&mut dave), heard("bob", "who is left?"));
}

#[test]
fn nchan() {
    converses("nchan", false);
}

#[test]
fn ws() {
    converses("ws", true);
}

#[test]
fn ws_plain() {
    converses("ws-plain", true);
}

#[test]
fn bun() {
    converses("bun", true);
}
