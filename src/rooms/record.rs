//! What a room remembers.

use std::rc::Rc;

use crate::envelope::Text;

/// One chat message as it is kept: a record of its room.
///
/// It is proposed by whoever says it, and applied by [`super::Rooms::apply`], the only one who
/// writes the log and the history of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<T> {
    /// Its number in the room and its epoch. Numbers rise, and may have gaps.
    pub id: u64,
    /// When it was proposed, in milliseconds since 1970 by the wall clock.
    pub unix_ms: i64,
    /// The name of whoever says it.
    pub author: Rc<str>,
    /// What is said.
    pub text: T,
}

impl<T: AsRef<str>> Record<T> {
    /// The same to be written.
    pub(super) fn as_text(&self) -> Text<'_> {
        Text {
            id: self.id,
            unix_ms: self.unix_ms,
            username: &self.author,
            text: self.text.as_ref(),
        }
    }
}

/// What somebody proposes to say.
#[derive(Clone, Debug)]
pub struct Draft<'t> {
    /// The name of whoever says it.
    pub author: Rc<str>,
    /// What is said.
    pub text: &'t str,
}

/// Who has proposed a record, and is told when it was applied.
#[derive(Clone, Copy, Debug)]
pub enum Source<'r> {
    /// Nobody here.
    Elsewhere,
    /// A member, who finds its `ref` on its own copy; V2 only.
    Member(crate::peer::PeerId, &'r str),
}
