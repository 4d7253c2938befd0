//! Standard error, for which nobody ever waits.
//!
//! Its reader may have stopped: a terminal after Ctrl-S or of a connection that hangs, the program
//! at the other end of a pipe. Its open file is shared with other processes and must not be made
//! non-blocking for them, so a pipe or a terminal is opened a second time, for this process alone.
//! Where that cannot be (a socket has no path, a pipe can be somebody else's), poll(2) says whether
//! a write would wait: a pipe is writable where `PIPE_BUF` bytes fit, a Unix socket where a quarter
//! of its buffer is in use at most. A regular file takes what it is given.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};

use crate::limits::LOG_WRITE_BYTES_MAX;

/// Where it can be opened a second time.
const PATH: &str = "/proc/self/fd/2";

/// Standard error.
pub(super) struct Stderr {
    /// The same, opened a second time.
    own: Option<OwnedFd>,
}

impl Stderr {
    pub(super) fn open() -> Self {
        let kind = fstat(io::stderr()).map(|found| FileType::from_raw_mode(found.st_mode));
        let can_block = matches!(kind, Ok(FileType::Fifo | FileType::CharacterDevice));
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Self { own: can_block.then(|| open(PATH, flags, Mode::empty()).ok()).flatten() }
    }

    /// Writes a line whole and at once; whether it could. A terminal may be left with a part of it.
    pub(super) fn write(&self, line: &str) -> bool {
        debug_assert!(line.len() <= LOG_WRITE_BYTES_MAX);
        let shared = io::stderr();
        let to = self.own.as_ref().map_or(shared.as_fd(), |own| own.as_fd());
        let mut polled = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
        let is_ready = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1);
        is_ready && rustix::io::write(to, line.as_bytes()) == Ok(line.len())
    }
}
