//! What a member sends, and what comes of it.

use super::rate::Verdict;
use super::{Ending, Peer, Phase, Server};
use crate::clock::Now;
use crate::hub::PeerId;
use crate::limits::ERROR_BYTES_MAX;
use crate::wire::envelope::{self, Command, Dialect, Rejection};
use crate::wire::frame::{CloseCode, Event, Frame};

impl Server {
    /// Does what a member asks for with a message or a control frame.
    pub(super) fn handle_event(&mut self, id: PeerId, event: Event<'_>, now: Now) {
        match event {
            Event::Text(text) if self.is_echo => self.echo_text(id, &text),
            Event::Binary(bytes) if self.is_echo => self.echo_binary(id, &bytes),
            Event::Text(text) => self.handle_text(id, &text, now),
            Event::Binary(_) => {
                self.dismiss(id, CloseCode::Unsupported, "only text messages are understood", now);
            }
            Event::Ping(payload) => {
                self.counters.pings += 1;
                self.hub.outboxes.set_pong(id, Frame::pong(&payload));
            }
            Event::Pong(_) => self.counters.pongs += 1,
            Event::Close(code) => {
                let answer =
                    code.map_or_else(Frame::close_without_code, |code| Frame::close(code, ""));
                self.leave(id, Ending::Left, Some(answer), now);
            }
        }
    }

    fn handle_text(&mut self, id: PeerId, text: &str, now: Now) {
        let Some(Peer { phase: Phase::Open(open), .. }) = self.peers.get_mut(id) else { return };
        let Some(dialect) = self.hub.dialect(id) else { return };
        self.counters.texts += 1;
        match open.bucket.get_or_insert_default().draw(now.mono_ms, &self.limits) {
            Verdict::Within => {}
            Verdict::Over => {
                let rate = self.limits.rate_per_second;
                let why = format!("too fast: the limit is {rate} messages a second");
                return self.reject(id, "tooFast", &why, text, dialect);
            }
            Verdict::TooLong => {
                return self.dismiss(id, CloseCode::Policy, "too fast for too long", now);
            }
        }
        match envelope::parse(text, dialect, &self.limits) {
            Ok(Command::ChatMessage { message, reference }) => {
                self.hub.publish(id, &message, reference.as_deref(), now);
                self.counters.messages += 1;
            }
            Ok(Command::Typing) => {
                self.hub.typing(id, now);
                self.counters.typing += 1;
            }
            Err(error) => self.reject(id, error.code(), &error.to_string(), text, dialect),
        }
    }

    /// Tells a member alone why its message, `text`, was not accepted.
    fn reject(&mut self, id: PeerId, code: &'static str, why: &str, text: &str, dialect: Dialect) {
        self.counters.rejected.count(code);
        let reference = match dialect {
            Dialect::First => None,
            Dialect::Second => envelope::reference(text),
        };
        let why = &why[..why.floor_char_boundary(ERROR_BYTES_MAX)];
        let rejection = Rejection { code, text: why, reference: reference.as_deref() };
        self.hub.reject(id, rejection);
    }
}
