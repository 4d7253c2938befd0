//! What ends a run: the program by a [`Handle`], or a signal where the program wants that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mio::{Interest, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::{Reactor, STOP};
use crate::clock::Now;
use crate::conn::Application;

/// Stops a reactor from another thread.
#[derive(Clone, Debug)]
pub struct Handle {
    waker: Arc<Waker>,
    /// Calls of [`Handle::stop`] that the reactor has not seen yet.
    stops: Arc<AtomicU32>,
}

impl Handle {
    /// Ends the run as SIGTERM does: the first call says goodbye to everybody, a second one ends
    /// it at once. Does not wait for the end. Does nothing where the reactor is gone.
    pub fn stop(&self) {
        self.stops.fetch_add(1, Ordering::AcqRel);
        if let Err(error) = self.waker.wake() {
            log::warn!("cannot wake the loop error={:?}", error.to_string());
        }
    }
}

impl<A: Application> Reactor<A> {
    /// What stops it from another thread.
    ///
    /// # Errors
    /// What the system refused: it takes a descriptor.
    pub fn handle(&mut self) -> io::Result<Handle> {
        // A poll may have one waker, so all are clones of the first.
        if let Some(handle) = &self.handle {
            return Ok(handle.clone());
        }
        let waker = Arc::new(Waker::new(self.poll.registry(), STOP)?);
        Ok(self.handle.insert(Handle { waker, stops: Arc::default() }).clone())
    }

    /// Takes over SIGTERM and SIGINT, which stop it as [`Handle::stop`] does, and SIGHUP, which is
    /// logged. Without this call the program's signals are its own.
    pub fn take_signals(&mut self) -> io::Result<()> {
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        self.poll.registry().register(&mut signals, STOP, Interest::READABLE)?;
        self.signals = Some(signals);
        Ok(())
    }

    /// Something has asked for a stop, or was logged.
    pub(super) fn handle_stops(&mut self, now: Now) {
        let handle = self.handle.as_ref();
        let mut asked = handle.map_or(0, |handle| handle.stops.swap(0, Ordering::AcqRel));
        for signal in self.signals.iter_mut().flat_map(Signals::pending) {
            match signal {
                SIGHUP => log::info!("signal name=SIGHUP action=none"),
                _ => asked += 1,
            }
        }
        if self.stops_asked == 0 && asked > 0 {
            log::info!("draining peers={}", self.connections.peers().len());
            self.supervisor.tell("STOPPING=1\nSTATUS=Saying goodbye");
            self.connections.drain(now);
        }
        self.stops_asked = self.stops_asked.saturating_add(asked);
    }
}
