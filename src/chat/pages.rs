//! The page and its files, as answers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::conn::Answer;
use crate::http::{Request, Response};
use crate::outbound::Bytes;
use crate::web::{self, Asset};

/// The page and its files.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// What an operator has changed in a file, by its path: the bytes, and their `ETag`.
    changed: BTreeMap<&'static str, (Vec<u8>, String)>,
    /// The bytes of answers to GET, each made once and then shared by all who ask for it.
    made: BTreeMap<(&'static str, bool), Bytes>,
}

impl Pages {
    /// A page that calls itself `title` and says `welcome`, where they are given. So a change costs
    /// no request and no script; what is changed is not compressed.
    pub(super) fn new(title: Option<&str>, welcome: Option<&str>) -> Self {
        let mut pages = Self::default();
        if title.is_none() && welcome.is_none() {
            return pages;
        }
        let (title, welcome) = (title.unwrap_or(web::TITLE), welcome.unwrap_or_default());
        for (path, escape) in [(web::PAGE, html as fn(&str) -> String), (web::MANIFEST, json)] {
            let Some(asset) = web::asset(path) else { continue };
            let text = String::from_utf8_lossy(asset.plain);
            let text = text.replace(web::TITLE, &escape(title));
            let bytes = text.replace(web::WELCOME, &escape(welcome.trim())).into_bytes();
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            pages.changed.insert(asset.path, (bytes, format!("\"{:016x}\"", hasher.finish())));
        }
        pages
    }

    /// The answer to a GET or HEAD; `None` where there is no such file.
    pub(super) fn answer(&mut self, request: &Request<'_>) -> Option<Answer> {
        let asset = web::asset(request.path)?;
        let changed = self.changed.get(asset.path);
        let is_gzip = changed.is_none() && request.accepts_gzip();
        let etag = changed.map_or(asset.etag, |(_, etag)| etag);
        let is_current =
            request.items("If-None-Match").any(|tag| tag == b"*" || tag.ends_with(etag.as_bytes()));
        if is_current {
            let response = with_fields(Response::not_modified(), asset, etag, is_gzip);
            return Some(Answer::Response(response));
        }
        let whole = || {
            let body: Cow<'static, [u8]> = match changed {
                Some((bytes, _)) => bytes.clone().into(),
                None if is_gzip => asset.gzip.into(),
                None => asset.plain.into(),
            };
            with_fields(Response::new(200, asset.content_type(), body), asset, etag, is_gzip)
        };
        if request.is_head() {
            return Some(Answer::Response(whole()));
        }
        let made = self.made.entry((asset.path, is_gzip));
        Some(Answer::Bytes(made.or_insert_with(|| whole().to_bytes(false).into()).clone()))
    }
}

/// Text as HTML.
fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Text as it stands between the quotes of a JSON string; it has no control characters.
fn json(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The same with the header fields of an asset. A strong validator differs between encodings (RFC
/// 9110, section 8.8.3.3), and ours is the content's, so it is declared weak.
fn with_fields(mut response: Response, asset: &Asset, etag: &str, is_gzip: bool) -> Response {
    for (name, value) in asset.fields() {
        response = response.with(name, value);
    }
    response = response.with("ETag", format!("W/{etag}"));
    if is_gzip { response.with("Content-Encoding", "gzip") } else { response }
}
