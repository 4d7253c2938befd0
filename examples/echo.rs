//! An echo server around the very same upgrade, frame handler and peers as Hallway's, with their
//! limits lifted: what conformance suites talk to.
//!
//! `cargo run --release --example echo -- 127.0.0.1:9001`

use std::io;

use hallway::limits::{Limits, MESSAGE_BYTES, QUEUE_BYTES};
use hallway::reactor::{Address, Listeners, Reactor};
use hallway::server::Server;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let address: Address = address.parse().map_err(io::Error::other)?;
    let mut reactor = Reactor::new(Listeners::bind(&[address])?, Server::echo(lifted()))?;
    for (address, _) in reactor.listeners().addresses() {
        eprintln!("listening addr={address}");
    }
    reactor.run().map(|_| ())
}

/// The limits at the most that the command line allows, and no pings of ours between the
/// suite's frames.
fn lifted() -> Limits {
    let most = |end: &u64| u32::try_from(*end).unwrap_or(u32::MAX);
    Limits {
        message_bytes_max: most(MESSAGE_BYTES.end()),
        queue_bytes_max: most(QUEUE_BYTES.end()),
        queue_frames_max: u32::MAX,
        fragments_max: u32::MAX,
        ping_ms: 0,
        ..Limits::default()
    }
}
