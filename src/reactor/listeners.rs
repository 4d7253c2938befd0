//! The listening sockets: how connections are accepted, also when there is no descriptor for them.
//!
//! mio is edge-triggered: a listener that could not accept for want of a descriptor is reported
//! no more, and a loop that relies on the report goes deaf. So a listener counts as pending until
//! accepting has said that nothing is left; one descriptor is kept in reserve to accept and
//! refuse with; and where even that is gone, accepting pauses for a moment and is tried again at
//! the next close.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use mio::{Registry, Token};
use rustix::io::Errno;

use super::address::Address;
use super::listener::Listener;
use crate::process::Identity;

/// How long accepting pauses after the system had no descriptor or memory for another
/// connection, unless one closes before, in milliseconds.
const ACCEPT_RETRY_MS: u64 = 500;

/// One attempt to take a connection in.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A connection, and the address that it comes from if it has one.
    Connection(OwnedFd, Option<SocketAddr>),
    /// A connection for which there is no descriptor: all that can be done is to say so.
    OverFdLimit(OwnedFd),
    /// Nothing is left to take in, for now.
    Nothing,
}

/// The listening sockets.
#[derive(Debug)]
pub struct Listeners {
    all: Vec<Listener>,
    /// A descriptor in reserve.
    spare: Option<OwnedFd>,
    /// Accepting pauses until then, in milliseconds of the monotonic clock.
    pub(super) paused_until_ms: Option<u64>,
}

impl Listeners {
    /// Binds each address.
    ///
    /// # Errors
    /// The first address that cannot be had, in a sentence with what to do.
    pub fn bind(addresses: &[Address]) -> io::Result<Self> {
        let all = addresses.iter().map(Listener::bind).collect::<io::Result<_>>()?;
        Ok(Self { all, spare: None, paused_until_ms: None })
    }

    /// Binds each address and releases it; gives those that somebody has already.
    ///
    /// # Errors
    /// An address that cannot be had for another reason, in a sentence with what to do.
    pub fn try_out(addresses: &[Address]) -> io::Result<Vec<&Address>> {
        let Err(error) = Self::bind(addresses) else { return Ok(Vec::new()) };
        let mut taken = Vec::new();
        for address in addresses {
            match Listener::bind(address) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => taken.push(address),
                other => drop(other?),
            }
        }
        // Where each can be had alone, one of them is in the way of another.
        if taken.is_empty() { Err(error) } else { Ok(taken) }
    }

    /// The sockets that a supervisor has passed, `None` where it has passed none. Asking takes
    /// them: the second answer is `None`.
    ///
    /// # Errors
    /// A socket from which no connection can be accepted, in a sentence with what to do.
    pub fn passed() -> io::Result<Option<Self>> {
        let all = Listener::take_passed()?;
        Ok((!all.is_empty()).then_some(Self { all, spare: None, paused_until_ms: None }))
    }

    /// Gives the files of Unix sockets to a user.
    pub fn give_to(&self, owner: Identity) -> io::Result<()> {
        self.all.iter().filter_map(|one| one.file.as_ref()).try_for_each(|file| file.give_to(owner))
    }

    /// Whether one is a Unix socket whose file is to be removed at the end.
    #[cfg(feature = "confine")]
    pub fn have_files(&self) -> bool {
        self.all.iter().any(|one| one.file.is_some())
    }

    /// Where they listen, with the ports that the system chose and the supervisor's names.
    pub fn addresses(&self) -> impl Iterator<Item = (Address, Option<&str>)> {
        self.all.iter().map(|one| (one.address.clone(), one.name.as_deref()))
    }

    /// Registers each, with tokens from `first` on.
    pub(super) fn register(&mut self, registry: &Registry, first: usize) -> io::Result<()> {
        self.take_spare();
        let mut tokens = (first..).map(Token).zip(&self.all);
        tokens.try_for_each(|(token, one)| one.register(registry, token))
    }

    /// The poll has reported the listener of this index.
    pub(super) fn handle_readable(&mut self, index: usize) {
        self.all[index].is_pending = true;
    }

    /// A descriptor has come free, or none is needed.
    pub(super) fn resume(&mut self) {
        if self.paused_until_ms.take().is_some() {
            log::info!("accepting again");
        }
        self.take_spare();
    }

    /// The first listener that may have connections to take in now.
    pub(super) fn pending(&self, now_ms: u64) -> Option<usize> {
        let is_paused = self.paused_until_ms.is_some_and(|until| until > now_ms);
        self.all.iter().position(|one| one.is_pending && !is_paused)
    }

    /// Takes one connection in from any listener.
    pub(super) fn accept(&mut self, now_ms: u64) -> Accepted {
        let mut is_over_fd_limit = false;
        while let Some(index) = self.pending(now_ms) {
            match self.all[index].accept() {
                Ok((socket, _)) if is_over_fd_limit => return Accepted::OverFdLimit(socket),
                Ok((socket, from)) => return Accepted::Connection(socket, from),
                Err(Errno::AGAIN) => {
                    self.all[index].is_pending = false;
                    self.resume();
                }
                // What befell one connection before it was taken in says nothing of the next.
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                // Linux looks for a descriptor before it looks for a connection, so there may be
                // none to refuse.
                Err(Errno::MFILE | Errno::NFILE) if self.spare.take().is_some() => {
                    is_over_fd_limit = true;
                }
                Err(error) => self.pause(error, now_ms),
            }
        }
        Accepted::Nothing
    }

    /// Takes a descriptor in reserve again, once the one accepted with it is closed.
    pub(super) fn take_spare(&mut self) {
        if self.spare.is_none() {
            self.spare = self.all.first().and_then(|one| one.socket.try_clone().ok());
        }
    }

    fn pause(&mut self, error: Errno, now_ms: u64) {
        if self.paused_until_ms.is_none() {
            log::warn!(
                "cannot accept error={:?} again=\"at the next close, or in {ACCEPT_RETRY_MS} ms\"",
                error.to_string()
            );
        }
        self.paused_until_ms = Some(now_ms + ACCEPT_RETRY_MS);
        self.take_spare();
    }
}
