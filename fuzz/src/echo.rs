//! An application that sends every message back to who sent it, and knows nobody else.

use std::rc::Rc;

use hallway::clock::Now;
use hallway::conn::{Answer, Application, Connections, Dismissal, Peers};
use hallway::http::Request;
use hallway::limits::Limits;
use hallway::outbound::Thresholds;
use hallway::peer::PeerId;
use hallway::ws::frame::{Data, Frame, OpCode};
use hallway::ws::{handshake, switching_protocols, upgrade_required};

#[derive(Debug)]
pub struct Echo;

/// Connections that are echoed to.
pub fn connections(limits: Limits, thresholds: Thresholds) -> Connections<Echo> {
    Connections::new(Rc::new(limits), thresholds, Echo)
}

impl Application for Echo {
    fn handle_request(
        &mut self,
        _: &mut Peers,
        _: PeerId,
        request: &Request<'_>,
        _: Now,
    ) -> Answer {
        match handshake(request) {
            Ok(Some(opened)) => Answer::Upgrade(switching_protocols(&opened.accept, None)),
            Ok(None) => Answer::Response(upgrade_required()),
            Err(response) => Answer::Response(response),
        }
    }

    fn handle_text(
        &mut self,
        peers: &mut Peers,
        id: PeerId,
        text: &str,
        _: Now,
    ) -> Result<(), Dismissal> {
        peers.outbound.tell(id, Frame::text(text.as_bytes()).into_bytes(), 0);
        Ok(())
    }

    fn handle_binary(
        &mut self,
        peers: &mut Peers,
        id: PeerId,
        bytes: &[u8],
        _: Now,
    ) -> Result<(), Dismissal> {
        let frame = Frame::new(OpCode::Data(Data::Binary), bytes);
        peers.outbound.tell(id, frame.into_bytes(), 0);
        Ok(())
    }
}
