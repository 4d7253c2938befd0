//! One connected socket, and what came of using it.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

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
    Lost(io::Error),
}

/// A socket of either family.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

/// One connected socket.
#[derive(Debug)]
pub(super) struct Transport {
    stream: Stream,
}

impl Transport {
    /// Takes a stream that was just accepted. Small frames go out at once (`TCP_NODELAY`).
    pub(super) fn new(stream: Stream) -> Self {
        if let Stream::Tcp(stream) = &stream {
            // Fails only on a connection that is broken already; the next read tells.
            let _ = stream.set_nodelay(true);
        }
        Self { stream }
    }

    /// Registers both interests, once for the connection's life: mio is edge-triggered.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interests = Interest::READABLE | Interest::WRITABLE;
        match &mut self.stream {
            Stream::Tcp(stream) => registry.register(stream, token, interests),
            Stream::Unix(stream) => registry.register(stream, token, interests),
        }
    }

    /// Reads into `buffer`.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Outcome {
        let capacity = buffer.len();
        let read = match &mut self.stream {
            Stream::Tcp(stream) => retry(|| stream.read(buffer)),
            Stream::Unix(stream) => retry(|| stream.read(buffer)),
        };
        match read {
            Ok(0) => Outcome::Eof,
            // A read that does not fill the buffer has emptied the socket.
            Ok(len) => Outcome::Moved { len, drained: len < capacity },
            Err(outcome) => outcome,
        }
    }

    /// Writes as much of `slices` as the socket takes, in one call.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> Outcome {
        let written = match &mut self.stream {
            Stream::Tcp(stream) => retry(|| write_to(stream, slices)),
            Stream::Unix(stream) => retry(|| write_to(stream, slices)),
        };
        written.map_or_else(|outcome| outcome, |len| Outcome::Moved { len, drained: true })
    }

    /// Ends our direction of the connection; what is written still arrives.
    pub(super) fn shutdown_write(&self) {
        // Fails only on a connection that is broken already.
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

/// A single slice, as most have, needs no vector, which the kernel would have to copy in.
fn write_to(stream: &mut impl Write, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match slices {
        [slice] => stream.write(slice),
        slices => stream.write_vectored(slices),
    }
}

/// How many bytes moved, or what came of it instead.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> Result<usize, Outcome> {
    loop {
        match call() {
            Ok(len) => return Ok(len),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(Outcome::Blocked),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Outcome::Lost(error)),
        }
    }
}
