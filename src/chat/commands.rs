//! What a member sends, and what comes of it.

use super::Chat;
use crate::conn::{Caller, Dismissal, Verdict};
use crate::envelope::{self, Command, Rejection, Version};
use crate::limits::ERROR_BYTES_MAX;
use crate::outbound::Outbound;
use crate::peer::PeerId;
use crate::rooms::{Draft, Source};
use crate::ws::frame::CloseCode;

impl Chat {
    /// Does what a member asks for with a message.
    pub(super) fn handle_command(
        &mut self,
        caller: &mut Caller<'_>,
        text: &str,
    ) -> Result<(), Dismissal> {
        let Caller { peers, id, now } = caller;
        let (id, now) = (*id, *now);
        let Some(member) = self.rooms.member(id) else { return Ok(()) };
        let (version, room) = (member.version, member.room);
        match peers.draw(id, now) {
            Verdict::Within => {}
            Verdict::Over => {
                let rate = peers.limits.rate_per_second;
                let why = format!("too fast: the limit is {rate} messages a second");
                self.reject(&mut peers.outbound, id, version, "tooFast", &why, text);
                return Ok(());
            }
            Verdict::TooLong => {
                return Err(Dismissal::new(CloseCode::Policy, "too fast for too long"));
            }
        }
        match envelope::parse(text, version, &peers.limits) {
            Ok(Command::Text { text, reference }) => {
                let draft = Draft { author: member.name.clone(), text: &text };
                let source = match &reference {
                    Some(reference) => Source::Member(id, reference),
                    None => Source::Elsewhere,
                };
                self.rooms.propose(&mut peers.outbound, room, draft, source, now);
                self.counters.messages += 1;
            }
            Ok(Command::Typing) => {
                self.rooms.typing(&mut peers.outbound, id, now);
                self.counters.typing += 1;
            }
            Err(error) => {
                let why = error.to_string();
                self.reject(&mut peers.outbound, id, version, error.code(), &why, text);
            }
        }
        Ok(())
    }

    /// Tells a member alone why its message, `text`, was not accepted.
    fn reject(
        &mut self,
        outbound: &mut Outbound,
        id: PeerId,
        version: Version,
        code: &'static str,
        why: &str,
        text: &str,
    ) {
        self.counters.rejected.count(code);
        let reference = match version {
            Version::V1 => None,
            Version::V2 => envelope::reference(text),
        };
        let why = &why[..why.floor_char_boundary(ERROR_BYTES_MAX)];
        let rejection = Rejection { code, text: why, reference: reference.as_deref() };
        self.rooms.reject(outbound, id, rejection);
    }
}
