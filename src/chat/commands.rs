//! What a member sends, and what comes of it.

use super::Chat;
use crate::conn::{Caller, Dismissal, Verdict};
use crate::envelope::{self, Command, Rejection, Version};
use crate::limits::ERROR_BYTES_MAX;
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
        let command = match peers.draw(id, now) {
            Verdict::Within => {
                let parsed = envelope::parse(text, version, &peers.limits);
                parsed.map_err(|error| (error.code(), error.to_string()))
            }
            Verdict::Over => {
                let rate = peers.limits.rate_per_second;
                Err(("tooFast", format!("too fast: the limit is {rate} messages a second")))
            }
            Verdict::TooLong => {
                return Err(Dismissal::new(CloseCode::Policy, "too fast for too long"));
            }
        };
        let outbound = &mut peers.outbound;
        match command {
            Ok(Command::Text { text, reference }) => {
                let draft = Draft { author: member.name.clone(), text: &text };
                let source = match &reference {
                    Some(reference) => Source::Member(id, reference),
                    None => Source::Elsewhere,
                };
                self.rooms.propose(outbound, room, draft, source, now);
                self.counters.messages += 1;
            }
            Ok(Command::Typing) => {
                self.rooms.typing(outbound, id, now);
                self.counters.typing += 1;
            }
            Err((code, why)) => {
                let reference = match version {
                    Version::V1 => None,
                    Version::V2 => envelope::reference(text),
                };
                let why = &why[..why.floor_char_boundary(ERROR_BYTES_MAX)];
                let rejection = Rejection { code, text: why, reference: reference.as_deref() };
                self.rooms.reject(outbound, id, rejection);
                self.counters.rejected.count(code);
            }
        }
        Ok(())
    }
}
