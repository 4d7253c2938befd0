//! One connected socket, and what came of using it.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::io::{Errno, retry_on_intr, writev};
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// What came of a read or a write on a non-blocking socket.
#[derive(Debug)]
pub(super) enum Outcome {
    /// So many bytes; never 0 unless 0 were asked for.
    ///
    /// `drained` after a read: the transport has nothing more for us now, and the poll will tell
    /// when it has. After a write: all that it accepted is with the kernel.
    Moved { len: usize, drained: bool },
    /// The socket has or takes no more now; the poll will tell when it does.
    Blocked,
    /// The peer will send no more.
    Eof,
    /// The connection is of no more use. So it is where the kernel is short of memory (`ENOBUFS`,
    /// `ENOMEM`): the poll does not tell when that is over, and what waits for it keeps memory too.
    Lost(Errno),
}

impl From<Errno> for Outcome {
    fn from(error: Errno) -> Self {
        if error == Errno::AGAIN { Self::Blocked } else { Self::Lost(error) }
    }
}

/// One connected socket, of either family.
#[derive(Debug)]
pub(super) struct Transport(OwnedFd);

impl Transport {
    /// Takes a socket that was just accepted. Small frames go out at once (`TCP_NODELAY`).
    pub(super) fn new(socket: OwnedFd) -> Self {
        // Fails on a Unix socket, which has no such delay, and on a connection that is broken
        // already; the next read tells.
        let _ = set_tcp_nodelay(&socket, true);
        Self(socket)
    }

    /// Registers both interests, once for the connection's life: mio is edge-triggered.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let interests = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&self.0.as_raw_fd()), token, interests)
    }

    /// Reads into `buffer`.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Outcome {
        match retry_on_intr(|| recv(&self.0, &mut *buffer, RecvFlags::empty())) {
            Ok((0, _)) => Outcome::Eof,
            // A read that does not fill the buffer has emptied the socket.
            Ok((len, _)) => Outcome::Moved { len, drained: len < buffer.len() },
            Err(error) => error.into(),
        }
    }

    /// Writes as much of `slices` as the socket takes, in one call.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> Outcome {
        let written = retry_on_intr(|| match slices {
            // Most have one, which needs no vector that the kernel would have to copy in.
            [slice] => send(&self.0, slice, SendFlags::NOSIGNAL),
            slices => writev(&self.0, slices),
        });
        written.map_or_else(Outcome::from, |len| Outcome::Moved { len, drained: true })
    }

    /// Ends our direction of the connection; what is written still arrives.
    pub(super) fn shutdown_write(&self) {
        // Fails only on a connection that is broken already.
        let _ = shutdown(&self.0, Shutdown::Write);
    }
}
