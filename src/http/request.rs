//! A request head → its method, target and header fields, or the refusal to send.
//!
//! httparse splits the head into its parts. All of them borrow from it.

use std::borrow::Cow;
use std::io::BufRead as _;
use std::mem::MaybeUninit;

use httparse::{Error, Header};

use super::Response;
use crate::limits::{REQUEST_BYTES_MAX, REQUEST_HEADERS_MAX};

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'h> {
    /// The method, in the case that it was sent in.
    pub method: &'h str,
    /// The path of the target as it was sent: not percent-decoded.
    pub path: &'h str,
    /// The query of the target as it was sent, empty where there is none; see [`query_pairs`].
    pub query: &'h str,
    /// The minor version of HTTP/1: 0 or 1.
    pub minor_version: u8,
    fields: Vec<Header<'h>>,
}

impl<'h> Request<'h> {
    /// Whether only the head of the response is wanted.
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The values of all fields of this name, without the white space around them.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        let named = self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value.trim_ascii())
    }

    /// The value of the first field of this name.
    pub fn value(&self, name: &str) -> Option<&'h [u8]> {
        self.values(name).next()
    }

    /// The value of a field that must be there exactly once.
    ///
    /// # Errors
    /// A 400 that says whether it is missing, empty or there twice.
    pub fn single(&self, name: &str) -> Result<&'h [u8], Response> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (Some(value), None) if !value.is_empty() => Ok(value),
            (Some(_), None) => Err(Response::text(400, format!("{name} is empty"))),
            (None, _) => Err(Response::text(400, format!("{name} is missing"))),
            (Some(_), Some(_)) => Err(Response::text(400, format!("{name} is there twice"))),
        }
    }

    /// The items of all comma-separated lists of this name (RFC 9110, section 5.6.1), without the
    /// white space around them. Empty items are not left out.
    pub fn items(&self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.values(name).flat_map(|value| split(value, b','))
    }

    /// Whether `token` is an item of this comma-separated list, in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let is_token = |item: &[u8]| item.eq_ignore_ascii_case(token.as_bytes());
        // Most of these lists have one item.
        self.values(name).any(|value| is_token(value) || split(value, b',').any(is_token))
    }

    /// Whether gzip is listed in `Accept-Encoding`, unless as `gzip;q=0`. Other weights do not
    /// matter: the choice is between a file and the same file compressed.
    pub fn accepts_gzip(&self) -> bool {
        self.items("Accept-Encoding").any(|item| {
            let mut parts = split(item, b';');
            let is_gzip = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"gzip"));
            let is_zero =
                |weight: &[u8]| matches!(weight, b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000");
            is_gzip && !parts.any(is_zero)
        })
    }

    /// Whether a body follows the head (RFC 9112, section 6).
    pub fn announces_body(&self) -> bool {
        self.value("Transfer-Encoding").is_some()
            || self.values("Content-Length").any(|value| value != b"0")
    }
}

/// The length of the head at the start of `bytes`, including its blank line, or `None` while the
/// blank line is missing.
///
/// Looks at the bytes from `from` on, and at the few before it in which a blank line may begin.
/// So the work for a head that arrives byte by byte is linear. Bare line feeds end lines as well
/// (RFC 9112, section 2.2).
///
/// # Errors
/// What cannot become a request: too long, or a first byte that begins no method, like that of a
/// TLS hello.
pub fn head_len(bytes: &[u8], from: usize) -> Result<Option<usize>, Response> {
    if bytes.first().is_some_and(|first| !first.is_ascii_alphabetic()) {
        return Err(Response::text(
            400,
            "not an HTTP request; this port speaks plain HTTP and WebSocket",
        ));
    }
    match end_of_head(bytes, from) {
        Some(len) if len <= REQUEST_BYTES_MAX => Ok(Some(len)),
        None if bytes.len() < REQUEST_BYTES_MAX => Ok(None),
        _ => Err(Response::text(431, format!("request head is over {REQUEST_BYTES_MAX} bytes"))),
    }
}

/// The end of the first blank line that ends after `from`.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    let mut rest = bytes.get(from..)?;
    while rest.skip_until(b'\n').is_ok_and(|len| len > 0) {
        let head = &bytes[..bytes.len() - rest.len()];
        if head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n") {
            return Some(head.len());
        }
    }
    None
}

/// Reads a whole request head, as [`head_len`] has measured it. Work: linear in the head.
///
/// # Errors
/// The response to a head that is not one of HTTP/1, or that has too many fields.
pub fn parse(head: &[u8]) -> Result<Request<'_>, Response> {
    let mut fields = [const { MaybeUninit::uninit() }; REQUEST_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    if request.parse_with_uninit_headers(head, &mut fields).map_err(malformed)?.is_partial() {
        return Err(Response::text(400, "request head is cut"));
    }
    let (path, query) = split_target(request.path.unwrap_or_default());
    Ok(Request {
        method: request.method.unwrap_or_default(),
        path,
        query,
        minor_version: request.version.unwrap_or_default(),
        fields: request.headers.to_vec(),
    })
}

/// The keys and values of a query: percent-decoded, `+` is a space, and U+FFFD replaces what is
/// not UTF-8.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

/// The parts of a list, without the white space around them.
fn split(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    list.split(move |&byte| byte == separator).map(<[u8]>::trim_ascii)
}

fn malformed(error: Error) -> Response {
    match error {
        Error::TooManyHeaders => {
            Response::text(431, format!("request has over {REQUEST_HEADERS_MAX} header fields"))
        }
        Error::Version => Response::text(505, "this server speaks HTTP/1.1"),
        error => Response::text(400, format!("not an HTTP request: {error}")),
    }
}

/// Path and query of a target in origin form or absolute form (RFC 9112, section 3.2), without
/// the fragment.
fn split_target(target: &str) -> (&str, &str) {
    let target = target.split('#').next().unwrap_or_default();
    let origin_form = if target.starts_with('/') { target } else { without_authority(target) };
    origin_form.split_once('?').unwrap_or((origin_form, ""))
}

fn without_authority(target: &str) -> &str {
    match target.split_once("://") {
        Some(("http" | "https" | "ws" | "wss", rest)) => match rest.find(['/', '?']) {
            Some(at) => &rest[at..],
            None => "/",
        },
        _ => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "GET /a?b=c HTTP/1.1\r\nHost: box\r\nAccept:  one ,,TWO\r\n\
        accept: three\r\nEmpty:\r\n\r\n";

    fn request(head: &str) -> Request<'_> {
        parse(head.as_bytes()).unwrap_or_else(|refusal| panic!("{head}: {refusal:?}"))
    }

    /// What a head is refused with.
    fn status(head: &str) -> u16 {
        parse(head.as_bytes()).unwrap_err().status
    }

    #[test]
    fn a_head_is_split_into_its_parts() {
        let request = request(HEAD);
        let Request { method, path, query, minor_version, .. } = request;
        assert_eq!((method, path, query, minor_version), ("GET", "/a", "b=c", 1));
        assert_eq!(request.value("HOST"), Some(&b"box"[..]));
        assert_eq!(request.value("hos"), None);
        assert!(request.values("Accept").eq([&b"one ,,TWO"[..], b"three"]));
        assert!(request.items("Accept").eq([&b"one"[..], b"", b"TWO", b"three"]));
        assert!(request.has_token("Accept", "two") && !request.has_token("Accept", "on"));
    }

    #[test]
    fn a_field_that_must_be_there_once_is_told_otherwise() {
        let request = request(HEAD);
        assert_eq!(request.single("Host"), Ok(&b"box"[..]));
        for (name, sentence) in [
            ("Empty", "Empty is empty"),
            ("Origin", "Origin is missing"),
            ("Accept", "Accept is there twice"),
        ] {
            assert_eq!(request.single(name), Err(Response::text(400, sentence)));
        }
    }

    #[test]
    fn other_paths_are_told_apart() {
        for (line, method, path, query) in [
            ("GET /?a=b HTTP/1.1", "GET", "/", "a=b"),
            ("HEAD /health HTTP/1.0", "HEAD", "/health", ""),
            ("GET http://box HTTP/1.1", "GET", "/", ""),
            ("GET wss://box?a HTTP/1.1", "GET", "", "a"),
            ("GET http://box/chat?a#b HTTP/1.1", "GET", "/chat", "a"),
            ("GET /a?b?c#d?e HTTP/1.1", "GET", "/a", "b?c"),
            ("GET http://box#/a?b HTTP/1.1", "GET", "/", ""),
            ("GET /ftp://box/ HTTP/1.1", "GET", "/ftp://box/", ""),
            ("POST /chat/ HTTP/1.1", "POST", "/chat/", ""),
        ] {
            let head = format!("{line}\n\n");
            let request = request(&head);
            assert_eq!((request.method, request.path, request.query), (method, path, query));
            assert_eq!(request.is_head(), method == "HEAD");
            assert_eq!(request.minor_version, u8::from(line.ends_with(".1")));
        }
    }

    #[test]
    fn what_is_not_http_1_is_refused() {
        for (with, expected) in [
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\nBad Field: x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
            ("G(T / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n", 400),
        ] {
            assert_eq!(status(with), expected, "{with:?}");
        }
    }

    #[test]
    fn the_number_of_fields_is_limited() {
        let head = |fields| format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(fields));
        assert_eq!(request(&head(REQUEST_HEADERS_MAX)).values("x").count(), REQUEST_HEADERS_MAX);
        assert_eq!(status(&head(REQUEST_HEADERS_MAX + 1)), 431);
    }

    #[test]
    fn a_body_is_announced_by_its_length_or_its_coding() {
        for (field, announces) in [
            ("X: y", false),
            ("Content-Length: 0", false),
            ("Content-Length: 5", true),
            ("Content-Length: 0\r\nContent-Length: 5", true),
            ("Transfer-Encoding: chunked", true),
        ] {
            let head = format!("GET / HTTP/1.1\r\n{field}\r\n\r\n");
            assert_eq!(request(&head).announces_body(), announces, "{field}");
        }
    }

    #[test]
    fn compression_is_used_where_it_is_accepted() {
        for (accepted, gzip) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5, br", true),
            ("gzip; q=0", false),
            ("br, identity", false),
            ("x-gzip", false),
        ] {
            let head = format!("GET / HTTP/1.1\r\nAccept-Encoding: {accepted}\r\n\r\n");
            assert_eq!(request(&head).accepts_gzip(), gzip, "{accepted}");
        }
    }

    #[test]
    fn the_query_is_decoded() {
        for (query, pair) in [
            ("username=alice", ("username", "alice")),
            ("username=two+words%21", ("username", "two words!")),
            ("username=J%C3%BCrgen", ("username", "Jürgen")),
            ("username=%ff%fe", ("username", "\u{fffd}\u{fffd}")),
            ("username=%zz%4", ("username", "%zz%4")),
            ("user%6eame=a%26b%3Dc", ("username", "a&b=c")),
            ("&&username&", ("username", "")),
        ] {
            let pairs =
                query_pairs(query).map(|(key, value)| (key.into_owned(), value.into_owned()));
            assert!(pairs.eq([(pair.0.to_owned(), pair.1.to_owned())]), "{query}");
        }
        assert_eq!(query_pairs("").next(), None);
        assert!(query_pairs("a=1&b=2&a=3").map(|(_, value)| value).eq(["1", "2", "3"]));
    }

    #[test]
    fn the_blank_line_is_found_at_every_cut() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(64));
        for head in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", &long] {
            let bytes = [head.as_bytes(), b"GET "].concat();
            for from in 0..head.len() {
                assert_eq!(head_len(&bytes[..head.len() - 1], from), Ok(None));
                assert_eq!(head_len(&bytes, from), Ok(Some(head.len())), "from {from}");
            }
        }
    }

    #[test]
    fn what_cannot_become_a_request_is_refused_at_once() {
        let status = |bytes: &[u8]| head_len(bytes, 0).unwrap_err().status;
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01"), 400, "a TLS hello");
        assert_eq!(status(&[b'G'; REQUEST_BYTES_MAX]), 431);
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(REQUEST_BYTES_MAX));
        assert_eq!(status(long.as_bytes()), 431);
        assert_eq!(head_len(&[b'G'; REQUEST_BYTES_MAX - 1], 0), Ok(None));
    }
}
