//! What an application adds to connections: what is answered to a request, and what is done with
//! a message.

use std::borrow::Cow;

use super::Peers;
use crate::clock::Now;
use crate::http::Response;
use crate::outbound::{Bytes, ChannelKey, Outbound, Owner};
use crate::peer::PeerId;
use crate::ws::frame::CloseCode;

/// What is answered to a request.
#[derive(Debug)]
pub enum Answer {
    /// The connection becomes a WebSocket. These bytes, a 101 and whatever comes right after it,
    /// are the first that it is sent.
    Upgrade(Vec<u8>),
    /// An answer that ends the connection.
    Response(Response),
    /// The bytes of an answer that succeeds, and ends the connection.
    Bytes(Bytes),
    /// None yet: the request is handed in again when the pass of this channel is over.
    Wait(ChannelKey),
}

impl From<Result<Answer, Response>> for Answer {
    fn from(result: Result<Self, Response>) -> Self {
        result.unwrap_or_else(Self::Response)
    }
}

/// Why a WebSocket is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dismissal {
    /// The code of the Close frame.
    pub code: CloseCode,
    /// Its reason, for people.
    pub reason: Cow<'static, str>,
}

impl Dismissal {
    /// A dismissal for that.
    pub fn new(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// What is done with requests and messages. A connection that the application is told of exists;
/// what it is to be sent is said to [`Peers::outbound`].
pub trait Application {
    /// Answers a whole request.
    fn handle_request(
        &mut self,
        peers: &mut Peers,
        id: PeerId,
        request: &crate::http::Request<'_>,
        now: Now,
    ) -> Answer;

    /// A WebSocket has sent a text message.
    ///
    /// # Errors
    /// Why it is to be closed.
    fn handle_text(
        &mut self,
        peers: &mut Peers,
        id: PeerId,
        text: &str,
        now: Now,
    ) -> Result<(), Dismissal>;

    /// A WebSocket has sent a binary message.
    ///
    /// # Errors
    /// Why it is to be closed; so by default.
    fn handle_binary(
        &mut self,
        _: &mut Peers,
        _: PeerId,
        _bytes: &[u8],
        _: Now,
    ) -> Result<(), Dismissal> {
        Err(Dismissal::new(CloseCode::Unsupported, "only text messages are understood"))
    }

    /// The channel whose pass must be over before a WebSocket's next message is decoded, if there
    /// is one.
    fn gate(&self, _: &Outbound, _: PeerId) -> Option<ChannelKey> {
        None
    }

    /// A WebSocket has ended, for whatever reason. It reads no channel any more.
    fn handle_exit(&mut self, _: &mut Peers, _: PeerId, _: Now) {}

    /// Something is to be done for a channel of the application's.
    fn handle_channel(&mut self, _: &mut Outbound, _: ChannelKey, _: Owner) {}

    /// The server is about to end: whoever is here is told so, and nobody else comes.
    fn handle_drain(&mut self) {}

    /// A line that a supervisor shows to people.
    fn status_line(&self, peers: &Peers) -> String {
        format!("Connections: {}", peers.len())
    }
}
