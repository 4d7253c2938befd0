//! An application that sends every message back to who sent it, and knows nobody else.

use std::rc::Rc;

use hallway::clock::Now;
use hallway::conn::{Answer, Application, Connections, Dismissal, Peers};
use hallway::http::Request;
use hallway::limits::Limits;
use hallway::outbound::Thresholds;
use hallway::peer::PeerId;
use hallway::ws::frame::{Data, Frame, OpCode};
use hallway::ws::{handshake, switching_protocols};

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
        let opened =
            handshake(request).map(|handshake| switching_protocols(&handshake.accept, None));
        opened.map_or_else(Answer::Response, Answer::Upgrade)
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
