//! The listening sockets: how connections are accepted, also when there is no descriptor for them.
//!
//! mio is edge-triggered: a listener that could not accept for want of a descriptor is reported
//! no more, and a loop that relies on the report goes deaf. So a listener counts as pending until
//! accepting has said that nothing is left; one descriptor is kept in reserve to accept and
//! refuse with; and where even that is gone, accepting pauses for a moment and is tried again at
//! the next close.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use mio::{Registry, Token};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use super::address::Address;
use super::listener::Listener;
use super::transport::Stream;
use crate::process::Identity;

/// How long accepting pauses after the system had no descriptor or memory for another
/// connection, unless one closes before, in milliseconds.
const ACCEPT_RETRY_MS: u64 = 500;

/// One attempt to take a connection in.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A connection, and the address that it comes from if it has one.
    Connection(Stream, Option<SocketAddr>),
    /// A connection for which there is no descriptor: all that can be done is to say so.
    OverFdLimit(Stream),
    /// Nothing is left to take in, for now.
    Nothing,
}

/// The listening sockets.
#[derive(Debug, Default)]
pub struct Listeners {
    all: Vec<Entry>,
    /// A descriptor in reserve.
    spare: Option<OwnedFd>,
    /// Accepting pauses until then, in milliseconds of the monotonic clock.
    paused_until_ms: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    socket: Listener,
    /// How the supervisor that has passed it calls it.
    name: Option<String>,
    is_pending: bool,
}

impl Listeners {
    /// Binds each address.
    ///
    /// # Errors
    /// The first address that cannot be had, in a sentence with what to do.
    pub fn bind(addresses: &[Address]) -> io::Result<Self> {
        let bound: io::Result<Vec<_>> = addresses.iter().map(Listener::bind).collect();
        Ok(Self::of(bound?.into_iter().map(|socket| (socket, None))))
    }

    /// The sockets that a supervisor has passed, `None` where it has passed none. Asking takes
    /// them: the second answer is `None`.
    ///
    /// # Errors
    /// A socket from which no connection can be accepted, in a sentence with what to do.
    pub fn passed() -> io::Result<Option<Self>> {
        let passed = Listener::take_passed()?;
        Ok((!passed.is_empty()).then(|| Self::of(passed)))
    }

    fn of(all: impl IntoIterator<Item = (Listener, Option<String>)>) -> Self {
        let entry = |(socket, name)| Entry { socket, name, is_pending: true };
        Self { all: all.into_iter().map(entry).collect(), ..Self::default() }
    }

    /// Gives the files of Unix sockets to a user.
    ///
    /// # Errors
    /// What the system refused.
    pub fn give_to(&self, owner: Identity) -> io::Result<()> {
        self.all.iter().try_for_each(|entry| entry.socket.give_to(owner))
    }

    /// Whether one is a Unix socket whose file is to be removed at the end.
    #[cfg(feature = "confine")]
    pub fn have_files(&self) -> bool {
        self.all.iter().any(|entry| entry.socket.has_file())
    }

    /// Registers each with the token that `token_of` its index gives.
    ///
    /// # Errors
    /// What the system refused.
    pub(super) fn register(
        &mut self,
        registry: &Registry,
        token_of: impl Fn(usize) -> Token,
    ) -> io::Result<()> {
        for (index, entry) in self.all.iter_mut().enumerate() {
            entry.socket.register(registry, token_of(index))?;
        }
        self.take_spare();
        Ok(())
    }

    /// Where they listen, with the ports that the system chose and the supervisor's names.
    pub fn addresses(&self) -> impl Iterator<Item = (Address, Option<&str>)> {
        self.all.iter().filter_map(|entry| {
            let address = entry.socket.address().ok()?;
            Some((address, entry.name.as_deref()))
        })
    }

    /// The poll has reported the listener of this index.
    pub(super) fn handle_readable(&mut self, index: usize) {
        if let Some(entry) = self.all.get_mut(index) {
            entry.is_pending = true;
        }
    }

    /// A descriptor has come free.
    pub(super) fn handle_closed(&mut self) {
        self.resume();
        self.take_spare();
    }

    /// Whether there may be connections to take in now.
    pub(super) fn is_pending(&self, now_ms: u64) -> bool {
        self.paused_until_ms.is_none_or(|until| until <= now_ms)
            && self.all.iter().any(|entry| entry.is_pending)
    }

    /// When accepting ends its pause.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.paused_until_ms
    }

    /// Takes one connection in from any listener.
    pub(super) fn accept(&mut self, now_ms: u64) -> Accepted {
        for index in 0..self.all.len() {
            while self.is_pending(now_ms) && self.all[index].is_pending {
                match self.all[index].socket.accept() {
                    Ok((stream, from)) => return Accepted::Connection(stream, from),
                    Err(error) => {
                        if let Some(stream) = self.handle_error(index, &error, now_ms) {
                            return Accepted::OverFdLimit(stream);
                        }
                    }
                }
            }
        }
        Accepted::Nothing
    }

    fn handle_error(&mut self, index: usize, error: &io::Error, now_ms: u64) -> Option<Stream> {
        match error.kind() {
            ErrorKind::WouldBlock => {
                self.all[index].is_pending = false;
                self.resume();
            }
            // What befell one connection before it was taken in says nothing of the next.
            ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
            _ if is_out_of_descriptors(error) => {
                return self.accept_with_spare(index, error, now_ms);
            }
            _ => self.pause(error, now_ms),
        }
        None
    }

    /// Accepts with the descriptor in reserve, if there is one.
    ///
    /// Linux looks for a descriptor before it looks for a connection, so there may be none.
    fn accept_with_spare(
        &mut self,
        index: usize,
        error: &io::Error,
        now_ms: u64,
    ) -> Option<Stream> {
        if self.spare.take().is_some() {
            match self.all[index].socket.accept() {
                Ok((stream, _)) => return Some(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.take_spare();
                    self.all[index].is_pending = false;
                    self.resume();
                    return None;
                }
                Err(_) => self.take_spare(),
            }
        }
        self.pause(error, now_ms);
        None
    }

    /// Takes a descriptor in reserve again, once the one accepted with it is closed.
    pub(super) fn take_spare(&mut self) {
        if self.spare.is_none()
            && let Some(entry) = self.all.first()
        {
            self.spare = fcntl_dupfd_cloexec(entry.socket.as_fd(), 0).ok();
        }
    }

    fn resume(&mut self) {
        if self.paused_until_ms.take().is_some() {
            log::info!("accepting again");
            self.take_spare();
        }
    }

    fn pause(&mut self, error: &io::Error, now_ms: u64) {
        if self.paused_until_ms.is_none() {
            log::warn!(
                "cannot accept error={:?} again=\"at the next close, or in {ACCEPT_RETRY_MS} ms\"",
                error.to_string()
            );
        }
        self.paused_until_ms = Some(now_ms + ACCEPT_RETRY_MS);
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|out| errno == Some(out.raw_os_error()))
}
