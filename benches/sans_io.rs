//! What the server costs without its sockets: `cargo bench --bench sans_io`.
//!
//! Prints a line for each path. Times are those of this machine at this moment; for figures that
//! can be compared, `benches/instructions` counts instructions, of one path in a process: the name
//! of a path is this program's argument, and `--list` prints them all.

use std::hint::black_box;
use std::io::IoSlice;
use std::time::Instant;

use hallway::chat::{Server, Setup};
use hallway::clock::Now;
use hallway::conn::Output;
use hallway::limits::{Limits, WRITE_SLICES_MAX};
use hallway::peer::PeerId;
use hallway::ws::frame::Decoder;
use testkit::client::{chat, masked};

/// What one run of a path does: how often, and to how many.
struct Path {
    name: &'static str,
    unit: &'static str,
    units: u32,
    run: fn(u32),
}

const PATHS: &[Path] = &[
    Path { name: "decode", unit: "frame of 32 bytes", units: 200_000, run: decode_small },
    Path { name: "decode-large", unit: "frame of 16 KiB", units: 2_000, run: decode_large },
    Path { name: "fan-out", unit: "delivery to one of 1,000", units: 200_000, run: fan_out },
    Path { name: "crowded", unit: "message to 100, 128 at once", units: 12_800, run: crowded },
    Path { name: "join", unit: "join and leave of an empty room", units: 20_000, run: join },
];

fn main() {
    if std::env::args().any(|arg| arg == "--list") {
        PATHS.iter().for_each(|path| println!("{}", path.name));
        return;
    }
    // cargo passes --bench; any other argument is the name of a path.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for path in PATHS {
        if wanted.is_empty() || wanted.iter().any(|name| name == path.name) {
            let start = Instant::now();
            (path.run)(path.units);
            let each = start.elapsed().as_nanos() / u128::from(path.units);
            println!("{:<14}{each:>8} ns a {}", path.name, path.unit);
        }
    }
}

/// Decodes `count` copies of a frame, as many in one buffer as a read may bring.
fn decode(count: u32, payload: usize) {
    let limits = Limits::default();
    let frame = masked(0x81, &vec![b'x'; payload]);
    let in_one = (64 * 1024 / frame.len()).max(1);
    let buffer = frame.repeat(in_one);
    let mut decoder = Decoder::default();
    let mut left = count as usize;
    while left > 0 {
        let mut bytes = buffer.clone();
        let mut input = &mut bytes[..];
        while let Ok(Some(event)) = decoder.decode(&mut input, &limits) {
            black_box(event);
        }
        left = left.saturating_sub(in_one);
    }
}

fn decode_small(count: u32) {
    decode(count, 32);
}

fn decode_large(count: u32) {
    decode(count, 16 * 1024);
}

const NOW: Now = Now { mono_ms: 1, unix_ms: 0, utc_offset_s: 0 };

const HANDSHAKE: &[u8] = b"GET /chat?username=somebody HTTP/1.1\r\nHost: box\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn enter(server: &mut Server, slot: u32) -> PeerId {
    let id = server.accept(slot, None, NOW).expect("there is a slot");
    server.handle_input(id, &mut HANDSHAKE.to_vec(), NOW);
    id
}

/// Writes everything to sockets that take everything.
fn flush(server: &mut Server) {
    while let Some(output) = server.poll_output(NOW) {
        if let Output::Transmit(id) = output {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
            let count = server.transmit(id, &mut slices);
            let len = slices[..count].iter().map(|slice| slice.len()).sum();
            server.handle_sent(id, len);
        }
    }
}

/// A server in whose lobby nothing but messages is said, so that nothing else is measured.
fn server_of(members: u32) -> (Server, Vec<PeerId>) {
    let limits =
        Limits { rate_per_second: 0, peers_max: members, announce_up_to: 0, ..Limits::default() };
    let mut server = Server::with(Setup { limits, ..Setup::default() });
    let ids = (0..members).map(|slot| enter(&mut server, slot)).collect();
    flush(&mut server);
    (server, ids)
}

fn fan_out(deliveries: u32) {
    const MEMBERS: u32 = 1_000;
    let (mut server, ids) = server_of(MEMBERS);
    let message = chat("Hello, everybody!");
    for _ in 0..deliveries / MEMBERS {
        server.handle_input(ids[0], &mut message.clone(), NOW);
        flush(&mut server);
    }
}

/// What many say at once: 32 of 100 members four messages each of 128 bytes, before
/// anything is written.
fn crowded(messages: u32) {
    const SENDERS: usize = 32;
    const EACH: usize = 4;
    let (mut server, ids) = server_of(100);
    let segment = chat(&"x".repeat(128)).repeat(EACH);
    let mut bytes = segment.clone();
    for _ in 0..messages as usize / (SENDERS * EACH) {
        for &id in &ids[..SENDERS] {
            bytes.copy_from_slice(&segment);
            assert_eq!(server.handle_input(id, &mut bytes, NOW), segment.len());
        }
        flush(&mut server);
    }
}

fn join(count: u32) {
    let mut server = Server::with(Setup::default());
    for _ in 0..count {
        let id = enter(&mut server, 0);
        flush(&mut server);
        server.handle_closed(id, NOW);
        flush(&mut server);
    }
}
