//! An application that sends every message back to who sent it, and knows nobody else.

use std::rc::Rc;

use hallway::conn::{Answer, Application, Caller, Connections, Dismissal, Message};
use hallway::http::Request;
use hallway::limits::Limits;
use hallway::outbound::Thresholds;
use hallway::ws::frame::{Data, OpCode, encode};
use hallway::ws::{handshake, switching_protocols, upgrade_required};

use crate::Checked;

/// The application.
#[derive(Debug)]
pub struct Echo;

impl Checked for Echo {}

/// Connections that are echoed to.
pub fn connections(limits: Limits, thresholds: Thresholds) -> Connections<Echo> {
    Connections::new(Rc::new(limits), thresholds, Echo)
}

impl Application for Echo {
    fn handle_request(&mut self, _: &mut Caller<'_>, request: &Request<'_>) -> Answer {
        match handshake(request) {
            Ok(Some(opened)) => Answer::Upgrade(switching_protocols(&opened.accept, None)),
            Ok(None) => Answer::Response(upgrade_required()),
            Err(response) => Answer::Response(response),
        }
    }

    fn handle_message(
        &mut self,
        caller: &mut Caller<'_>,
        message: Message<'_>,
    ) -> Result<(), Dismissal> {
        let (kind, bytes) = match message {
            Message::Text(text) => (Data::Text, text.as_bytes()),
            Message::Binary(bytes) => (Data::Binary, bytes),
        };
        caller.peers.outbound.tell(caller.id, encode(OpCode::Data(kind), bytes), 0);
        Ok(())
    }
}
