//! Hallway: a chat server over WebSocket for small boxes. One thread, one poll loop, no async
//! runtime, no locks. ARCHITECTURE.md is the map.

#![forbid(unsafe_code)]

pub mod limits;

pub mod clock;

pub mod peer;

pub mod http;

pub mod ws;

pub mod envelope;

pub mod web;
