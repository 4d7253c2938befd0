//! Hallway: a chat server over WebSocket for small boxes. One thread, one poll loop, no async
//! runtime, no locks.
//!
//! Bytes go one way through the house, and the modules stand here in that order:
//!
//! ```text
//! socket bytes → HTTP upgrade → frames → envelope → hub (rooms, members, history)
//!              → outboxes → socket bytes
//!
//! limits, clock ← wire ← hub ← server ← reactor ← main
//! ```
//!
//! Imports run along the arrows and never back. Everything left of [`reactor`] is sans-IO: it
//! opens no socket, reads no clock, draws no random number and spawns no thread; time comes in
//! as a value. ARCHITECTURE.md is the map.

#![forbid(unsafe_code)]

pub mod limits;

pub mod clock;

pub mod wire;

pub mod hub;

pub mod web;

pub mod server;

pub mod reactor;

pub mod options;
