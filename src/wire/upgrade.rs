//! A request head → what it asks for, or the refusal to send.
//!
//! The checks of RFC 6455, section 4.2.1, each with its own answer. httparse splits the head into
//! lines; tungstenite derives the accept key.

use form_urlencoded::parse as parse_query;
use httparse::{EMPTY_HEADER, Error, Header, Status};
use tungstenite::handshake::derive_accept_key;

use super::response::Refusal;
use crate::limits::{REQUEST_BYTES_MAX, REQUEST_HEADERS_MAX};

/// Where the WebSocket is.
const CHAT_PATH: &str = "/chat";

/// The one version of the protocol (RFC 6455, section 4.1).
const WEBSOCKET_VERSION: &[u8] = b"13";

/// Characters of a `Sec-WebSocket-Key`: 16 bytes in base64 with its padding.
const KEY_CHARS: usize = 24;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// To join: a complete and correct WebSocket handshake on `/chat`.
    Chat(Upgrade),
    /// To read something else.
    Get {
        /// The path of the target, without its query.
        path: String,
        /// Whether only the head of the answer is wanted.
        head_only: bool,
    },
    /// A method that nothing here answers, on a path that may not even exist.
    Other {
        /// The path of the target, without its query.
        path: String,
    },
}

/// A WebSocket handshake that passed every check.
#[derive(Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// `?username=` as it was sent, percent-decoded; empty where there was none.
    pub username: String,
}

/// The length of the head at the start of `bytes`, its blank line included, or `None` as long as
/// that is missing.
///
/// Looks at the bytes from `from` on, with as many before it as a blank line may begin in; so a
/// head that is dripped costs each byte once, not once for each byte after it. Bare line feeds
/// end lines as well (RFC 9112, section 2.2).
///
/// # Errors
/// What can't become a request: too long, or a first byte that begins no method, like that of a
/// TLS hello.
pub fn head_len(bytes: &[u8], from: usize) -> Result<Option<usize>, Refusal> {
    if bytes.first().is_some_and(|first| !first.is_ascii_alphabetic()) {
        return Err(Refusal::new(
            400,
            "not an HTTP request; this port speaks plain HTTP and WebSocket",
        ));
    }
    let end = (from..bytes.len()).find(|&at| {
        bytes[at] == b'\n' && (bytes[..at].ends_with(b"\n") || bytes[..at].ends_with(b"\n\r"))
    });
    match end {
        Some(last) if last < REQUEST_BYTES_MAX => Ok(Some(last + 1)),
        None if bytes.len() < REQUEST_BYTES_MAX => Ok(None),
        _ => Err(Refusal::new(431, format!("request head is over {REQUEST_BYTES_MAX} bytes"))),
    }
}

/// Reads a whole request head, as [`head_len`] has measured it. Work: linear in the head.
///
/// # Errors
/// The answer to send instead of what was asked for.
pub fn parse(head: &[u8]) -> Result<Request, Refusal> {
    let mut headers = [EMPTY_HEADER; REQUEST_HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Err(Refusal::new(400, "request head is cut")),
        Err(error) => return Err(malformed(error)),
    }
    let method = request.method.unwrap_or_default();
    let (path, query) = split_target(request.path.unwrap_or_default());
    if path == CHAT_PATH {
        if method != "GET" {
            return Err(method_not_allowed("GET"));
        }
        let accept = handshake(request.version, request.headers)?;
        return Ok(Request::Chat(Upgrade { accept, username: parameter(query, "username") }));
    }
    let path = path.to_owned();
    Ok(match method {
        "GET" => Request::Get { path, head_only: false },
        "HEAD" => Request::Get { path, head_only: true },
        _ => Request::Other { path },
    })
}

/// The answer to a method that a path does not know; `allow` lists those that it does.
pub fn method_not_allowed(allow: &'static str) -> Refusal {
    Refusal::new(405, format!("method not allowed here; allowed: {allow}")).with("Allow", allow)
}

fn malformed(error: Error) -> Refusal {
    match error {
        Error::TooManyHeaders => {
            Refusal::new(431, format!("request has over {REQUEST_HEADERS_MAX} header fields"))
        }
        Error::Version => Refusal::new(505, "this server speaks HTTP/1.1"),
        error => Refusal::new(400, format!("not an HTTP request: {error}")),
    }
}

/// Path and query of a target in origin form or absolute form (RFC 9112, section 3.2).
fn split_target(target: &str) -> (&str, &str) {
    let origin_form = match target.split_once("://") {
        Some(("http" | "https" | "ws" | "wss", rest)) => match rest.find(['/', '?']) {
            Some(at) => &rest[at..],
            None => "/",
        },
        _ => target,
    };
    let without_fragment = origin_form.split('#').next().unwrap_or_default();
    without_fragment.split_once('?').unwrap_or((without_fragment, ""))
}

/// The first value of a query parameter: percent-decoded, `+` is a space, what is no UTF-8
/// replaced. Empty where there is none.
fn parameter(query: &str, name: &str) -> String {
    parse_query(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// The checks of RFC 6455, section 4.2.1; the accept key of a handshake that passes them all.
fn handshake(version: Option<u8>, headers: &[Header<'_>]) -> Result<String, Refusal> {
    let fields = Fields(headers);
    if !fields.has_token("Upgrade", "websocket") || !fields.has_token("Connection", "Upgrade") {
        return Err(Refusal::new(
            426,
            "this is a WebSocket endpoint; connect with a WebSocket client",
        )
        .with("Upgrade", "websocket"));
    }
    if version != Some(1) {
        return Err(Refusal::new(505, "a WebSocket handshake needs HTTP/1.1"));
    }
    fields.single("Host")?;
    if fields.single("Sec-WebSocket-Version")? != WEBSOCKET_VERSION {
        return Err(Refusal::new(426, "this server speaks WebSocket version 13")
            .with("Sec-WebSocket-Version", "13"));
    }
    let key = fields.single("Sec-WebSocket-Key")?;
    if !is_key(key) {
        return Err(Refusal::new(400, "Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    if fields.announces_body() {
        return Err(Refusal::new(400, "a WebSocket handshake has no body"));
    }
    Ok(derive_accept_key(key))
}

/// Whether `key` is the base64 of 16 bytes: 22 characters, the last of which carries two bits
/// and four zeros, and two of padding.
fn is_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match key.strip_suffix(b"==") {
        Some(chars) => {
            key.len() == KEY_CHARS
                && chars.iter().all(is_base64)
                && chars.last().is_some_and(|last| b"AQgw".contains(last))
        }
        None => false,
    }
}

/// The header fields of a request.
struct Fields<'h>(&'h [Header<'h>]);

impl<'h> Fields<'h> {
    fn values(&self, name: &'static str) -> impl Iterator<Item = &'h [u8]> {
        let named = self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value.trim_ascii())
    }

    /// The value of a field that must be there exactly once.
    fn single(&self, name: &'static str) -> Result<&'h [u8], Refusal> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (Some(value), None) if !value.is_empty() => Ok(value),
            (Some(_), None) => Err(Refusal::new(400, format!("{name} is empty"))),
            (None, _) => Err(Refusal::new(400, format!("{name} is missing"))),
            (Some(_), Some(_)) => Err(Refusal::new(400, format!("{name} is there twice"))),
        }
    }

    /// Whether `token` stands in the comma-separated list of a field, in any case.
    fn has_token(&self, name: &'static str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    fn announces_body(&self) -> bool {
        self.values("Transfer-Encoding").next().is_some()
            || self.values("Content-Length").any(|value| value != b"0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\n\
        Host: example.com\r\n\
        Upgrade: websocket\r\n\
        Connection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn status(head: &str) -> u16 {
        match parse(head.as_bytes()) {
            Ok(_) => 101,
            Err(refusal) => refusal.status,
        }
    }

    fn username(target: &str) -> String {
        let head = HANDSHAKE.replacen("/chat", target, 1);
        match parse(head.as_bytes()) {
            Ok(Request::Chat(upgrade)) => upgrade.username,
            other => panic!("{target}: {other:?}"),
        }
    }

    #[test]
    fn the_handshake_of_the_rfc() {
        // Section 1.3.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned();
        let upgrade = Upgrade { accept, username: String::new() };
        assert_eq!(parse(HANDSHAKE.as_bytes()), Ok(Request::Chat(upgrade)));
    }

    #[test]
    fn each_check_has_its_own_answer() {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for (what, with, expected) in [
            ("GET", "POST", 405),
            ("GET", "HEAD", 405),
            ("HTTP/1.1", "HTTP/1.0", 505),
            ("HTTP/1.1", "HTTP/2.0", 505),
            ("Host: example.com\r\n", "", 400),
            ("Host: example.com\r\n", "Host: a\r\nHost: b\r\n", 400),
            ("Upgrade: websocket", "Upgrade: h2c, WebSocket", 101),
            ("Upgrade: websocket\r\n", "", 426),
            ("Upgrade: websocket", "Upgrade: websockets", 426),
            ("Connection: keep-alive, Upgrade", "Connection: upgrade", 101),
            (
                "Connection: keep-alive, Upgrade",
                "Connection: keep-alive\r\nConnection: upgrade",
                101,
            ),
            ("Connection: keep-alive, Upgrade", "Connection: keep-alive", 426),
            (key, "", 400),
            (key, "Sec-WebSocket-Key:\r\n", 400),
            (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", 400),
            (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n", 400),
            (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE=\r\n", 400),
            (key, &key.repeat(2), 400),
            ("Version: 13", "Version: 8", 426),
            ("Version: 13", "Version: 13, 8", 426),
            ("Sec-WebSocket-Version: 13\r\n", "", 400),
            ("Host:", "Content-Length: 0\r\nHost:", 101),
            ("Host:", "Content-Length: 5\r\nHost:", 400),
            ("Host:", "Transfer-Encoding: chunked\r\nHost:", 400),
            ("Host:", "Sec-WebSocket-Extensions: permessage-deflate\r\nHost:", 101),
            ("Host:", "Bad Header: x\r\nHost:", 400),
            ("Host:", &format!("{}Host:", "X: y\r\n".repeat(REQUEST_HEADERS_MAX)), 431),
            ("GET /chat", "GET http://example.com/chat", 101),
            ("GET /chat", "GET /chat?x", 101),
        ] {
            let head = HANDSHAKE.replacen(what, with, 1);
            assert_ne!(head, HANDSHAKE, "{what} is in the handshake");
            assert_eq!(status(&head), expected, "{what:?} -> {with:?}");
        }
    }

    #[test]
    fn a_refused_version_names_the_one_spoken() {
        let refusal = parse(HANDSHAKE.replace(": 13", ": 8").as_bytes()).unwrap_err();
        assert_eq!(refusal.field, Some(("Sec-WebSocket-Version", "13".into())));
    }

    #[test]
    fn the_query_is_decoded() {
        for (target, name) in [
            ("/chat", ""),
            ("/chat?username=alice", "alice"),
            ("/chat?room=x&username=alice&username=bob", "alice"),
            ("/chat?username=two+words%21", "two words!"),
            ("/chat?username=J%C3%BCrgen", "Jürgen"),
            ("/chat?username=%ff%fe", "\u{fffd}\u{fffd}"),
            ("/chat?username=%zz%4", "%zz%4"),
            ("/chat?user%6eame=a%26b%3Dc", "a&b=c"),
            ("http://example.com/chat?username=alice", "alice"),
        ] {
            assert_eq!(username(target), name, "{target}");
        }
    }

    #[test]
    fn other_paths_are_told_apart() {
        let get = |path: &str, head_only| Ok(Request::Get { path: path.to_owned(), head_only });
        assert_eq!(parse(b"GET /?a=b HTTP/1.1\r\n\r\n"), get("/", false));
        assert_eq!(parse(b"HEAD /health HTTP/1.0\n\n"), get("/health", true));
        assert_eq!(parse(b"GET http://box HTTP/1.1\r\n\r\n"), get("/", false));
        assert_eq!(
            parse(b"POST /chat/ HTTP/1.1\r\n\r\n"),
            Ok(Request::Other { path: "/chat/".to_owned() })
        );
    }

    #[test]
    fn the_blank_line_is_found_at_every_cut() {
        for head in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n"] {
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
