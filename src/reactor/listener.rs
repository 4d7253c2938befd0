//! One listening socket, of either family, and where it comes from: an address, or a supervisor
//! that passes it.

use std::io::{self, ErrorKind};
use std::iter;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use listenfd::ListenFd;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustix::net::{SocketFlags, acceptfrom_with, listen};

use super::address::Address;
use super::socket_file::SocketFile;
use crate::limits::{RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES};

/// Where systemd says how it calls the sockets that it passes (sd_listen_fds(3)).
const NAMES_VARIABLE: &str = "LISTEN_FDNAMES";

/// Connections that the kernel may hold for us between two iterations. The usual 128 drops SYNs
/// when a thousand clients reconnect at once. Linux cuts it to `net.core.somaxconn`.
const LISTEN_BACKLOG: i32 = 4096;

/// One listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: OwnedFd,
    /// Where it listens, with the port that the system chose.
    pub(super) address: Address,
    /// The file of a Unix socket that was bound here.
    pub(super) file: Option<SocketFile>,
    /// How the supervisor that has passed it calls it.
    pub(super) name: Option<String>,
    /// Accepting has not said that nothing is left.
    pub(super) is_pending: bool,
}

impl Listener {
    /// Binds an address. An error is a sentence with what to do, here and below.
    pub(super) fn bind(address: &Address) -> io::Result<Self> {
        let bound = match address {
            Address::Tcp(address) => TcpListener::bind(address).and_then(Self::tcp),
            Address::Unix(path) => SocketFile::bind(path)
                .and_then(|(socket, file)| Ok(Self { file: Some(file), ..Self::unix(socket)? })),
        };
        bound.map_err(|error| explain(address, &error))
    }

    /// Takes the sockets that a supervisor has passed (sd_listen_fds(3)).
    pub(super) fn take_passed() -> io::Result<Vec<Self>> {
        let names = std::env::var(NAMES_VARIABLE).unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let numbered = (0..passed.len()).zip(names.split(':').chain(iter::repeat("")));
        let take = |(index, name): (usize, &str)| {
            // A socket that is connected already, as with Accept=yes, cannot be made to listen.
            let listener = match passed.take_tcp_listener(index) {
                Ok(socket) => socket.map(Self::tcp),
                Err(_) => passed.take_unix_listener(index).ok().flatten().map(Self::unix),
            };
            let listener = listener.and_then(Result::ok).ok_or_else(|| {
                io::Error::other(format!(
                    "passed socket {index} cannot accept connections; its unit needs ListenStream= \
                     and Accept=no"
                ))
            })?;
            Ok(Self { name: (!name.is_empty()).then(|| name.to_owned()), ..listener })
        };
        numbered.map(take).collect()
    }

    fn tcp(socket: TcpListener) -> io::Result<Self> {
        let address = Address::Tcp(socket.local_addr()?);
        Self::new(socket.into(), address)
    }

    fn unix(socket: UnixListener) -> io::Result<Self> {
        let path = socket.local_addr()?.as_pathname().map(Path::to_owned);
        Self::new(socket.into(), Address::Unix(path.unwrap_or_default()))
    }

    fn new(socket: OwnedFd, address: Address) -> io::Result<Self> {
        // The standard library listens with a backlog of 128; listening again only widens it.
        listen(&socket, LISTEN_BACKLOG)?;
        // A TCP connection gets the same from it. A Unix socket's has what the system gives it.
        set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES)?;
        set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
        ioctl_fionbio(&socket, true)?;
        Ok(Self { socket, address, file: None, name: None, is_pending: true })
    }

    /// Registers it, for incoming connections.
    pub(super) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.socket.as_raw_fd()), token, Interest::READABLE)
    }

    /// Takes one connection in, and the address that it comes from if it has one.
    pub(super) fn accept(&self) -> Result<(OwnedFd, Option<SocketAddr>), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, from) = acceptfrom_with(&self.socket, flags)?;
        Ok((socket, from.and_then(|from| from.try_into().ok())))
    }
}

fn explain(address: &Address, error: &io::Error) -> io::Error {
    let is_unix = matches!(address, Address::Unix(_));
    let advice = match error.kind() {
        ErrorKind::AddrInUse if is_unix => {
            "another server already listens there; stop it or choose another path"
        }
        ErrorKind::AddrInUse => {
            "another program already listens there; stop it or choose another port"
        }
        ErrorKind::AlreadyExists => "that file is not a socket; remove it or choose another path",
        ErrorKind::NotFound => "create its directory or choose another path",
        ErrorKind::PermissionDenied if is_unix => {
            "this user may not write there; choose another path"
        }
        ErrorKind::PermissionDenied => "ports below 1024 need root; choose a higher one",
        ErrorKind::AddrNotAvailable => "this machine does not have that address; choose another",
        _ => "choose another address",
    };
    let text = format!("cannot listen on {address}: {error}; {advice} with --listen");
    io::Error::new(error.kind(), text)
}
