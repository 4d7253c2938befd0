//! What ends a run: the program by a [`Handle`], or a signal where the program wants that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mio::{Interest, Registry, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

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

/// All that can ask the loop to stop.
#[derive(Default)]
pub(super) struct Stops {
    signals: Option<Signals>,
    /// Made when it is first asked for, because it takes a descriptor.
    handle: Option<Handle>,
}

impl Stops {
    /// Takes over SIGTERM, SIGINT and SIGHUP for the whole process.
    pub(super) fn take_signals(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        self.signals = Some(signals);
        Ok(())
    }

    /// The handle; a poll may have one waker, so all are clones of the first.
    pub(super) fn handle(&mut self, registry: &Registry, token: Token) -> io::Result<Handle> {
        if let Some(handle) = &self.handle {
            return Ok(handle.clone());
        }
        let handle =
            Handle { waker: Arc::new(Waker::new(registry, token)?), stops: Arc::default() };
        Ok(self.handle.insert(handle).clone())
    }

    /// How often a stop was asked for since the last call.
    pub(super) fn asked(&mut self) -> u32 {
        let handle = self.handle.as_ref();
        let mut stops = handle.map_or(0, |handle| handle.stops.swap(0, Ordering::AcqRel));
        for signal in self.signals.iter_mut().flat_map(Signals::pending) {
            match signal {
                SIGHUP => log::info!("signal name=SIGHUP action=none"),
                _ => stops += 1,
            }
        }
        stops
    }
}
