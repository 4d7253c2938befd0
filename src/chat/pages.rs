//! The page and its files, as answers.

use std::collections::BTreeMap;

use crate::conn::Answer;
use crate::http::{Request, Response};
use crate::outbound::Bytes;
use crate::web::{self, Asset};

/// The bytes of answers to GET, each made once and then shared by all who ask for it.
#[derive(Debug, Default)]
pub(super) struct Pages {
    made: BTreeMap<(&'static str, bool), Bytes>,
}

impl Pages {
    /// The answer to a GET or HEAD; `None` where there is no such file.
    pub(super) fn answer(&mut self, request: &Request<'_>) -> Option<Answer> {
        let asset = web::asset(request.path)?;
        let is_gzip = request.accepts_gzip();
        let is_current = request
            .items("If-None-Match")
            .any(|tag| tag == b"*" || tag.ends_with(asset.etag.as_bytes()));
        if is_current {
            return Some(Answer::Response(with_fields(Response::not_modified(), asset, is_gzip)));
        }
        if request.is_head() {
            return Some(Answer::Response(whole(asset, is_gzip)));
        }
        let made = self.made.entry((asset.path, is_gzip));
        let bytes = made.or_insert_with(|| whole(asset, is_gzip).to_bytes(false).into());
        Some(Answer::Bytes(bytes.clone()))
    }
}

fn whole(asset: &'static Asset, is_gzip: bool) -> Response {
    let body = if is_gzip { asset.gzip } else { asset.plain };
    with_fields(Response::new(200, asset.content_type(), body), asset, is_gzip)
}

/// The same with the header fields of an asset. A strong validator differs between encodings (RFC
/// 9110, section 8.8.3.3), and ours is the content's, so it is declared weak.
fn with_fields(mut response: Response, asset: &Asset, is_gzip: bool) -> Response {
    for (name, value) in asset.fields() {
        response = response.with(name, value);
    }
    response = response.with("ETag", format!("W/{}", asset.etag));
    if is_gzip { response.with("Content-Encoding", "gzip") } else { response }
}
