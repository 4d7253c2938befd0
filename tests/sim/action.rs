//! What can happen to a client, as a list of numbers.

use super::random::Random;

/// One thing that happens. Whom it happens to, and how, follows from the numbers alone, so that
/// an action means the same when those before it are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) kind: Kind,
    pub(crate) who: usize,
    pub(crate) how: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    /// So do others, one right after the other, while somebody speaks.
    ConnectMany,
    Say,
    /// It says more at once than its room's gate lets through.
    SayMany,
    /// Some of what the client has sent arrives.
    Arrive,
    /// A slow reader reads a little.
    Read,
    /// The rest of an iteration of the loop.
    Iterate,
    /// An iteration whose budget is used up after a few outputs.
    Outputs,
    Typing,
    Ping,
    /// The client begins the closing handshake.
    Close,
    /// It has shut its direction down.
    Eof,
    /// Its connection is reset.
    Reset,
    /// So are those of many at once.
    ResetMany,
    /// Its connection is reset, and the next write tells.
    Break,
    /// It stops without a word: no bytes in either direction from now on.
    Vanish,
    /// It sends what no client should.
    Misbehave,
    /// It talks too fast for too long.
    Flood,
    /// A late event names a connection that is gone.
    Ghost,
    /// Time passes, by the monotonic clock; the wall clock jumps.
    Time,
    /// The process is stopped, and goes on.
    Stop,
}

/// Kinds and how likely they are beside each other.
const WEIGHTS: &[(Kind, usize)] = &[
    (Kind::Connect, 12),
    (Kind::ConnectMany, 2),
    (Kind::Say, 30),
    (Kind::SayMany, 4),
    (Kind::Arrive, 40),
    (Kind::Read, 25),
    (Kind::Iterate, 20),
    (Kind::Outputs, 10),
    (Kind::Typing, 4),
    (Kind::Ping, 4),
    (Kind::Close, 2),
    (Kind::Eof, 2),
    (Kind::Reset, 3),
    (Kind::ResetMany, 1),
    (Kind::Break, 2),
    (Kind::Vanish, 4),
    (Kind::Misbehave, 8),
    (Kind::Flood, 1),
    (Kind::Ghost, 4),
    (Kind::Time, 6),
    (Kind::Stop, 1),
];

impl Action {
    pub(crate) fn random(random: &mut Random, clients: usize) -> Self {
        let mut choice = random.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        let chosen = WEIGHTS.iter().find(|(_, weight)| {
            let is_it = choice < *weight;
            choice = choice.saturating_sub(*weight);
            is_it
        });
        let (kind, _) = *chosen.expect("the choice is below the sum");
        Self { kind, who: random.below(clients), how: random.next() }
    }
}
