//! What the house answers to requests that are no handshake.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::limits::RETRY_AFTER_SECONDS;
use crate::web;
use crate::wire::response::{self, Refusal};
use crate::wire::upgrade::method_not_allowed;

/// The methods of every path but `/chat`.
const METHODS: &str = "GET, HEAD";

/// Answers to GET, each made once and then shared by all who ask for it.
#[derive(Debug, Default)]
pub(super) struct Pages {
    made: BTreeMap<&'static str, Rc<[u8]>>,
}

impl Pages {
    /// The answer to a GET, or to a HEAD where `head_only`.
    pub(super) fn get(&mut self, path: &str, head_only: bool) -> Result<Rc<[u8]>, Refusal> {
        let asset = web::asset(path).ok_or_else(not_found)?;
        if head_only {
            return Ok(response::ok(asset.content_type, web::FIELDS, asset.body, true).into());
        }
        let make = || response::ok(asset.content_type, web::FIELDS, asset.body, false).into();
        Ok(Rc::clone(self.made.entry(asset.path).or_insert_with(make)))
    }
}

/// The answer to `/health`: whether new peers are taken in.
pub(super) fn health(is_draining: bool, head_only: bool) -> Result<Rc<[u8]>, Refusal> {
    match is_draining {
        true => Err(draining()),
        false => Ok(response::ok("text/plain; charset=utf-8", "", b"ok\n", head_only).into()),
    }
}

/// The answer to a method that is neither GET nor HEAD.
pub(super) fn other_method(path: &str) -> Refusal {
    match path == HEALTH_PATH || web::asset(path).is_some() {
        true => method_not_allowed(METHODS),
        false => not_found(),
    }
}

/// Where a supervisor looks.
pub(super) const HEALTH_PATH: &str = "/health";

/// The answer to whoever comes while the house closes.
pub(super) fn draining() -> Refusal {
    unavailable("the server is going away; try again in a moment")
}

/// The answer to one peer too many.
pub(super) fn full() -> Refusal {
    unavailable("the house is full; try again in a moment")
}

/// The answer to one peer too many from the same address.
pub(super) fn full_for_address() -> Refusal {
    Refusal::new(429, "too many connections from your address")
}

fn unavailable(text: &'static str) -> Refusal {
    Refusal::new(503, text).with("Retry-After", RETRY_AFTER_SECONDS.to_string())
}

fn not_found() -> Refusal {
    Refusal::new(404, "nothing here; the page is at / and the WebSocket at /chat")
}
