//! What holds for any connections at any time: their parts agree, their memory is within the
//! limits, and nobody overstays.

use hallway::conn::{Application, Connections, KEEPALIVE_SLICES};
use hallway::limits::{
    CLOSE_MS_MAX, DRAIN_MS_MAX, ERROR_BYTES_MAX, Limits, REQUEST_BYTES_MAX, REQUEST_MS_MAX,
};
use hallway::outbound::Thresholds;
use testkit::Driver;

/// Bytes of heap that a connection or a room costs beside what it was sent or has to remember;
/// and the lists of so few.
const OVERHEAD_BYTES: usize = 1024;

/// Bytes that buffers keep for what is written next, and those of a page.
const OWN_BYTES: usize = 3 * 16 * 1024;

/// Records in one block of a replay.
const BLOCK_RECORDS: usize = 64;

/// The shortest frame of a record.
const RECORD_FRAME_BYTES_MIN: usize = 60;

/// How much there is to be remembered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remembered {
    pub rooms: usize,
    /// Messages in all of them that there have ever been.
    pub messages: usize,
}

/// What is watched.
#[derive(Debug)]
pub struct Watch<A> {
    limits: Limits,
    thresholds: Thresholds,
    held_when_new: usize,
    /// Panics where the parts of the server do not agree.
    check: fn(&Connections<A>),
    remembered: fn(&Connections<A>) -> Remembered,
}

impl<A: Application> Watch<A> {
    /// To be made before anything has happened.
    pub fn new(
        driver: &Driver<A>,
        limits: &Limits,
        thresholds: Thresholds,
        check: fn(&Connections<A>),
        remembered: fn(&Connections<A>) -> Remembered,
    ) -> Self {
        let (limits, held_when_new) = (limits.clone(), driver.held);
        Self { limits, thresholds, held_when_new, check, remembered }
    }

    /// After every step.
    pub fn check(&self, driver: &Driver<A>) {
        (self.check)(&driver.server);
        let most = self.held_idle(driver) + self.held_busy(driver);
        assert!(driver.held <= most, "{} bytes are held, the limits allow {most}", driver.held);
        // A queue when a pass begins, half a queue that is said in it, and an event; which is no
        // more than half a queue.
        let lag = driver.server.peers().outbound.depth().max;
        let Limits { queue_frames_max, queue_bytes_max, .. } = self.limits;
        assert!(lag.frames <= 2 * u64::from(queue_frames_max), "{} frames behind", lag.frames);
        assert!(lag.bytes <= 2 * u64::from(queue_bytes_max), "{} bytes behind", lag.bytes);
    }

    /// When all that was due has been done: deadlines are kept as well.
    pub fn check_flushed(&self, driver: &Driver<A>) {
        self.check(driver);
        self.check_deadlines(driver);
    }

    /// When everybody has read everything: nothing is held but what has come in, and what is
    /// remembered.
    pub fn check_idle(&self, driver: &Driver<A>) {
        self.check_flushed(driver);
        let most = self.held_idle(driver);
        assert!(driver.held <= most, "{} bytes are held for nobody, over {most}", driver.held);
        let lag = driver.server.peers().outbound.depth().sum;
        assert_eq!((lag.frames, lag.bytes), (0, 0), "all has been written");
        for socket in driver.sockets() {
            assert!(socket.unread.is_empty(), "the input of {} waits for ever", socket.id);
        }
    }

    /// Does all that is due now.
    pub fn flush(&self, driver: &mut Driver<A>) {
        driver.flush();
        self.check_flushed(driver);
    }

    /// Lets time pass.
    pub fn pass(&self, driver: &mut Driver<A>, ms: u64) {
        driver.pass_checked(ms, |driver| self.check_flushed(driver));
    }

    /// Lets time pass, `ms` at once, until everything has been read that was sent too fast: for as
    /// long as the rate allows. `before` is done each time.
    pub fn await_tokens(&self, driver: &mut Driver<A>, ms: u64, before: impl Fn(&mut Driver<A>)) {
        self.flush(driver);
        let waiting = |driver: &Driver<A>| driver.sockets().map(|socket| socket.unread.len()).max();
        // The shortest frame has six bytes.
        let tokens = waiting(driver).unwrap_or(0).div_ceil(6) as u64 + 1;
        let all_ms = (1_000 * tokens).checked_div(self.limits.rate_per_second.into()).unwrap_or(0);
        for _ in 0..all_ms.div_ceil(ms) {
            if waiting(driver).unwrap_or(0) == 0 {
                return;
            }
            before(driver);
            self.pass(driver, ms);
        }
    }

    /// Bytes of heap that the limits allow where everything has been written.
    fn held_idle(&self, driver: &Driver<A>) -> usize {
        let Limits { message_bytes_max, history_frames_max, .. } = self.limits;
        // What has come in of a message may have been grown to twice as much.
        let peer = OVERHEAD_BYTES + REQUEST_BYTES_MAX + 2 * bytes(message_bytes_max);
        let peers = driver.server.peers().len() * peer;
        let Remembered { rooms, messages } = (self.remembered)(&driver.server);
        let records = messages.min(rooms * bytes(history_frames_max));
        // There may be room for twice as many.
        let remembered = rooms * OVERHEAD_BYTES + 2 * records * self.record();
        self.held_when_new + OWN_BYTES + peers + remembered
    }

    /// Bytes of heap that they allow besides, for what is still to be written.
    fn held_busy(&self, driver: &Driver<A>) -> usize {
        let Limits { queue_frames_max, queue_bytes_max, history_frames_max, .. } = self.limits;
        let queue = bytes(queue_bytes_max);
        let frame = bytes(self.limits.frame_bytes_max());
        let unicast = frame.max(bytes(self.limits.message_bytes_max)) + ERROR_BYTES_MAX * 6;
        // The rest of a frame, an answer, a Close; and unicasts.
        let peers = driver.server.peers().len() * (self.thresholds.unicasts + 3) * unicast;
        // Who is a queue behind when it leaves, and a queue that is said after that; half a queue
        // that is said in a pass, and an event.
        let log = 5 * queue / 2 + bytes(self.limits.event_bytes_max());
        // As much has been written, but not yet trimmed; and there may be room for twice as much.
        // The mark of a frame is at most half as long as the frame.
        let log = 2 * 2 * log * 3 / 2;
        let Remembered { rooms, messages } = (self.remembered)(&driver.server);
        // Records that are kept for those who are about to read them: a queue, and half of one.
        let kept = bytes(queue_frames_max).min(queue / RECORD_FRAME_BYTES_MIN) * 3 / 2;
        let blocks = 4 * self.thresholds.replay_bytes + BLOCK_RECORDS * frame;
        let blocks = 2 * blocks.min(messages.min(bytes(history_frames_max) + kept) * frame);
        // A log and blocks for each version.
        peers + rooms * 2 * (log + blocks) + messages.min(rooms * kept) * 2 * self.record()
    }

    /// Bytes of a record in memory, at most.
    fn record(&self) -> usize {
        bytes(self.limits.text_bytes_max) + 128
    }

    /// Nobody overstays: neither who never completes a request, nor who is silent, nor who has
    /// been told the last.
    fn check_deadlines(&self, driver: &Driver<A>) {
        if driver.server.is_drained(driver.now) {
            return;
        }
        let slice = self.limits.ping_ms / KEEPALIVE_SLICES;
        let closing_max = REQUEST_MS_MAX.max(CLOSE_MS_MAX).max(DRAIN_MS_MAX);
        let silent_max = (self.limits.silence_ms_max() + 2 * slice).max(2 * REQUEST_MS_MAX);
        // Who is sent away just before that, or told that the server goes, has time to read it.
        let silent_max = silent_max + CLOSE_MS_MAX.max(DRAIN_MS_MAX);
        for socket in driver.sockets() {
            let since = |ms: u64| driver.now.mono_ms - ms;
            if socket.received.is_empty() && socket.capacity > 0 {
                assert!(since(socket.opened_ms) < REQUEST_MS_MAX, "a request has one deadline");
            }
            // Nobody is silent whom we do not read.
            if self.limits.ping_ms > 0 && socket.unread.is_empty() {
                assert!(since(socket.heard_ms) < silent_max, "the silent are dropped");
            }
            if let Some(finished_ms) = socket.finished_ms {
                assert!(since(finished_ms) < closing_max, "a closing has a deadline");
            }
        }
    }
}

fn bytes(limit: u32) -> usize {
    usize::try_from(limit).expect("32 bits")
}
