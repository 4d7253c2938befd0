//! What is where: the one table of paths.

use super::Chat;
use crate::conn::{Answer, Caller, unavailable};
use crate::http::{Request, Response, method_not_allowed};
use crate::{web, ws};

/// An answer, or the refusal.
pub(super) type Answered = Result<Answer, Response>;

/// Who answers a request of a path.
type Answers = fn(&mut Chat, &mut Caller<'_>, &Request<'_>) -> Answered;

/// All paths but those of the page's files, the methods that each knows, and who answers.
const ROUTES: &[(&str, &str, Answers)] = &[
    (CHAT, "GET", Chat::answer_chat),
    ("/health", READ_ONLY, Chat::answer_health),
    ("/metrics", READ_ONLY, Chat::answer_metrics),
];

/// Where the WebSocket is.
const CHAT: &str = "/chat";

/// Where certificates are asked for, by any name.
pub(super) const ACME: &str = "/.well-known/acme-challenge/";

/// The methods of whatever can only be read.
const READ_ONLY: &str = "GET, HEAD";

impl Chat {
    /// The answer to a request.
    pub(super) fn route(&mut self, caller: &mut Caller<'_>, request: &Request<'_>) -> Answered {
        self.check_host(request)?;
        let is_get = request.method == "GET";
        if is_get && request.path != CHAT && request.has_token("Upgrade", "websocket") {
            // Whoever wants to speak WebSocket hears first what is wrong with that.
            return Err(ws::handshake(request)?.map_or_else(ws::upgrade_required, |_| not_found()));
        }
        let route = ROUTES.iter().find(|(path, ..)| *path == request.path);
        let (methods, answer) = match route {
            Some(&(_, methods, answer)) => (methods, answer),
            None if web::asset(request.path).is_some() => (READ_ONLY, Self::answer_page as Answers),
            None => return Err(not_found()),
        };
        if !methods.split(", ").any(|method| method == request.method) {
            return Err(method_not_allowed(methods));
        }
        answer(self, caller, request)
    }

    /// Joins a room, or tells what a handshake would get.
    fn answer_chat(&mut self, caller: &mut Caller<'_>, request: &Request<'_>) -> Answered {
        match ws::handshake(request)? {
            Some(handshake) => self.upgrade(caller, request, &handshake),
            None => Err(self.probe(caller, request)),
        }
    }

    /// Where a supervisor looks: whether new members are admitted.
    fn answer_health(&mut self, caller: &mut Caller<'_>, _: &Request<'_>) -> Answered {
        match caller.peers.is_draining() {
            true => Err(draining()),
            false => Ok(Answer::Response(Response::text(200, "ok"))),
        }
    }

    fn answer_page(&mut self, _: &mut Caller<'_>, request: &Request<'_>) -> Answered {
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
