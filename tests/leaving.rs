//! Members who have left and have not read all that was said before: how much is kept for them.

use hallway::conn::Ending;
use hallway::limits::{EVENT_FRAMES_MAX, Limits};
use hallway::peer::PeerId;
use testkit::client::{V2, chat, closing_code, handshake, masked};
use testkit::{Driver, heap};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const QUEUE_BYTES: u32 = 8 * 1024;

fn join(driver: &mut Driver) -> PeerId {
    let id = driver.connect(None).unwrap();
    driver.send(id, handshake("", "").as_bytes());
    driver.flush();
    id
}

/// Two members, of whom the first has left without having read what was said before.
fn left_behind() -> (Driver, PeerId, PeerId) {
    let limits = Limits {
        queue_bytes_max: QUEUE_BYTES,
        text_bytes_max: 200,
        history_frames_max: 0,
        ..Limits::default()
    };
    let mut driver = Driver::new(limits);
    let (leaver, other) = (join(&mut driver), join(&mut driver));
    driver.take_only(leaver, 0);
    driver.send(other, &chat("before"));
    driver.flush();
    driver.send(leaver, &masked(0x88, b"\x03\xe8"));
    driver.flush();
    (driver, leaver, other)
}

fn say(driver: &mut Driver, id: PeerId, count: usize) {
    for _ in 0..count {
        driver.send(id, &chat(&"x".repeat(200)));
        driver.flush();
        driver.read(id, usize::MAX);
    }
}

#[test]
fn who_leaves_is_told_all_that_was_said_before() {
    let (mut driver, leaver, other) = left_behind();
    say(&mut driver, other, 20);
    driver.take_more(leaver, usize::MAX);
    driver.flush();
    let told = driver.read(leaver, usize::MAX);
    assert!(told.windows(6).any(|bytes| bytes == b"before"));
    assert_eq!(closing_code(&told), Some(1000));
}

#[test]
fn who_leaves_and_reads_nothing_has_no_more_kept_for_it_than_a_queue() {
    let (mut driver, leaver, other) = left_behind();
    let held = driver.held;
    for _ in 0..50 {
        say(&mut driver, other, 10);
        let grown = driver.held.saturating_sub(held);
        assert!(grown < 4 * QUEUE_BYTES as usize, "{grown} bytes more");
    }
    assert!(driver.socket(leaver).is_none(), "it is dropped");
    assert_eq!(driver.server.counters().closed.of(Ending::ClosedByPeer), 1);
    driver.server.check();
}

#[test]
fn who_leaves_in_its_replay_keeps_no_more_records_than_a_queue_however_quiet_its_version_is() {
    let (history, queue) = (10, 64);
    let limits = Limits {
        history_frames_max: history,
        queue_frames_max: queue,
        rate_per_second: 0,
        ..Limits::default()
    };
    let most = (history + queue + EVENT_FRAMES_MAX) as usize;
    let mut driver = Driver::new(limits);
    let speaker = driver.ask("", V2);
    driver.flush();
    say(&mut driver, speaker, 10);
    // The only one of its version reads half of the past, and leaves.
    let leaver = driver.open();
    driver.take_only(leaver, 1_000);
    driver.send(leaver, handshake("", "").as_bytes());
    driver.flush();
    driver.send(leaver, &masked(0x88, b"\x03\xe8"));
    driver.flush();
    assert!(driver.socket(leaver).is_some_and(|socket| socket.is_blocked));
    for _ in 0..3 * queue {
        say(&mut driver, speaker, 1);
        let records = driver.server.application().rooms.records("lobby");
        assert!(records <= most, "{records} records are kept");
    }
    assert!(driver.socket(leaver).is_none(), "it is dropped");
    assert_eq!(driver.server.counters().closed.of(Ending::ClosedByPeer), 1);
    driver.server.check();
}
