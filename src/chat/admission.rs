//! Who may join: host, origin, numbers and names are decided here and nowhere else.

use std::borrow::Cow;
use std::rc::Rc;

use super::routes::{ACME, Answered, draining};
use super::{Chat, host, origin};
use crate::conn::{Answer, Caller, address_full, full, retry_later, unavailable};
use crate::envelope::{Version, name};
use crate::http::{Request, Response, query_pairs};
use crate::limits::{ROOM_CHARS_MAX, USERNAME_CHARS_MAX};
use crate::rooms::{Entrance, LOBBY, Resume};
use crate::ws::{self, Handshake};

/// What admission gives: where somebody may speak, and under which name.
struct Grant {
    room: String,
    author: Rc<str>,
}

/// The parameters of `/chat`, percent-decoded, the first of each name; empty where absent.
fn parameters<'r>(request: &Request<'r>) -> [Cow<'r, str>; 4] {
    let mut found = [const { None }; 4];
    for (key, value) in query_pairs(request.query) {
        let names = ["room", "username", "since", "epoch"];
        if let Some(index) = names.iter().position(|name| key == *name) {
            found[index].get_or_insert(value);
        }
    }
    found.map(Option::unwrap_or_default)
}

/// The room of this name, or the one of everybody who names none.
fn room_of(asked: &str) -> String {
    name::clean(asked, ROOM_CHARS_MAX).unwrap_or_else(|| LOBBY.to_owned())
}

impl Chat {
    /// Opens the WebSocket and joins the room that the request asks for.
    pub(super) fn upgrade(
        &mut self,
        caller: &mut Caller<'_>,
        request: &Request<'_>,
        handshake: &Handshake<'_>,
    ) -> Answered {
        let [room, username, since, epoch] = parameters(request);
        let Grant { room, author } = self.admit(caller, handshake, &room, &username)?;
        let id = caller.id;
        if let Some(gate) = self.rooms.gate_of(&room, &caller.peers.outbound) {
            return Ok(Answer::Wait(gate));
        }
        let version = Version::choose(ws::offered(request));
        log::debug!("joined peer={id} room={room:?} username={author:?}");
        let mut first = ws::switching_protocols(&handshake.accept, version.subprotocol());
        let resume = (!since.is_empty()).then_some(Resume { since: &since, epoch: &epoch });
        let maker = caller.peers.address(id);
        let entrance = Entrance { room: &room, username: author, version, resume, maker };
        self.rooms.join(&mut caller.peers.outbound, id, entrance, &mut first);
        Ok(Answer::Upgrade(first))
    }

    /// Decides whether a peer may join, with what it asks for.
    fn admit(
        &mut self,
        caller: &Caller<'_>,
        handshake: &Handshake<'_>,
        room: &str,
        username: &str,
    ) -> Result<Grant, Response> {
        self.check_origin(handshake)?;
        let (peers, room) = (&caller.peers, room_of(room));
        self.counters.full += u64::from(peers.is_full() && !peers.is_draining());
        check_peer(caller)?;
        // From here on only what is granted changes anything: making a place can cost another
        // room its history.
        if !self.rooms.make_place(&room, &peers.outbound) {
            self.counters.no_room += 1;
            return Err(no_room());
        }
        let name = name::clean(username, USERNAME_CHARS_MAX);
        Ok(Grant { room, author: name.unwrap_or_else(|| name::anonymous(caller.now)).into() })
    }

    /// What an upgrade would be refused with, or else that one must ask for it. Browsers do not
    /// tell a page why its handshake was refused; this tells it.
    pub(super) fn probe(&self, caller: &Caller<'_>, request: &Request<'_>) -> Response {
        let [room, ..] = parameters(request);
        match check_peer(caller) {
            Err(response) => response,
            Ok(()) if !self.rooms.has_place(&room_of(&room), &caller.peers.outbound) => no_room(),
            Ok(()) => ws::upgrade_required(),
        }
    }

    /// Refuses a request to a server of another name, but for what has to be there under any.
    pub(super) fn check_host(&self, request: &Request<'_>) -> Result<(), Response> {
        let mut hosts = request.values("Host").map(String::from_utf8_lossy);
        let Some(host) = hosts.find(|host| !self.hosts.admit(host)) else { return Ok(()) };
        if request.path.starts_with(ACME) {
            return Ok(());
        }
        let name = host::without_port(&host);
        let remedy = remedy("--host", host::is_host_name(name).then_some(name));
        log::warn!("refused host={host:?}{remedy}");
        let sentence = "this server has another name; the operator can allow this one with --host";
        Err(Response::text(421, sentence).with("Hallway-Code", "host"))
    }

    fn check_origin(&self, handshake: &Handshake<'_>) -> Result<(), Response> {
        let host = String::from_utf8_lossy(handshake.host);
        let origin = handshake.origin.map(String::from_utf8_lossy);
        if self.origins.admit(origin.as_deref(), &host) {
            return Ok(());
        }
        let origin = origin.unwrap_or_default();
        let remedy = remedy("--origin", origin::plain(&origin));
        log::warn!("refused origin={origin:?} host={host:?}{remedy}");
        let sentence =
            "pages of this origin may not connect; the operator can allow them with --origin";
        Err(Response::text(403, sentence).with("Hallway-Code", "origin"))
    }
}

/// Whether one more member may come, from the peer's address and into any room.
fn check_peer(caller: &Caller<'_>) -> Result<(), Response> {
    let peers = &caller.peers;
    if peers.is_draining() {
        return Err(draining());
    }
    if peers.is_full() {
        return Err(full());
    }
    if peers.is_short_of_memory() {
        let sentence = "the server is short of memory; try again in a moment";
        return Err(unavailable("memory", sentence));
    }
    if peers.is_address_full(caller.id) {
        return Err(address_full());
    }
    let wait_ms = peers.join_wait_ms(caller.id, caller.now);
    if wait_ms > 0 {
        let sentence = "too many joins from your address; wait a moment";
        return Err(retry_later(429, "joins", sentence, wait_ms.div_ceil(1_000)));
    }
    Ok(())
}

/// What to set, for a line of the log; nothing where the value is not fit to be pasted.
fn remedy(option: &str, value: Option<&str>) -> String {
    value.map(|value| format!(" remedy=\"{option} {value}\"")).unwrap_or_default()
}

fn no_room() -> Response {
    unavailable("rooms", "there are too many rooms; join another, or try again later")
}
