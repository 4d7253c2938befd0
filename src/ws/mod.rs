//! WebSocket (RFC 6455): the [`handshake()`] that opens it, and then its [`frame`]s.
//!
//! Knows no route, no room, and nothing of what messages mean.

pub mod frame;
mod handshake;

pub use handshake::{Handshake, handshake, offered, switching_protocols, upgrade_required};

/// Takes `len` bytes, or all there are, from the front of `input`.
pub(crate) fn take<'i>(input: &mut &'i mut [u8], len: usize) -> &'i mut [u8] {
    let len = len.min(input.len());
    let (taken, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    taken
}
