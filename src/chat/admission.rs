//! Who may join: host, origin, numbers and names are decided here and nowhere else.

use std::rc::Rc;

use super::Chat;
use super::routes::draining;
use crate::clock::Now;
use crate::conn::{Answer, Caller, full, unavailable};
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

/// The query parameters of `/chat`, percent-decoded, the first of each; empty where absent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    username: String,
    room: String,
    since: String,
    epoch: String,
}

impl Query {
    fn of(request: &Request<'_>) -> Self {
        let (mut username, mut room, mut since, mut epoch) = Default::default();
        for (key, value) in query_pairs(request.query) {
            let parameter: &mut Option<String> = match &*key {
                "username" => &mut username,
                "room" => &mut room,
                "since" => &mut since,
                "epoch" => &mut epoch,
                _ => continue,
            };
            parameter.get_or_insert_with(|| value.into_owned());
        }
        let [username, room, since, epoch] =
            [username, room, since, epoch].map(Option::unwrap_or_default);
        Self { username, room, since, epoch }
    }

    /// The room that is asked for.
    fn room(&self) -> String {
        name::clean(&self.room, ROOM_CHARS_MAX).unwrap_or_else(|| LOBBY.to_owned())
    }

    /// The name that is asked for, or one for who gave none.
    fn author(&self, now: Now) -> Rc<str> {
        let name = name::clean(&self.username, USERNAME_CHARS_MAX);
        name.unwrap_or_else(|| name::anonymous(now)).into()
    }

    fn resume(&self) -> Option<Resume<'_>> {
        (!self.since.is_empty()).then_some(Resume { since: &self.since, epoch: &self.epoch })
    }
}

impl Chat {
    /// Opens the WebSocket and joins the room that the request asks for.
    pub(super) fn upgrade(
        &mut self,
        caller: &mut Caller<'_>,
        request: &Request<'_>,
        handshake: &Handshake<'_>,
    ) -> Result<Answer, Response> {
        let query = Query::of(request);
        let Grant { room, author } = self.admit(caller, handshake, &query)?;
        let (outbound, id) = (&mut caller.peers.outbound, caller.id);
        if let Some(gate) = self.rooms.gate_of(&room, outbound) {
            return Ok(Answer::Wait(gate));
        }
        let version = Version::choose(ws::offered(request));
        log::debug!("joined peer={id} room={room:?} username={author:?}");
        let mut first = ws::switching_protocols(&handshake.accept, version.subprotocol());
        let resume = query.resume();
        let entrance = Entrance { room: &room, username: author, version, resume };
        self.rooms.join(outbound, id, entrance, &mut first);
        Ok(Answer::Upgrade(first))
    }

    /// Whether a peer may join.
    fn admit(
        &mut self,
        caller: &Caller<'_>,
        handshake: &Handshake<'_>,
        query: &Query,
    ) -> Result<Grant, Response> {
        self.check_origin(handshake)?;
        let peers = &caller.peers;
        self.counters.full += u64::from(peers.is_full() && !peers.is_draining());
        check_peer(caller)?;
        let room = query.room();
        // From here on only what is granted changes anything: making a place can cost another
        // room its history.
        if !self.rooms.make_place(&room, &peers.outbound) {
            self.counters.no_room += 1;
            return Err(no_room());
        }
        Ok(Grant { room, author: query.author(caller.now) })
    }

    /// What an upgrade would be refused with, or else that one must ask for it. Browsers do not
    /// tell a page why its handshake was refused; this tells it.
    pub(super) fn probe(&self, caller: &Caller<'_>, request: &Request<'_>) -> Response {
        let room = Query::of(request).room();
        match check_peer(caller) {
            Err(response) => response,
            Ok(()) if !self.rooms.has_place(&room, &caller.peers.outbound) => no_room(),
            Ok(()) => ws::upgrade_required(),
        }
    }

    fn check_origin(&self, handshake: &Handshake<'_>) -> Result<(), Response> {
        let host = String::from_utf8_lossy(handshake.host);
        let origin = handshake.origin.map(String::from_utf8_lossy);
        if self.origins.admit(origin.as_deref(), &host) {
            return Ok(());
        }
        let origin = origin.unwrap_or_default();
        log::warn!(
            "refused origin={origin:?} host={host:?} remedy=\"--origin {}\"",
            origin.escape_debug()
        );
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
    if peers.is_address_full(caller.id) {
        let sentence = "too many connections from your address";
        return Err(Response::text(429, sentence).with("Hallway-Code", "address"));
    }
    Ok(())
}

fn no_room() -> Response {
    unavailable("rooms", "there are too many rooms; join another, or try again later")
}
