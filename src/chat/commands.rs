//! What a member sends, and what comes of it.

use super::Chat;
use crate::conn::Caller;
use crate::envelope::{self, Command, EnvelopeError, Rejection, Version};
use crate::limits::ERROR_BYTES_MAX;
use crate::rooms::{Draft, Source};

impl Chat {
    /// Does what a member asks for with a message.
    pub(super) fn handle_command(&mut self, caller: &mut Caller<'_>, text: &str) {
        let (peers, id, now) = (&mut *caller.peers, caller.id, caller.now);
        let Some(member) = self.rooms.member(id) else { return };
        let (version, room) = (member.version, member.room);
        let outbound = &mut peers.outbound;
        match envelope::parse(text, version, &peers.limits) {
            Ok(Command::Text { text, reference }) => {
                let draft = Draft { author: member.name.clone(), text: &text };
                let source = reference.as_deref();
                let source = source.map_or(Source::Elsewhere, |its| Source::Member(id, its));
                self.rooms.propose(outbound, room, draft, source, now);
                self.counters.messages += 1;
            }
            Ok(Command::Typing) => {
                self.rooms.typing(outbound, id, now);
                self.counters.typing += 1;
            }
            Err(EnvelopeError { code, text: why }) => {
                let is_v2 = version == Version::V2;
                let reference = is_v2.then(|| envelope::reference(text)).flatten();
                let why = &why[..why.floor_char_boundary(ERROR_BYTES_MAX)];
                let rejection = Rejection { code, text: why, reference: reference.as_deref() };
                self.rooms.reject(outbound, id, rejection);
                self.counters.rejected.count(code);
            }
        }
    }
}
