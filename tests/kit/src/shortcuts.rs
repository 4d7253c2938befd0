//! What most tests do with a [`Driver`]: one thing, and then all that follows from it.

use std::net::{IpAddr, Ipv4Addr};

use hallway::chat::Chat;
use hallway::conn::{Application, Connections};
use hallway::peer::PeerId;

use crate::Driver;
use crate::client::handshake;

/// An application whose server can be checked.
pub trait Checked: Application + Sized {
    /// Panics where the parts of its server do not agree.
    fn check(server: &Connections<Self>) {
        server.check_invariants();
    }
}

impl Checked for Chat {
    fn check(server: &Connections<Self>) {
        server.check();
    }
}

impl<A: Checked> Driver<A> {
    /// Does all that is due, and checks what comes of it.
    pub fn settle(&mut self) {
        self.flush();
        A::check(&self.server);
    }

    /// A connection from this machine that has said nothing yet.
    ///
    /// # Panics
    /// Where there is no slot for it.
    pub fn open(&mut self) -> PeerId {
        self.connect(Some(IpAddr::V4(Ipv4Addr::LOCALHOST))).expect("there is a slot")
    }

    /// A connection that asks for a WebSocket, by this query and more header fields; what follows
    /// is not done yet.
    pub fn ask(&mut self, query: &str, fields: &str) -> PeerId {
        let id = self.open();
        self.send(id, handshake(query, fields).as_bytes());
        id
    }

    /// Somebody joins the lobby.
    pub fn join(&mut self, name: &str) -> PeerId {
        let id = self.ask(&format!("username={name}"), "");
        self.settle();
        id
    }

    /// A client sends this, and all that follows is done.
    pub fn deliver(&mut self, id: PeerId, bytes: &[u8]) {
        self.send(id, bytes);
        self.settle();
    }

    /// A socket takes nothing more.
    pub fn block(&mut self, id: PeerId) {
        self.set_capacity(id, 0);
    }

    /// A socket takes so many bytes, and then nothing more.
    pub fn block_after(&mut self, id: PeerId, bytes: usize) {
        let held = self.socket(id).map_or(0, |socket| socket.received.len());
        self.set_capacity(id, held + bytes);
    }

    /// A socket takes everything again.
    pub fn unblock(&mut self, id: PeerId) {
        self.set_capacity(id, usize::MAX);
        self.settle();
    }

    /// What a client has been sent since this was last asked, also where its socket is closed by
    /// now. It is as if it had never been in the socket: a blocked one stays blocked.
    pub fn take(&mut self, id: PeerId) -> Vec<u8> {
        let closed = self.closed.iter_mut().find(|socket| socket.id == id);
        let open = self.sockets.get_mut(id.slot()).and_then(Option::as_mut);
        let Some(socket) = open.filter(|socket| socket.id == id).or(closed) else {
            return Vec::new();
        };
        if socket.capacity < usize::MAX {
            socket.capacity = socket.capacity.saturating_sub(socket.received.len());
        }
        std::mem::take(&mut socket.received).into()
    }

    /// The same as text, whatever bytes are between.
    pub fn text(&mut self, id: PeerId) -> String {
        String::from_utf8_lossy(&self.take(id)).into_owned()
    }
}
