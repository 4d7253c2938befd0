//! What the house answers to requests that are no handshake.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::metrics::METRICS_PATH;
use crate::limits::RETRY_AFTER_SECONDS;
use crate::web::{self, Asset};
use crate::wire::response::{self, Refusal};
use crate::wire::upgrade::{Get, method_not_allowed};

/// The methods of every path but `/chat`.
const METHODS: &str = "GET, HEAD";

/// Answers to GET, each made once and then shared by all who ask for it.
#[derive(Debug, Default)]
pub(super) struct Pages {
    made: BTreeMap<(&'static str, bool), Rc<[u8]>>,
}

impl Pages {
    /// The answer to a GET or HEAD.
    pub(super) fn get(&mut self, get: &Get) -> Result<Rc<[u8]>, Refusal> {
        let asset = web::asset(&get.path).ok_or_else(not_found)?;
        let is_current = get.if_none_match.as_deref().is_some_and(|tags| {
            tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.ends_with(asset.etag))
        });
        if is_current {
            return Ok(response::not_modified(&fields(asset, get.accepts_gzip)).into());
        }
        if get.head_only {
            return Ok(whole(asset, get.accepts_gzip, true));
        }
        let key = (asset.path, get.accepts_gzip);
        let made = self.made.entry(key).or_insert_with(|| whole(asset, get.accepts_gzip, false));
        Ok(Rc::clone(made))
    }
}

fn whole(asset: &Asset, is_gzip: bool, head_only: bool) -> Rc<[u8]> {
    let body = if is_gzip { asset.gzip } else { asset.plain };
    response::ok(asset.content_type(), &fields(asset, is_gzip), body, head_only).into()
}

/// The header lines of an asset. A strong validator differs between encodings (RFC 9110, section
/// 8.8.3.3), and ours is the content's, so it is declared weak.
fn fields(asset: &Asset, is_gzip: bool) -> String {
    let encoding = if is_gzip { "Content-Encoding: gzip\r\n" } else { "" };
    format!("{}ETag: W/{}\r\n{encoding}", asset.fields(), asset.etag)
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
    match [HEALTH_PATH, METRICS_PATH].contains(&path) || web::asset(path).is_some() {
        true => method_not_allowed(METHODS),
        false => not_found(),
    }
}

/// Where a supervisor looks.
pub(super) const HEALTH_PATH: &str = "/health";

/// The header field that tells programs why `/chat` refuses them: its values do not change.
const CODE: &str = "Hallway-Code";

/// The answer to whoever comes while the house closes.
pub(super) fn draining() -> Refusal {
    unavailable("draining", "the server is going away; try again in a moment")
}

/// The answer to one peer too many.
pub(super) fn full() -> Refusal {
    unavailable("full", "the house is full; try again in a moment")
}

/// The answer to who asks for one room too many.
pub(super) fn no_room() -> Refusal {
    unavailable("rooms", "there are too many rooms; join another, or try again later")
}

/// The answer to a web page from elsewhere.
pub(super) fn foreign_origin() -> Refusal {
    Refusal::new(
        403,
        "pages of this origin may not connect; the operator can allow them with --origin",
    )
    .with(CODE, "origin")
}

/// The answer to one peer too many from the same address.
pub(super) fn full_for_address() -> Refusal {
    Refusal::new(429, "too many connections from your address").with(CODE, "address")
}

fn unavailable(code: &'static str, text: &'static str) -> Refusal {
    Refusal::new(503, text).with("Retry-After", RETRY_AFTER_SECONDS.to_string()).with(CODE, code)
}

pub(super) fn not_found() -> Refusal {
    Refusal::new(404, "nothing here; the page is at / and the WebSocket at /chat")
}
