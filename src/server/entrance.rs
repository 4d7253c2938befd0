//! From a request to a member, a page, or a refusal.

use std::rc::Rc;

use super::ending::Ending;
use super::metrics::METRICS_PATH;
use super::peer::{Open, Phase};
use super::{Server, http};
use crate::clock::Now;
use crate::hub::{Entrance, LOBBY, PeerId, Resume};
use crate::limits::{REQUEST_MS_MAX, ROOM_CHARS_MAX, USERNAME_CHARS_MAX};
use crate::wire::name;
use crate::wire::response::{Refusal, switching_protocols};
use crate::wire::upgrade::{CHAT_PATH, Query, Request, Upgrade, upgrade_required};

impl Server {
    pub(super) fn handle_request(&mut self, id: PeerId, request: Request, now: Now) {
        let head_only = matches!(&request, Request::Get(get) if get.head_only);
        let answer = match request {
            Request::Upgrade(upgrade) => match self.admit(id, &upgrade) {
                Ok(room) => return self.join(id, &upgrade, &room, now),
                Err(refusal) => Err(refusal),
            },
            Request::Knock(query) => Err(self.knock(id, &query)),
            Request::Get(get) if get.path == http::HEALTH_PATH => {
                http::health(self.drained_by_ms.is_some(), head_only)
            }
            Request::Get(get) if get.path == METRICS_PATH => {
                return self.await_metrics(id, head_only, now);
            }
            Request::Get(get) => self.pages.get(&get),
            Request::Other { path } => Err(http::other_method(&path)),
        };
        match answer {
            Ok(bytes) => {
                self.say(id, bytes);
                self.begin_serving(id, now);
            }
            Err(refusal) => self.refuse(id, &Refusal { head_only, ..refusal }, now),
        }
    }

    /// Whether this peer may join, and the name of its room.
    fn admit(&mut self, id: PeerId, upgrade: &Upgrade) -> Result<String, Refusal> {
        if upgrade.path != CHAT_PATH && !self.is_echo {
            return Err(http::not_found());
        }
        self.check_origin(upgrade)?;
        self.counters.full += u64::from(self.is_full());
        self.check_place(id)?;
        let room = room_of(&upgrade.query);
        // From here on only what is granted changes anything: making a place can cost another
        // room its history.
        if !self.hub.make_place(&room) {
            self.counters.no_room += 1;
            return Err(http::no_room());
        }
        self.count_address(id);
        Ok(room)
    }

    /// What an upgrade would be refused with, or else that one must ask for it.
    fn knock(&self, id: PeerId, query: &Query) -> Refusal {
        match self.check_place(id) {
            Err(refusal) => refusal,
            Ok(()) if !self.hub.has_place(&room_of(query)) => http::no_room(),
            Ok(()) => upgrade_required(),
        }
    }

    /// Whether one more member may come, from the peer's address and into any room.
    fn check_place(&self, id: PeerId) -> Result<(), Refusal> {
        if self.drained_by_ms.is_some() {
            return Err(http::draining());
        }
        if self.is_full() {
            return Err(http::full());
        }
        self.check_address(id)
    }

    fn is_full(&self) -> bool {
        self.drained_by_ms.is_none() && self.members >= self.limits.peers_max
    }

    fn check_origin(&self, upgrade: &Upgrade) -> Result<(), Refusal> {
        let origin = upgrade.origin.as_deref();
        if self.origins.admit(origin, &upgrade.host) {
            return Ok(());
        }
        let origin = origin.unwrap_or_default();
        log::warn!(
            "refused origin={origin:?} host={:?} remedy=\"--origin {}\"",
            upgrade.host,
            origin.escape_debug()
        );
        Err(http::foreign_origin())
    }

    /// Whether one more member may come from the peer's address.
    fn check_address(&self, id: PeerId) -> Result<(), Refusal> {
        match self.addresses.get(id).and_then(|ip| self.per_ip.get(ip)) {
            Some(&count) if count >= self.limits.peers_per_ip_max => Err(http::full_for_address()),
            _ => Ok(()),
        }
    }

    /// Counts one more member from the peer's address, where that is limited.
    fn count_address(&mut self, id: PeerId) {
        if let Some(ip) = self.addresses.get(id) {
            *self.per_ip.entry(*ip).or_default() += 1;
        }
    }

    /// Counts one member less from the peer's address.
    pub(super) fn uncount_address(&mut self, id: PeerId) {
        if let Some(ip) = self.addresses.remove(id)
            && let Some(count) = self.per_ip.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                self.per_ip.remove(&ip);
            }
        }
    }

    /// Opens the WebSocket, and the door to the room.
    fn join(&mut self, id: PeerId, upgrade: &Upgrade, room: &str, now: Now) {
        let Upgrade { accept, dialect, .. } = upgrade;
        self.hub.outboxes.push_whole(id, switching_protocols(accept, dialect.subprotocol()).into());
        if !self.is_echo {
            self.enter(id, upgrade, room, now);
        }
        if let Some(peer) = self.peers.get_mut(id) {
            peer.phase = Phase::Open(Open::default());
        }
        self.guests.depart(id);
        self.members += 1;
        self.counters.joined += 1;
        self.set_keepalive(id, now.mono_ms, self.limits.ping_ms);
    }

    fn enter(
        &mut self,
        id: PeerId,
        Upgrade { dialect, query, .. }: &Upgrade,
        room: &str,
        now: Now,
    ) {
        let username = name::clean(&query.username, USERNAME_CHARS_MAX);
        let username = username.unwrap_or_else(|| name::anonymous(now));
        log::debug!("joined peer={id} room={room:?} username={username:?}");
        let since = query.since.as_deref().filter(|since| !since.is_empty());
        let epoch = query.epoch.as_deref().unwrap_or_default();
        let resume = since.map(|since| Resume { since, epoch });
        self.hub.join(id, &Entrance { room, username: &username, dialect: *dialect, resume });
    }

    pub(super) fn refuse(&mut self, id: PeerId, refusal: &Refusal, now: Now) {
        log::debug!("refused peer={id} status={} reason={:?}", refusal.status, refusal.text);
        self.counters.refused.count(refusal.status);
        self.say(id, refusal.to_bytes().into());
        self.begin_answer(id, Ending::Refused, now);
    }

    /// Takes nothing more from a peer that gets what it has asked for, in this turn.
    pub(super) fn begin_serving(&mut self, id: PeerId, now: Now) {
        self.counters.served += 1;
        self.begin_answer(id, Ending::Served, now);
    }

    /// Takes nothing more from a peer; its answer ends the connection.
    fn begin_answer(&mut self, id: PeerId, ending: Ending, now: Now) {
        self.begin_closing(id, ending, now.mono_ms + REQUEST_MS_MAX);
    }

    /// Queues the last that a peer is told.
    pub(super) fn say(&mut self, id: PeerId, bytes: Rc<[u8]>) {
        self.hub.outboxes.push_whole(id, bytes);
        self.hub.outboxes.finish(id, None);
    }
}

/// The room that is asked for.
fn room_of(query: &Query) -> String {
    name::clean(&query.room, ROOM_CHARS_MAX).unwrap_or_else(|| LOBBY.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use crate::clock::Now;
    use crate::hub::PeerId;
    use crate::limits::Limits;
    use crate::server::Server;
    use crate::wire::frame::unmask;

    const NOW: Now = Now { mono_ms: 1, unix_ms: 0, utc_offset_s: 0 };

    /// Asks for a room from an address of its own number.
    fn ask(server: &mut Server, slot: u32, address: u8, room: &str) -> PeerId {
        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, address));
        let id = server.accept(slot, Some(ip), NOW).unwrap();
        let head = format!(
            "GET /chat?room={room} HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        server.handle_input(id, &mut head.into_bytes(), NOW);
        id
    }

    /// Writes nothing to anybody, and ends the turn.
    fn end_turn(server: &mut Server) {
        while server.poll_output(NOW).is_some() {}
    }

    #[test]
    fn a_refusal_costs_no_room_its_history() {
        let limits = Limits { rooms_max: 1, peers_per_ip_max: 1, ..Limits::default() };
        let mut server = Server::new(limits);
        let first = ask(&mut server, 0, 1, "a");
        let json = br#"{"type":"chatMessage","payload":{"message":"kept"}}"#;
        let mut frame = [&[0x81, 0x80 | 51, 1, 2, 3, 4], &json[..]].concat();
        assert_eq!(json.len(), 51);
        unmask(&mut frame[6..], [1, 2, 3, 4]);
        server.handle_input(first, &mut frame, NOW);
        server.handle_closed(first, NOW);
        end_turn(&mut server);
        ask(&mut server, 1, 2, "lobby");
        end_turn(&mut server);
        assert_eq!(server.rooms(), 2, "the lobby always has a place");

        ask(&mut server, 2, 2, "b");
        assert_eq!(
            (server.rooms(), server.counters().refused.of(429)),
            (2, 1),
            "429, and a is as it was"
        );
        ask(&mut server, 3, 3, "b");
        assert_eq!(server.members("b"), 1, "who is granted it makes a place");
    }
}
