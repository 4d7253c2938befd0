//! The bytes of a fuzzer, taken as choices.

use hallway::outbound::Thresholds;

/// What is left of the fuzzer's bytes; zeros after that.
///
/// Written by hand and not derived: the encoding never changes by itself, so a corpus stays good,
/// and operations are letters, so a dictionary and a reader can make sense of them.
pub struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    pub fn new(data: &'d [u8]) -> Self {
        Self(data)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// At most `len` bytes.
    pub fn take(&mut self, len: usize) -> &'d [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn rest(&mut self) -> &'d [u8] {
        self.take(usize::MAX)
    }

    /// One of `choices`.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// One byte chooses all thresholds: those of the server, or some that are crossed all the
    /// time.
    pub fn thresholds(&mut self) -> Thresholds {
        let choice = self.byte();
        let is_tiny = |bit: u32| choice >> bit & 1 == 1;
        let mut thresholds = Thresholds::default();
        if is_tiny(0) {
            thresholds.crowd = 2;
        }
        if is_tiny(1) {
            thresholds.news_ms = 2_500;
        }
        if is_tiny(2) {
            thresholds.quantum_readers = 1;
        }
        if is_tiny(3) {
            thresholds.quantum_bytes = 100;
        }
        if is_tiny(4) {
            thresholds.unicasts = 1;
        }
        if is_tiny(5) {
            thresholds.replay_bytes = 1;
        }
        thresholds
    }
}

/// Cuts `bytes` into pieces of changing lengths, the same ones for the same `seed`; for one seed
/// in eight into single bytes.
pub fn pieces(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    if seed.is_multiple_of(8) {
        return bytes.chunks(1).collect();
    }
    let mut state = u64::from(seed) << 1 | 1;
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        // A linear congruential generator (Knuth's MMIX); its high bits are good enough here.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let len = [1, 2, 3, 5, 14, 31, 64, 500][(state >> 61) as usize].min(rest.len());
        let (piece, others) = rest.split_at(len);
        pieces.push(piece);
        rest = others;
    }
    pieces
}
