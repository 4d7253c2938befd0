//! Bytes ↔ meaning. Nothing here knows of peers, rooms or sockets.
//!
//! [`upgrade`] reads a request head, [`response`] writes the answer; [`frame`] turns bytes into
//! messages and back; [`envelope`] turns the text of a message into a command, and what the
//! house has to say into text; [`name`] decides what people may be called.

pub mod envelope;
pub mod frame;
pub mod name;
pub mod response;
pub mod upgrade;

/// Takes `len` bytes, or all there are, from the front of `input`.
pub(crate) fn take<'i>(input: &mut &'i mut [u8], len: usize) -> &'i mut [u8] {
    let len = len.min(input.len());
    let (taken, rest) = std::mem::take(input).split_at_mut(len);
    *input = rest;
    taken
}
