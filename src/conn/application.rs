//! What an application adds to connections: what is answered to a request, and what is done with
//! a message.

use std::borrow::Cow;

use super::Peers;
use crate::clock::Now;
use crate::http::{Request, Response};
use crate::outbound::{Block, Bytes, ChannelKey, Outbound, Owner};
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

/// Who sends a request or a message, and when.
#[derive(Debug)]
pub struct Caller<'c> {
    /// All connections; what is to be written to whom is said to [`Peers::outbound`].
    pub peers: &'c mut Peers,
    /// The one that it is.
    pub id: PeerId,
    /// What time it is.
    pub now: Now,
}

/// A message that came in whole.
#[derive(Clone, Copy, Debug)]
pub enum Message<'m> {
    /// Text; it is UTF-8.
    Text(&'m str),
    /// Anything else.
    Binary(&'m [u8]),
}

/// What is done with requests and messages.
pub trait Application {
    /// Answers a whole request.
    fn handle_request(&mut self, caller: &mut Caller<'_>, request: &Request<'_>) -> Answer;

    /// A WebSocket has sent a message.
    ///
    /// # Errors
    /// Why it is to be closed.
    fn handle_message(
        &mut self,
        caller: &mut Caller<'_>,
        message: Message<'_>,
    ) -> Result<(), Dismissal>;

    /// The channel whose pass must be over before a WebSocket's next message is decoded, if there
    /// is one.
    fn gate(&self, _: &Outbound, _: PeerId) -> Option<ChannelKey> {
        None
    }

    /// A WebSocket has ended, for whatever reason. It reads no channel any more.
    fn handle_exit(&mut self, _: &mut Caller<'_>) {}

    /// Something is to be done for a channel of the application's.
    fn handle_channel(&mut self, _: &mut Outbound, _: ChannelKey, _: Owner) {}

    /// Renders the records of the past for a channel of the application's, from an id on. Only for
    /// who has attached a reader with such records.
    fn render(&mut self, _: ChannelKey, _owner: u32, from: u64) -> Block {
        Block::new(from..u64::MAX)
    }

    /// Bytes of memory that the application holds and may give back.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Memory is short: so many bytes are to be given back, if they can be.
    fn shed(&mut self, _: &Outbound, _bytes: usize) {}

    /// A line that a supervisor shows to people.
    fn status_line(&self, peers: &Peers) -> String {
        format!("Connections: {}", peers.len())
    }
}
