//! A request head → what it asks for, or the refusal to send.
//!
//! The checks of RFC 6455, section 4.2.1, each with its own answer. httparse splits the head into
//! lines; tungstenite derives the accept key.

use form_urlencoded::parse as parse_query;
use httparse::{EMPTY_HEADER, Error, Header, Status};
use tungstenite::handshake::derive_accept_key;

use super::envelope::Dialect;
use super::response::Refusal;
use crate::limits::{REQUEST_BYTES_MAX, REQUEST_HEADERS_MAX};

/// Where the WebSocket is.
pub const CHAT_PATH: &str = "/chat";

/// The one version of the protocol (RFC 6455, section 4.1).
const WEBSOCKET_VERSION: &[u8] = b"13";

/// Characters of a `Sec-WebSocket-Key`: 16 bytes in base64 with its padding.
const KEY_CHARS: usize = 24;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// To speak WebSocket: a complete and correct handshake, wherever.
    Upgrade(Upgrade),
    /// What a handshake with this query would get: a GET of [`CHAT_PATH`] that asks for no
    /// upgrade. Browsers do not tell a page why its handshake was refused; this tells it.
    Knock(Query),
    /// To read something else.
    Get(Get),
    /// A method that nothing here answers, on a path that may not even exist.
    Other {
        /// The path of the target, without its query.
        path: String,
    },
}

/// A GET or HEAD.
#[derive(Debug, PartialEq, Eq)]
pub struct Get {
    /// The path of the target, without its query.
    pub path: String,
    /// Whether only the head of the answer is wanted.
    pub head_only: bool,
    /// Whether the answer may be compressed by gzip.
    pub accepts_gzip: bool,
    /// The validators of what the client has already, as they were sent.
    pub if_none_match: Option<String>,
}

/// A WebSocket handshake that passed every check.
#[derive(Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The path of the target, without its query.
    pub path: String,
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// How the client wants to speak.
    pub dialect: Dialect,
    /// What the client asks for.
    pub query: Query,
    /// The server as the client calls it.
    pub host: String,
    /// The page that the client is, where it is a browser (RFC 6454).
    pub origin: Option<String>,
}

/// The query parameters of `/chat`, percent-decoded, the first of each; empty where absent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The name that is asked for.
    pub username: String,
    /// The room that is asked for.
    pub room: String,
    /// The id of the last message seen before.
    pub since: Option<String>,
    /// The epoch that `since` belongs to.
    pub epoch: Option<String>,
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
    let fields = Fields(request.headers);
    let is_chat = path == CHAT_PATH;
    if is_chat && method != "GET" {
        return Err(method_not_allowed("GET"));
    }
    if is_chat && !fields.ask_for_upgrade() {
        return Ok(Request::Knock(read_query(query)));
    }
    if is_chat || (method == "GET" && fields.has_token("Upgrade", "websocket")) {
        return handshake(path, query, request.version, &fields).map(Request::Upgrade);
    }
    let path = path.to_owned();
    if method != "GET" && method != "HEAD" {
        return Ok(Request::Other { path });
    }
    Ok(Request::Get(Get {
        path,
        head_only: method == "HEAD",
        accepts_gzip: fields.accepts_gzip(),
        if_none_match: fields.values("If-None-Match").next().map(text),
    }))
}

/// The answer to who must ask for an upgrade and does not (RFC 9110, section 15.5.22).
pub fn upgrade_required() -> Refusal {
    Refusal::new(426, "this is a WebSocket endpoint; connect with a WebSocket client")
        .with("Upgrade", "websocket")
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

/// Reads the query: percent-decoded, `+` is a space, what is no UTF-8 replaced.
fn read_query(query: &str) -> Query {
    let (mut username, mut room, mut since, mut epoch) = Default::default();
    for (key, value) in parse_query(query.as_bytes()) {
        let parameter: &mut Option<String> = match &*key {
            "username" => &mut username,
            "room" => &mut room,
            "since" => &mut since,
            "epoch" => &mut epoch,
            _ => continue,
        };
        parameter.get_or_insert_with(|| value.into_owned());
    }
    Query { username: username.unwrap_or_default(), room: room.unwrap_or_default(), since, epoch }
}

/// The checks of RFC 6455, section 4.2.1, and what a handshake that passes them all asks for.
fn handshake(
    path: &str,
    query: &str,
    version: Option<u8>,
    fields: &Fields<'_>,
) -> Result<Upgrade, Refusal> {
    if !fields.ask_for_upgrade() {
        return Err(upgrade_required());
    }
    if version != Some(1) {
        return Err(Refusal::new(505, "a WebSocket handshake needs HTTP/1.1"));
    }
    let host = fields.single("Host")?;
    if fields.single("Sec-WebSocket-Version")? != WEBSOCKET_VERSION {
        return Err(Refusal::new(426, "this server speaks WebSocket version 13")
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Version", "13"));
    }
    let key = fields.single("Sec-WebSocket-Key")?;
    if !is_key(key) {
        return Err(Refusal::new(400, "Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    if fields.announces_body() {
        return Err(Refusal::new(400, "a WebSocket handshake has no body"));
    }
    Ok(Upgrade {
        path: path.to_owned(),
        accept: derive_accept_key(key),
        dialect: fields.dialect(),
        query: read_query(query),
        host: text(host),
        origin: fields.values("Origin").next().map(text),
    })
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
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
    fn ask_for_upgrade(&self) -> bool {
        self.has_token("Upgrade", "websocket") && self.has_token("Connection", "Upgrade")
    }

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

    /// The dialect of the first subprotocol offered that we know. Tokens are compared as they
    /// are (RFC 6455, section 4.2.2).
    fn dialect(&self) -> Dialect {
        let offered = self
            .values("Sec-WebSocket-Protocol")
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii);
        let known = |token: &[u8]| {
            let mut all = Dialect::ALL.into_iter();
            all.find(|dialect| dialect.subprotocol().is_some_and(|name| name.as_bytes() == token))
        };
        offered.into_iter().find_map(known).unwrap_or_default()
    }

    /// Whether gzip is listed in `Accept-Encoding`, unless as `gzip;q=0`; weights are no matter
    /// between a file and the same file compressed.
    fn accepts_gzip(&self) -> bool {
        self.values("Accept-Encoding").flat_map(|value| value.split(|&byte| byte == b',')).any(
            |item| {
                let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
                let is_gzip =
                    parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"gzip"));
                is_gzip
                    && !parts
                        .any(|weight| matches!(weight, b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000"))
            },
        )
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
            Ok(Request::Knock(_)) => 426,
            Ok(_) => 101,
            Err(refusal) => refusal.status,
        }
    }

    fn username(target: &str) -> String {
        let head = HANDSHAKE.replacen("/chat", target, 1);
        match parse(head.as_bytes()) {
            Ok(Request::Upgrade(upgrade)) => upgrade.query.username,
            other => panic!("{target}: {other:?}"),
        }
    }

    fn upgrade(extra: &str, target: &str) -> Upgrade {
        let head =
            HANDSHAKE.replacen("/chat", target, 1).replacen("Host:", &format!("{extra}Host:"), 1);
        match parse(head.as_bytes()) {
            Ok(Request::Upgrade(upgrade)) => upgrade,
            other => panic!("{extra} {target}: {other:?}"),
        }
    }

    #[test]
    fn the_handshake_of_the_rfc() {
        // Section 1.3.
        let upgrade = Upgrade {
            path: "/chat".to_owned(),
            accept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned(),
            dialect: Dialect::First,
            query: Query::default(),
            host: "example.com".to_owned(),
            origin: None,
        };
        assert_eq!(parse(HANDSHAKE.as_bytes()), Ok(Request::Upgrade(upgrade)));
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
        let fields = [("Upgrade", "websocket".into()), ("Sec-WebSocket-Version", "13".into())];
        assert_eq!(refusal.fields, fields, "RFC 9110, section 15.5.22, and RFC 6455, section 4.4");
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
    fn all_parameters_are_read() {
        let target = "/chat?epoch=e1&room=a+b&since=17&since=18&username=alice";
        assert_eq!(
            upgrade("", target).query,
            Query {
                username: "alice".to_owned(),
                room: "a b".to_owned(),
                since: Some("17".to_owned()),
                epoch: Some("e1".to_owned()),
            }
        );
    }

    #[test]
    fn the_second_dialect_is_asked_for_by_its_exact_name() {
        for (offer, dialect) in [
            ("", Dialect::First),
            ("Sec-WebSocket-Protocol: hallway.v2\r\n", Dialect::Second),
            ("Sec-WebSocket-Protocol: chat, hallway.v2\r\n", Dialect::Second),
            (
                "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol:hallway.v2\r\n",
                Dialect::Second,
            ),
            ("Sec-WebSocket-Protocol: Hallway.v2\r\n", Dialect::First),
            ("Sec-WebSocket-Protocol: hallway.v3,,\r\n", Dialect::First),
        ] {
            assert_eq!(upgrade(offer, "/chat").dialect, dialect, "{offer:?}");
        }
    }

    #[test]
    fn host_and_origin_are_kept_for_the_policy() {
        let upgrade = upgrade("Origin: https://example.com\r\n", "/chat");
        assert_eq!(upgrade.host, "example.com");
        assert_eq!(upgrade.origin.as_deref(), Some("https://example.com"));
    }

    #[test]
    fn other_paths_are_told_apart() {
        let get = |path: &str, head_only| {
            let path = path.to_owned();
            Ok(Request::Get(Get { path, head_only, accepts_gzip: false, if_none_match: None }))
        };
        assert_eq!(parse(b"GET /?a=b HTTP/1.1\r\n\r\n"), get("/", false));
        assert_eq!(parse(b"HEAD /health HTTP/1.0\n\n"), get("/health", true));
        assert_eq!(parse(b"GET http://box HTTP/1.1\r\n\r\n"), get("/", false));
        assert_eq!(
            parse(b"POST /chat/ HTTP/1.1\r\n\r\n"),
            Ok(Request::Other { path: "/chat/".to_owned() })
        );
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
            let Ok(Request::Get(get)) = parse(head.as_bytes()) else { panic!("{accepted}") };
            assert_eq!(get.accepts_gzip, gzip, "{accepted}");
        }
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
