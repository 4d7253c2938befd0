//! What is where: the one table of paths.

use super::Chat;
use crate::clock::Now;
use crate::conn::{Answer, Peers, unavailable};
use crate::http::{Request, Response, method_not_allowed};
use crate::peer::PeerId;
use crate::{web, ws};

/// A path, the methods that it knows, and who answers.
struct Route {
    path: &'static str,
    methods: &'static str,
    answer: fn(&mut Chat, &mut Peers, PeerId, &Request<'_>, Now) -> Result<Answer, Response>,
}

/// All paths but those of the page's files ([`web::asset`]).
const ROUTES: &[Route] = &[
    Route { path: CHAT, methods: "GET", answer: Chat::answer_chat },
    Route { path: "/health", methods: READ_ONLY, answer: Chat::answer_health },
    Route { path: "/metrics", methods: READ_ONLY, answer: Chat::answer_metrics },
];

/// Where the WebSocket is.
const CHAT: &str = "/chat";

/// The methods of whatever can only be read.
const READ_ONLY: &str = "GET, HEAD";

impl Chat {
    /// The answer to a request.
    pub(super) fn route(
        &mut self,
        peers: &mut Peers,
        id: PeerId,
        request: &Request<'_>,
        now: Now,
    ) -> Result<Answer, Response> {
        let page = Route { path: "", methods: READ_ONLY, answer: Self::answer_page };
        let route = ROUTES.iter().find(|route| route.path == request.path);
        let route = route.or_else(|| web::asset(request.path).map(|_| &page)).ok_or_else(not_found);
        if request.path != CHAT
            && request.method == "GET"
            && request.has_token("Upgrade", "websocket")
        {
            // Whoever wants to speak WebSocket hears first what is wrong with that.
            return Err(ws::handshake(request)?.map_or_else(ws::upgrade_required, |_| not_found()));
        }
        let route = route?;
        if !route.methods.split(", ").any(|method| method == request.method) {
            return Err(method_not_allowed(route.methods));
        }
        (route.answer)(self, peers, id, request, now)
    }

    /// Joins a room, or tells what a handshake would get.
    fn answer_chat(
        &mut self,
        peers: &mut Peers,
        id: PeerId,
        request: &Request<'_>,
        now: Now,
    ) -> Result<Answer, Response> {
        match ws::handshake(request)? {
            Some(handshake) => self.upgrade(peers, id, request, &handshake, now),
            None => Err(self.probe(peers, id, request)),
        }
    }

    /// Where a supervisor looks: whether new members are admitted.
    fn answer_health(
        &mut self,
        peers: &mut Peers,
        _: PeerId,
        _: &Request<'_>,
        _: Now,
    ) -> Result<Answer, Response> {
        match peers.is_draining() {
            true => Err(draining()),
            false => Ok(Answer::Response(Response::text(200, "ok"))),
        }
    }

    fn answer_metrics(
        &mut self,
        peers: &mut Peers,
        _: PeerId,
        _: &Request<'_>,
        now: Now,
    ) -> Result<Answer, Response> {
        Ok(Answer::Response(self.metrics_response(peers, now)))
    }

    fn answer_page(
        &mut self,
        _: &mut Peers,
        _: PeerId,
        request: &Request<'_>,
        _: Now,
    ) -> Result<Answer, Response> {
        self.pages.answer(request).ok_or_else(not_found)
    }
}

fn not_found() -> Response {
    Response::text(404, "nothing here; the page is at / and the WebSocket at /chat")
}

/// The answer to whoever comes while the server ends.
pub(super) fn draining() -> Response {
    unavailable("draining", "the server is going away; try again in a moment")
}
