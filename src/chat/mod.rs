//! The application: rooms in which people talk, for the connections of [`crate::conn`].
//!
//! A request goes by the one table of routes (`routes.rs`); who may join is decided in one place
//! (`admission.rs`); what a member sends is done in `commands.rs`.

mod admission;
mod check;
mod commands;
mod counters;
mod host;
mod metrics;
mod origin;
mod pages;
mod routes;

use std::rc::Rc;

pub use counters::Counters;
pub use host::Hosts;
pub use metrics::{LogLinesDropped, ResidentMemory};
pub use origin::Origins;

use crate::conn::{Answer, Application, Caller, Connections, Dismissal, Message, Peers};
use crate::http::{Request, Response};
use crate::limits::Limits;
use crate::outbound::{Block, ChannelKey, Outbound, Owner, Thresholds};
use crate::peer::PeerId;
use crate::rooms::Rooms;
use crate::ws::frame::CloseCode;
use pages::Pages;

/// The chat server, but for its sockets and its clock.
pub type Server = Connections<Chat>;

/// What makes one server differ from another, besides its limits.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The limits; they must have passed [`Limits::check`].
    pub limits: Limits,
    /// Which web pages may connect.
    pub origins: Origins,
    /// By which names it may be called.
    pub hosts: Hosts,
    /// What the page calls itself, where that is not its own name.
    pub title: Option<String>,
    /// What the page says on entering.
    pub welcome: Option<String>,
    /// A number that no other process has: by it clients know that the ids of their last visit
    /// mean nothing any more.
    pub epoch: u64,
    /// Tells how much memory the process holds.
    pub resident_memory: ResidentMemory,
    /// Tells how many log lines could not be written.
    pub log_lines_dropped: LogLinesDropped,
    /// For tests.
    pub thresholds: Thresholds,
}

impl Server {
    /// A server with nobody in it.
    pub fn with(setup: Setup) -> Self {
        let limits = Rc::new(setup.limits);
        let chat = Chat {
            origins: setup.origins,
            hosts: setup.hosts,
            rooms: Rooms::new(Rc::clone(&limits), setup.epoch),
            pages: Pages::new(setup.title.as_deref(), setup.welcome.as_deref()),
            resident_memory: setup.resident_memory,
            log_lines_dropped: setup.log_lines_dropped,
            metrics: None,
            counters: Counters::default(),
        };
        Self::new(limits, setup.thresholds, chat)
    }

    /// Rooms that exist.
    pub fn rooms(&self) -> usize {
        self.application().rooms.count()
    }

    /// Members of a room; 0 where there is no such room.
    pub fn members(&self, room: &str) -> usize {
        let rooms = &self.application().rooms;
        rooms.find(room).map_or(0, |key| rooms.members(key, &self.peers().outbound))
    }

    /// What has been said so far.
    pub fn chat_counters(&self) -> &Counters {
        &self.application().counters
    }
}

/// The chat: its rooms, and what it answers to requests.
#[derive(Debug)]
pub struct Chat {
    origins: Origins,
    hosts: Hosts,
    /// All rooms.
    pub rooms: Rooms,
    pages: Pages,
    resident_memory: ResidentMemory,
    log_lines_dropped: LogLinesDropped,
    /// The latest answer, and when it was made: it costs a look at every reader that lags.
    metrics: Option<(u64, Response)>,
    counters: Counters,
}

impl Application for Chat {
    fn handle_request(&mut self, caller: &mut Caller<'_>, request: &Request<'_>) -> Answer {
        self.route(caller, request).unwrap_or_else(Answer::Response)
    }

    fn handle_message(
        &mut self,
        caller: &mut Caller<'_>,
        message: Message<'_>,
    ) -> Result<(), Dismissal> {
        match message {
            Message::Text(text) => {
                self.handle_command(caller, text);
                Ok(())
            }
            Message::Binary(_) => {
                Err(Dismissal::new(CloseCode::Unsupported, "only text messages are understood"))
            }
        }
    }

    fn gate(&self, outbound: &Outbound, id: PeerId) -> Option<ChannelKey> {
        self.rooms.gate(self.rooms.member(id)?.room, outbound)
    }

    fn handle_exit(&mut self, caller: &mut Caller<'_>) {
        let is_quiet = caller.peers.is_draining();
        self.rooms.leave(&mut caller.peers.outbound, caller.id, is_quiet, caller.now);
    }

    fn handle_channel(&mut self, outbound: &mut Outbound, key: ChannelKey, owner: Owner) {
        self.rooms.handle_channel(outbound, key, owner);
    }

    fn render(&mut self, key: ChannelKey, owner: u32, from: u64) -> Block {
        self.rooms.render(key, owner, from)
    }

    fn held_bytes(&self) -> usize {
        self.rooms.held()
    }

    fn shed(&mut self, outbound: &Outbound, bytes: usize) {
        self.rooms.shed(outbound, bytes);
    }

    fn status_line(&self, peers: &Peers) -> String {
        format!("Connections: {}, rooms: {}", peers.len(), self.rooms.count())
    }
}
