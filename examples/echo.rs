//! An echo server: an application of its own around the same connections, frame handler and loop
//! as Hallway's, with their limits lifted. Conformance suites talk to it.
//!
//! `cargo run --release --example echo -- 127.0.0.1:9001`

use std::io;
use std::rc::Rc;

use hallway::conn::{Answer, Application, Caller, Connections, Dismissal, Message};
use hallway::http::Request;
use hallway::limits::{Limits, MESSAGE_BYTES, QUEUE_BYTES};
use hallway::outbound::Thresholds;
use hallway::reactor::{Address, Listeners, Reactor};
use hallway::ws::frame::{Data, OpCode, encode};
use hallway::ws::{handshake, switching_protocols, upgrade_required};

struct Echo;

impl Application for Echo {
    fn handle_request(&mut self, _: &mut Caller<'_>, request: &Request<'_>) -> Answer {
        match handshake(request) {
            Ok(Some(opened)) => Answer::Upgrade(switching_protocols(&opened.accept, None)),
            Ok(None) => Answer::Response(upgrade_required()),
            Err(response) => Answer::Response(response),
        }
    }

    fn handle_message(
        &mut self,
        caller: &mut Caller<'_>,
        message: Message<'_>,
    ) -> Result<(), Dismissal> {
        let (kind, bytes) = match message {
            Message::Text(text) => (Data::Text, text.as_bytes()),
            Message::Binary(bytes) => (Data::Binary, bytes),
        };
        caller.peers.outbound.tell(caller.id, encode(OpCode::Data(kind), bytes), 0);
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let address: Address = address.parse().map_err(io::Error::other)?;
    let connections = Connections::new(Rc::new(lifted()), Thresholds::default(), Echo);
    let mut reactor = Reactor::new(Listeners::bind(&[address])?, connections)?;
    for (address, _) in reactor.listeners().addresses() {
        eprintln!("listening addr={address}");
    }
    reactor.run().map(|_| ())
}

/// The limits at the most that the command line allows, no rate, and no pings of ours between the
/// suite's frames.
fn lifted() -> Limits {
    let most = |end: &u64| u32::try_from(*end).unwrap_or(u32::MAX);
    Limits {
        message_bytes_max: most(MESSAGE_BYTES.end()),
        queue_bytes_max: most(QUEUE_BYTES.end()),
        queue_frames_max: u32::MAX,
        fragments_max: u32::MAX,
        rate_per_second: 0,
        ping_ms: 0,
        ..Limits::default()
    }
}
