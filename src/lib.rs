//! Hallway: a chat server over WebSocket for small boxes. One thread, one poll loop, no async
//! runtime, no locks.
//!
//! The modules stand here in the order of their imports: each may use those above it, and none
//! below. ARCHITECTURE.md is the map.
//!
//! ```text
//! socket bytes → conn (http, ws) → chat → rooms → outbound → socket bytes
//! ```
//!
//! Everything above [`process`] is sans-IO: it opens no socket, reads no clock, draws no random
//! number and spawns no thread; time comes in as a value.

#![forbid(unsafe_code)]

pub mod limits;
pub mod clock;
pub mod peer;
pub mod http;
pub mod ws;
pub mod outbound;
pub mod conn;
pub mod envelope;
pub mod rooms;
pub mod web;
pub mod chat;
pub mod process;
pub mod reactor;
pub mod options;
