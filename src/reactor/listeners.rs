//! The listening sockets: how connections are taken in, also when there is no place for them.
//!
//! mio is edge-triggered: a listener that could not accept for want of a descriptor is reported
//! no more, and a loop that relies on the report goes deaf. So a listener counts as pending until
//! accepting has said that nothing is left; one descriptor is kept in reserve to accept and
//! refuse with; and where even that is gone, accepting rests for a moment and is tried again at
//! the next close.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd, OwnedFd};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::listen;

use crate::limits::{ACCEPT_RETRY_MS, LISTEN_BACKLOG};

/// One attempt to take a connection in.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A connection, and whose it is.
    Connection(TcpStream, SocketAddr),
    /// A connection for which there is no descriptor: all that can be done is to say so.
    Surplus(TcpStream),
    /// Nothing is left to take in, for now.
    Nothing,
}

/// The listening sockets.
#[derive(Debug)]
pub(super) struct Listeners {
    all: Vec<Listener>,
    /// A descriptor in reserve.
    spare: Option<OwnedFd>,
    /// Accepting rests until then, in milliseconds of the monotonic clock.
    rests_until_ms: Option<u64>,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    is_pending: bool,
}

impl Listeners {
    /// Binds each address, with a backlog for a storm of reconnects, and registers it with the
    /// token that `token_of` its index gives.
    ///
    /// # Errors
    /// The first address that cannot be had, in a sentence with what to do.
    pub(super) fn bind(
        addresses: &[SocketAddr],
        registry: &Registry,
        token_of: impl Fn(usize) -> Token,
    ) -> io::Result<Self> {
        let mut all = Vec::new();
        for (index, &address) in addresses.iter().enumerate() {
            let mut socket = bind(address).map_err(|error| explain(address, &error))?;
            registry.register(&mut socket, token_of(index), Interest::READABLE)?;
            all.push(Listener { socket, is_pending: true });
        }
        let mut listeners = Self { all, spare: None, rests_until_ms: None };
        listeners.take_spare();
        Ok(listeners)
    }

    /// The addresses that are listened on, with the ports that the system chose.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.all.iter().filter_map(|listener| listener.socket.local_addr().ok())
    }

    /// The poll has reported the listener of this index.
    pub(super) fn handle_readable(&mut self, index: usize) {
        if let Some(listener) = self.all.get_mut(index) {
            listener.is_pending = true;
        }
    }

    /// A descriptor has come free.
    pub(super) fn handle_closed(&mut self) {
        self.end_rest();
        self.take_spare();
    }

    /// Whether there may be connections to take in now.
    pub(super) fn is_pending(&self, now_ms: u64) -> bool {
        self.rests_until_ms.is_none_or(|until| until <= now_ms)
            && self.all.iter().any(|listener| listener.is_pending)
    }

    /// When accepting ends its rest.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.rests_until_ms
    }

    /// Takes one connection in from any listener.
    pub(super) fn accept(&mut self, now_ms: u64) -> Accepted {
        for index in 0..self.all.len() {
            while self.is_pending(now_ms) && self.all[index].is_pending {
                match self.all[index].socket.accept() {
                    Ok((stream, from)) => return Accepted::Connection(stream, from),
                    Err(error) => {
                        if let Some(stream) = self.handle_error(index, &error, now_ms) {
                            return Accepted::Surplus(stream);
                        }
                    }
                }
            }
        }
        Accepted::Nothing
    }

    fn handle_error(&mut self, index: usize, error: &io::Error, now_ms: u64) -> Option<TcpStream> {
        match error.kind() {
            ErrorKind::WouldBlock => {
                self.all[index].is_pending = false;
                self.end_rest();
            }
            // What befell one connection before it was taken in says nothing of the next.
            ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
            _ if is_out_of_descriptors(error) => {
                return self.accept_surplus(index, error, now_ms);
            }
            _ => self.rest(error, now_ms),
        }
        None
    }

    /// Accepts with the descriptor in reserve, if there is one.
    ///
    /// Linux looks for a descriptor before it looks for a connection, so there may be none.
    fn accept_surplus(
        &mut self,
        index: usize,
        error: &io::Error,
        now_ms: u64,
    ) -> Option<TcpStream> {
        if self.spare.take().is_some() {
            match self.all[index].socket.accept() {
                Ok((stream, _)) => return Some(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.take_spare();
                    self.all[index].is_pending = false;
                    self.end_rest();
                    return None;
                }
                Err(_) => self.take_spare(),
            }
        }
        self.rest(error, now_ms);
        None
    }

    /// Takes a descriptor in reserve again, once the one accepted with it is closed.
    pub(super) fn take_spare(&mut self) {
        if self.spare.is_none()
            && let Some(listener) = self.all.first()
        {
            self.spare = fcntl_dupfd_cloexec(listener.socket.as_fd(), 0).ok();
        }
    }

    fn end_rest(&mut self) {
        if self.rests_until_ms.take().is_some() {
            log::info!("accepting again");
            self.take_spare();
        }
    }

    fn rest(&mut self, error: &io::Error, now_ms: u64) {
        if self.rests_until_ms.is_none() {
            log::warn!(
                "cannot accept, trying again at the next close or in {ACCEPT_RETRY_MS} ms error={error:?}"
            );
        }
        self.rests_until_ms = Some(now_ms + ACCEPT_RETRY_MS);
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    // The standard library listens with a backlog of 128; listening again only widens it.
    listen(&listener, LISTEN_BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener))
}

fn explain(address: SocketAddr, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => "something else listens there; stop it or choose another port",
        ErrorKind::PermissionDenied => "ports below 1024 need privileges; choose a higher one",
        ErrorKind::AddrNotAvailable => "no interface of this machine has that address",
        _ => "choose another address",
    };
    io::Error::new(
        error.kind(),
        format!("cannot listen on {address}: {error}; {advice} with --listen"),
    )
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|out| errno == Some(out.raw_os_error()))
}
