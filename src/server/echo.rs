//! The server without its rooms: every message goes back to its sender.

use super::{Origins, Server};
use crate::hub::PeerId;
use crate::limits::Limits;
use crate::wire::frame::{Data, Frame, OpCode};

impl Server {
    /// A server that gives every message, text or binary, back to its sender, on any path; all
    /// else is as ever. Conformance suites and benchmarks talk to it: see examples/echo.rs.
    pub fn echo(limits: Limits) -> Self {
        Self { is_echo: true, ..Self::with(limits, Origins::Any, 0) }
    }

    pub(super) fn echo_text(&mut self, id: PeerId, text: &str) {
        self.send_back(id, Data::Text, text.as_bytes());
    }

    pub(super) fn echo_binary(&mut self, id: PeerId, bytes: &[u8]) {
        self.send_back(id, Data::Binary, bytes);
    }

    fn send_back(&mut self, id: PeerId, kind: Data, payload: &[u8]) {
        self.hub.outboxes.note_expected(1);
        self.hub.outboxes.push_alone(id, Frame::new(OpCode::Data(kind), payload));
    }
}
