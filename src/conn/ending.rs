//! Why a connection ends.

use std::fmt;

use serde::Serialize;

use crate::ws::frame::CloseCode;

/// Why a connection ends. It is decided once, and stays as it is until the socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It was gone before it had sent a whole request, or has never sent a byte of one.
    Unused,
    /// All slots were taken, and its request was not whole yet when others came.
    Evicted,
    /// Its HTTP request was answered with what it asked for.
    Served,
    /// Its request was refused with a status.
    Refused,
    /// The peer ended the WebSocket, with a Close.
    ClosedByPeer,
    /// The WebSocket's connection ended without a Close.
    Lost,
    /// Nothing was heard of the WebSocket for too long.
    Silent,
    /// The WebSocket's connection took no byte for too long while some waited for it.
    Stalled,
    /// A fault in a frame: Close 1002.
    Protocol,
    /// A binary message: Close 1003.
    Binary,
    /// Text that is no UTF-8: Close 1007.
    NotUtf8,
    /// A message of too many bytes or fragments: Close 1009.
    TooBig,
    /// The reader lagged too far: Close 1013.
    TooSlow,
    /// Memory was short, and much was held for the WebSocket.
    OverMemory,
    /// The server went away: Close 1001.
    GoingAway,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Unused,
        Self::Evicted,
        Self::Served,
        Self::Refused,
        Self::ClosedByPeer,
        Self::Lost,
        Self::Silent,
        Self::Stalled,
        Self::Protocol,
        Self::Binary,
        Self::NotUtf8,
        Self::TooBig,
        Self::TooSlow,
        Self::OverMemory,
        Self::GoingAway,
    ];

    /// Whether a connection that ends so was a WebSocket.
    pub(super) fn is_of_websocket(self) -> bool {
        !matches!(self, Self::Unused | Self::Evicted | Self::Served | Self::Refused)
    }

    /// The ending that a peer is told by this code.
    pub(super) fn of(code: CloseCode) -> Self {
        match code {
            CloseCode::Unsupported => Self::Binary,
            CloseCode::Invalid => Self::NotUtf8,
            CloseCode::Size => Self::TooBig,
            CloseCode::Again => Self::TooSlow,
            CloseCode::Away => Self::GoingAway,
            _ => Self::Protocol,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
