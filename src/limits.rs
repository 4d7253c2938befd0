//! Every number that a peer or an operator can reach, with its unit, its reason and what its excess
//! gets.
//!
//! What an operator may set is a field of [`Limits`]; what follows from a standard, from the
//! machine or from another number is a constant. So this file answers "how much can a peer make it
//! do?" on its own. Numbers that only tune how the work is done stand beside their one user.

use std::ops::RangeInclusive;

/// Length of a request head, in bytes. Browsers send 400 to 2,000, cookies included.
/// Excess: 431 and the connection ends.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// Header fields of one request. Browsers send about 15. Excess: 431 and the connection ends.
pub const REQUEST_HEADERS_MAX: usize = 64;

/// Time for the whole request head to arrive, in milliseconds, however it is dripped.
/// Excess: 408 and the connection ends; 503 where it has arrived and waits at a gate.
pub const REQUEST_MS_MAX: u64 = 10_000;

/// How long a connection that is no WebSocket, or not any more, keeps its slot from others of its
/// address when all are taken, in milliseconds: a request and its answer over any line that still
/// serves to chat. Excess: it is evicted for whoever comes next, the oldest first. It gives way to
/// other addresses at once, if none has more of such connections than its own.
pub const PENDING_MS_MIN: u64 = 250;

/// Connections from one address beyond `peers_per_ip_max`, for the page and for refusals: browsers
/// open six. Excess: turned away before their request.
pub const PENDING_PER_ADDRESS_MAX: u32 = 8;

/// How many peers that send as fast as they may one address stands for: a household, or a school
/// behind one router. Excess: their next messages wait, one after the other.
pub const ADDRESS_PEERS: u32 = 20;

/// The time in which `joins_per_minute` come back, in milliseconds.
pub const JOINS_PERIOD_MS: u64 = 60_000;

/// Addresses without connections that are remembered until they have back what they have used up.
/// Excess: the one that was left first is forgotten.
pub const ADDRESSES_KEPT: usize = 4096;

/// The least time between two lines of the log that say that memory is short, in milliseconds.
/// Excess: not said.
pub const SHORTAGE_MS_MIN: u64 = 60_000;

/// Frames of one fragmented message. Text of 4 KiB in sensible pieces needs a dozen.
/// Excess: Close 1009.
pub const FRAGMENTS_MAX: u32 = 1024;

/// Characters of a name after stripping: two lines on a phone. Excess: cut off.
pub const USERNAME_CHARS_MAX: usize = 64;

/// Characters of a room's name after stripping. Excess: cut off.
pub const ROOM_CHARS_MAX: usize = 64;

/// Bytes of the `ref` of a message: a UUID and more. Excess: an error to the sender.
pub const REFERENCE_BYTES_MAX: usize = 64;

/// Characters of what the page calls itself: a line of a phone. Excess: an error at start.
pub const TITLE_CHARS_MAX: usize = 64;

/// Bytes of what the page says on entering: a screen or two of a phone. Excess: an error at start.
pub const WELCOME_BYTES_MAX: usize = 4 * 1024;

/// The least time between two notices that a member is writing, in milliseconds. Excess: dropped.
pub const TYPING_MS_MIN: u64 = 1_000;

/// The least time between two looks at every queue for `/metrics`, in milliseconds. Excess: the
/// numbers of the last look.
pub const METRICS_MS_MIN: u64 = 1_000;

/// Bytes of a log line, without its time and level; what it quotes of a peer can be a whole
/// request head. Excess: cut off, and three dots in its place.
pub const LOG_LINE_BYTES_MAX: usize = 1024;

/// Bytes of a log line besides: its time, its level and the mark of a cut.
const LOG_FRAME_BYTES_MAX: usize = 64;

/// Bytes of one write to standard error that do not wait where poll(2) calls it writable: `PIPE_BUF`
/// (pipe(7)). A line is one write.
pub const LOG_WRITE_BYTES_MAX: usize = 4096;

/// Resident memory up to which its pages are counted for `/metrics`, in bytes: that takes up to 12 us
/// for each MiB. Excess: what the kernel reports without counting, a few percent wrong at most.
pub const COUNTED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Time for a peer to read what was still to be said to it and to end the TCP connection after
/// our Close frame or HTTP answer, in milliseconds. Excess: the socket is dropped.
pub const CLOSE_MS_MAX: u64 = 2_000;

/// Time for everybody to be told goodbye after SIGTERM, in milliseconds. The promise of the
/// command line is an exit within five seconds. Excess: the sockets are dropped.
pub const DRAIN_MS_MAX: u64 = 4_500;

/// How long a WebSocket's socket may take no byte while some wait for it, in milliseconds, however
/// much its peer sends meanwhile. Excess: the socket is dropped.
pub const PROGRESS_MS_MAX: u64 = 30_000;

/// Seconds that a 503 asks the client to wait (RFC 9110, section 10.2.3).
pub const RETRY_AFTER_SECONDS: u32 = 5;

/// The one read buffer of the loop, in bytes: what a peer can hand in with one `read`, and so what
/// is kept of a peer whose messages must wait. The rest waits in the kernel.
pub const READ_BUFFER_BYTES: usize = 4 * 1024;

/// `read` calls for one peer and iteration. Excess: the rest waits for the next iteration.
pub const READS_PER_PEER_AND_ITERATION: usize = 4;

/// Messages and control frames that are taken of what a peer hands in with one `read`. Excess: the
/// rest waits for the next iteration, behind those of others.
pub const MESSAGES_PER_READ: usize = 16;

/// What the kernel may hold of a peer's bytes that are not read, in bytes; Linux doubles it for its
/// own records. Excess: TCP makes the peer wait.
pub const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

/// What the kernel may hold of bytes for a peer, in bytes; Linux doubles it for its own records. A
/// third of it must be free before more is written, so a line of 16 KB/s shows progress every few
/// seconds. Excess: the rest waits in the server, see `queue_bytes_max`.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Connections accepted in one iteration. Excess: the rest waits for the next iteration.
pub const ACCEPTS_PER_ITERATION: usize = 256;

/// Slices of one `writev`. Linux allows 1,024; a peer that keeps up has one or two, and setting up
/// more of them than are used costs every write.
pub const WRITE_SLICES_MAX: usize = 16;

/// Descriptors that are not peers: three standard streams, the poll, the signals' two, the
/// supervisor's, and a few to spare.
pub const DESCRIPTORS_RESERVED: u64 = 16;

/// Connections beyond `peers_max` that are still given a request's time, so that they get a
/// proper 503 instead of a reset.
pub const REFUSALS_MAX: u32 = 8;

/// Bytes of an error's text to its sender; what it quotes of a peer's bytes is cut here.
pub const ERROR_BYTES_MAX: usize = 200;

/// What Linux may hold for one connection in both buffers, in bytes.
pub const SOCKET_BUFFERS_BYTES: u64 = 2 * (RECEIVE_BUFFER_BYTES + SEND_BUFFER_BYTES) as u64;

/// Memory of an idle connection, in bytes: what an idle member takes by measurement, rounded up.
pub const CONNECTION_BYTES: u32 = 320;

/// Memory beyond that for which no connection is ever dropped, in bytes: the answer to a handshake.
/// With it a connection is a kibibyte, and half of `memory_bytes_max` must be enough for all.
pub const UNTOUCHED_BYTES: u32 = 1024 - CONNECTION_BYTES;

/// The part of the memory of the machine, or of what the process may have of it, that is the
/// default of `--memory`.
pub const MEMORY_PART: u64 = 4;

/// The most that it is by default, in bytes.
pub const MEMORY_DEFAULT_MAX: u64 = 256 * 1024 * 1024;

/// What an operator may set. The defaults are those of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Chat messages replayed on joining. Excess: the oldest is forgotten.
    pub history_frames_max: u32,
    /// Outbound frames a reader may lag behind. Excess: Close 1013 to that reader.
    pub queue_frames_max: u32,
    /// The same in bytes.
    pub queue_bytes_max: u32,
    /// A whole WebSocket message, in bytes, fragments together. Excess: Close 1009.
    pub message_bytes_max: u32,
    /// The text of one chat message, in bytes of UTF-8. Excess: an error to its sender.
    pub text_bytes_max: u32,
    /// WebSocket peers at once. Excess: 503 with `Retry-After`.
    pub peers_max: u32,
    /// WebSockets from one address, of IPv6 a /64, until their connections are gone; 0 for any
    /// number. Excess: 429.
    pub peers_per_ip_max: u32,
    /// Joins a minute and address, and as many at once; 0 for any number. Loopback and Unix sockets
    /// may join as often as they like. Excess: 429 with `Retry-After`.
    pub joins_per_minute: u32,
    /// Messages a second and peer that refill its bucket, 0 for no limit. Excess: the peer is not
    /// read until there is a token again. The same for `address_peers` peers of one address.
    pub rate_per_second: u32,
    /// Messages that a bucket holds.
    pub burst: u32,
    /// A peer silent for this long gets a ping, in milliseconds, 0 for never; after 2.5 times
    /// this long it is dropped.
    pub ping_ms: u64,
    /// Joins and leaves are announced, and members named to newcomers, in rooms of at most so many
    /// members: each name costs each of them a frame. Excess: the number of members alone.
    pub announce_up_to: u32,
    /// Rooms at once. Excess: the room that was empty for longest is forgotten with its history,
    /// and where none is empty 503.
    pub rooms_max: u32,
    /// Frames of one fragmented message; [`FRAGMENTS_MAX`] unless a test or a tool lifts it.
    pub fragments_max: u32,
    /// Memory that is held for peers and rooms, in bytes. Excess: what costs least to others goes,
    /// see `conn/memory.rs`; where nothing is left to go, 503.
    pub memory_bytes_max: u32,
    /// How many peers one address stands for; [`ADDRESS_PEERS`] unless a test lowers it.
    pub address_peers: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            history_frames_max: 100,
            queue_frames_max: 256,
            queue_bytes_max: 1024 * 1024,
            message_bytes_max: 16 * 1024,
            text_bytes_max: 4096,
            peers_max: 1000,
            peers_per_ip_max: 0,
            joins_per_minute: 300,
            rate_per_second: 10,
            burst: 50,
            ping_ms: 30_000,
            announce_up_to: 200,
            rooms_max: 1000,
            fragments_max: FRAGMENTS_MAX,
            memory_bytes_max: 256 * 1024 * 1024,
            address_peers: ADDRESS_PEERS,
        }
    }
}

/// `--history`
pub const HISTORY_FRAMES: RangeInclusive<u64> = 0..=10_000;
/// `--queue-frames`; one event must fit into half of it.
pub const QUEUE_FRAMES: RangeInclusive<u64> = 8..=65_536;
/// `--queue-bytes`
pub const QUEUE_BYTES: RangeInclusive<u64> = 4 * 1024..=256 * 1024 * 1024;
/// `--message-bytes`
pub const MESSAGE_BYTES: RangeInclusive<u64> = 128..=16 * 1024 * 1024;
/// `--text-bytes`
pub const TEXT_BYTES: RangeInclusive<u64> = 1..=1024 * 1024;
/// `--max-peers`
pub const PEERS: RangeInclusive<u64> = 1..=1_000_000;
/// `--max-peers-per-ip`
pub const PEERS_PER_IP: RangeInclusive<u64> = 0..=1_000_000;
/// `--memory`
pub const MEMORY: RangeInclusive<u64> = 1024 * 1024..=3 * 1024 * 1024 * 1024;
/// `--joins`
pub const JOINS: RangeInclusive<u64> = 0..=1_000_000;
/// `--rate`
pub const RATE: RangeInclusive<u64> = 0..=100_000;
/// `--burst`
pub const BURST: RangeInclusive<u64> = 1..=1_000_000;
/// `--ping`, in milliseconds: one second to one day, or 0.
pub const PING_MS: RangeInclusive<u64> = 1_000..=86_400_000;
/// `--rooms-max`
pub const ROOMS: RangeInclusive<u64> = 1..=1_000_000;
/// `--announce-up-to`
pub const ANNOUNCE_UP_TO: RangeInclusive<u64> = 0..=1_000_000;

/// Frames that one event can add to what waits for a reader: who came, who left, how many there
/// are now, and a message.
pub const EVENT_FRAMES_MAX: u32 = 4;

/// Bytes of a frame for all but a message's text: its header, keys and a name, whose characters
/// take four bytes at most, escaped or not.
const ENVELOPE_BYTES_MAX: u32 = 512;

/// The longest JSON that one byte of text can become: `\u0000`.
const JSON_BYTES_PER_TEXT_BYTE: u32 = 6;

impl Limits {
    /// Bytes of the longest frame in which a message is sent to a room. What its sender gets can
    /// be longer, by the `ref`.
    pub const fn frame_bytes_max(&self) -> u32 {
        self.text_bytes_max * JSON_BYTES_PER_TEXT_BYTE + ENVELOPE_BYTES_MAX
    }

    /// Bytes that one event can add to what waits for a reader.
    pub const fn event_bytes_max(&self) -> u32 {
        self.frame_bytes_max() + EVENT_FRAMES_MAX * ENVELOPE_BYTES_MAX
    }

    /// Bytes of memory that may be counted for peers and rooms: the rest of the budget is for the
    /// allocator's own records, and for the process.
    pub const fn held_bytes_max(&self) -> usize {
        (self.memory_bytes_max - self.memory_bytes_max / 8) as usize
    }

    /// A peer silent for this long is dropped, in milliseconds: two pings and a half.
    pub const fn silence_ms_max(&self) -> u64 {
        self.ping_ms * 5 / 2
    }

    /// What each limit demands of the others.
    ///
    /// # Errors
    /// The sentence names the two options that contradict each other.
    pub fn check(&self) -> Result<(), String> {
        let Self { text_bytes_max: text, message_bytes_max: message, .. } = *self;
        let Self { queue_bytes_max: queue, history_frames_max: history, .. } = *self;
        let event = self.event_bytes_max();
        if text > message {
            return Err(format!(
                "--text-bytes {text} is more than --message-bytes {message}: no message could \
                 carry such a text; raise --message-bytes or lower --text-bytes"
            ));
        }
        if queue < event {
            return Err(format!(
                "--queue-bytes {queue} is less than the {event} bytes that a message of \
                 --text-bytes {text} can add to a queue, where every character is escaped; \
                 raise --queue-bytes or lower --text-bytes"
            ));
        }
        if self.rate_per_second > 0 && self.burst > self.queue_frames_max {
            let (burst, queue) = (self.burst, self.queue_frames_max);
            return Err(format!(
                "--burst {burst} is more than --queue-frames {queue}: one client could send more \
                 at once than others may be behind; lower --burst or raise --queue-frames"
            ));
        }
        if u64::from(history) * u64::from(text) > u32::MAX.into() {
            return Err(format!(
                "--history {history} of messages of --text-bytes {text} can take more than 4 GiB \
                 in each room; lower one of them"
            ));
        }
        Ok(())
    }
}

const _: () = {
    assert!(DRAIN_MS_MAX < 5_000, "the command line promises five seconds");
    assert!(CLOSE_MS_MAX < DRAIN_MS_MAX, "a drain waits for each Close");
    assert!(PENDING_MS_MIN < REQUEST_MS_MAX, "who is evicted has its deadline yet to come");
    assert!(LOG_LINE_BYTES_MAX + LOG_FRAME_BYTES_MAX <= LOG_WRITE_BYTES_MAX, "one write a line");
    assert!(WRITE_SLICES_MAX <= 1024, "IOV_MAX on Linux");
    assert!(*QUEUE_FRAMES.start() >= 2 * EVENT_FRAMES_MAX as u64, "an event fits");
    assert!(ERROR_BYTES_MAX * 6 < 4096, "an error fits in the smallest queue");
    assert!(USERNAME_CHARS_MAX * 4 < ENVELOPE_BYTES_MAX as usize, "a name fits");
    assert!(*TEXT_BYTES.end() * 6 < u32::MAX as u64, "frame_bytes_max fits in u32");
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_coherent() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn a_contradiction_names_both_options() {
        let text = Limits { text_bytes_max: 20_000, ..Limits::default() };
        let said = text.check().unwrap_err();
        assert!(
            said.contains("--text-bytes 20000") && said.contains("--message-bytes 16384"),
            "{said}"
        );

        let history =
            Limits { history_frames_max: 1_000_000, text_bytes_max: 10_000, ..Limits::default() };
        let said = history.check().unwrap_err();
        assert!(
            said.contains("--history 1000000") && said.contains("--text-bytes 10000"),
            "{said}"
        );

        let burst = Limits { burst: 257, ..Limits::default() };
        let said = burst.check().unwrap_err();
        assert!(said.contains("--burst 257") && said.contains("--queue-frames 256"), "{said}");
        assert_eq!(Limits { rate_per_second: 0, ..burst }.check(), Ok(()));

        let queue = Limits { queue_bytes_max: 4096, ..Limits::default() };
        let said = queue.check().unwrap_err();
        assert!(
            said.contains("--queue-bytes 4096") && said.contains("--text-bytes 4096"),
            "{said}"
        );
    }
}
