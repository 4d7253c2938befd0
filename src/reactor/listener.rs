//! One listening socket, of either family, and where it comes from: an address, or a supervisor
//! that passes it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;

use listenfd::ListenFd;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use rustix::net::listen;

use super::address::Address;
use super::socket_file::SocketFile;
use super::transport::Stream;
use crate::process::Identity;

/// Where systemd says how it calls the sockets that it passes (sd_listen_fds(3)).
const NAMES_VARIABLE: &str = "LISTEN_FDNAMES";

/// Connections that the kernel may hold for us between two iterations. The usual 128 drops SYNs
/// when a thousand clients reconnect at once. Linux cuts it to `net.core.somaxconn`.
const LISTEN_BACKLOG: i32 = 4096;

/// One listening socket.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// With its file, where that is ours.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// Binds an address, with a backlog for a storm of reconnects.
    ///
    /// # Errors
    /// A sentence with what to do.
    pub(super) fn bind(address: &Address) -> io::Result<Self> {
        let bound = match address {
            Address::Tcp(address) => StdTcpListener::bind(address).and_then(tcp),
            Address::Unix(path) => {
                SocketFile::bind(path).and_then(|(socket, file)| unix(socket, Some(file)))
            }
        };
        bound.map_err(|error| explain(address, &error))
    }

    /// Takes the sockets that a supervisor has passed, with the names that it calls them by
    /// (sd_listen_fds(3)); none where it has passed none.
    ///
    /// # Errors
    /// A socket from which no connection can be accepted, in a sentence with what to do.
    pub(super) fn take_passed() -> io::Result<Vec<(Self, Option<String>)>> {
        let names = std::env::var(NAMES_VARIABLE).unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let all = 0..passed.len();
        all.map(|index| {
            let name = names.next().filter(|name| !name.is_empty()).map(str::to_owned);
            Ok((take(&mut passed, index)?, name))
        })
        .collect()
    }

    /// Gives its file to a user, if it has one of its own.
    pub(super) fn give_to(&self, owner: Identity) -> io::Result<()> {
        match self {
            Self::Unix(_, Some(file)) => file.give_to(owner),
            _ => Ok(()),
        }
    }

    /// Whether it has a file of its own.
    #[cfg(feature = "confine")]
    pub(super) fn has_file(&self) -> bool {
        matches!(self, Self::Unix(_, Some(_)))
    }

    /// Registers it, for incoming connections.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => registry.register(socket, token, Interest::READABLE),
            Self::Unix(socket, _) => registry.register(socket, token, Interest::READABLE),
        }
    }

    /// Takes one connection in, and the address that it comes from if it has one.
    pub(super) fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(socket) => socket.accept().map(|(stream, from)| (stream.into(), Some(from))),
            Self::Unix(socket, _) => socket.accept().map(|(stream, _)| (stream.into(), None)),
        }
    }

    /// Where it listens, with the port that the system chose.
    pub(super) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(socket) => socket.local_addr().map(Address::Tcp),
            Self::Unix(_, Some(file)) => Ok(Address::Unix(file.path().to_owned())),
            Self::Unix(socket, None) => {
                let path = socket.local_addr()?.as_pathname().map(Path::to_owned);
                Ok(Address::Unix(path.unwrap_or_default()))
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket, _) => socket.as_fd(),
        }
    }
}

fn tcp(socket: StdTcpListener) -> io::Result<Listener> {
    widen(&socket)?;
    socket.set_nonblocking(true)?;
    Ok(Listener::Tcp(TcpListener::from_std(socket)))
}

fn unix(socket: StdUnixListener, file: Option<SocketFile>) -> io::Result<Listener> {
    widen(&socket)?;
    socket.set_nonblocking(true)?;
    Ok(Listener::Unix(UnixListener::from_std(socket), file))
}

/// The standard library listens with a backlog of 128; listening again only widens it.
fn widen(socket: &impl AsFd) -> io::Result<()> {
    listen(socket, LISTEN_BACKLOG).map_err(io::Error::from)
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<Listener> {
    // A socket that is connected already, as with Accept=yes, cannot be made to listen.
    let listener = match passed.take_tcp_listener(index) {
        Ok(socket) => socket.and_then(|socket| tcp(socket).ok()),
        Err(_) => {
            let socket = passed.take_unix_listener(index).ok().flatten();
            socket.and_then(|socket| unix(socket, None).ok())
        }
    };
    listener.ok_or_else(|| {
        io::Error::other(format!(
            "passed socket {index} cannot accept connections; its unit needs ListenStream= and \
             Accept=no"
        ))
    })
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
