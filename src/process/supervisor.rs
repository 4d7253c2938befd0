//! What the supervisor is told (sd_notify(3)): that the server is ready, that it stops, that its
//! loop still runs, and a line for people.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where the supervisor listens: a path, or a name in the abstract space after an `@`.
const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// Within how many microseconds it wants to hear of the process with this id (sd_watchdog_enabled(3)).
const WATCHDOG_VARIABLE: &str = "WATCHDOG_USEC";
const WATCHDOG_PID_VARIABLE: &str = "WATCHDOG_PID";

/// The supervisor that waits to hear of us, if there is one.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// Connected at the start and kept: a server without a free descriptor is still alive.
    socket: Option<UnixDatagram>,
    /// How often it is told that the loop runs, in milliseconds.
    every_ms: Option<u64>,
    /// When it is told next.
    due_ms: u64,
}

impl Supervisor {
    /// The supervisor that the environment names.
    pub(crate) fn of_environment() -> Self {
        let variable = |name| std::env::var(name).ok();
        let socket = variable(SOCKET_VARIABLE).and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                let error = error.to_string();
                log::warn!("cannot tell the supervisor socket={name:?} error={error:?}");
                None
            }
        });
        let is_meant =
            variable(WATCHDOG_PID_VARIABLE).is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable(WATCHDOG_VARIABLE).filter(|_| is_meant && socket.is_some());
        // Half of the time that the supervisor waits, so that one message may come late.
        let half_ms = |watchdog_us: u64| (watchdog_us / 1000 / 2).max(1);
        let every_ms = watchdog.and_then(|usec| usec.parse().ok()).map(half_ms);
        Self { socket, every_ms, due_ms: 0 }
    }

    /// When [`Supervisor::handle_timeout`] must be called next; `None` for never.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.every_ms.map(|_| self.due_ms)
    }

    /// Says that the loop runs, and what `status` makes for people, where that is due.
    pub(crate) fn handle_timeout(&mut self, now_ms: u64, status: impl FnOnce() -> String) {
        let Some(every_ms) = self.every_ms.filter(|_| self.due_ms <= now_ms) else { return };
        self.due_ms = now_ms + every_ms;
        self.tell(&format!("WATCHDOG=1\nSTATUS={}", status()));
    }

    /// Tells it a state, in lines of `KEY=value`.
    pub(crate) fn tell(&self, state: &str) {
        if let Some(socket) = &self.socket {
            // A supervisor that takes nothing now must not hold the chat up.
            let _ = socket.send(state.as_bytes());
        }
    }
}

fn connect(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
