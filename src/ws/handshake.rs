//! The server's side of the opening handshake (RFC 6455, section 4.2).
//!
//! Each check of section 4.2.1 has its own response. tungstenite derives the accept key.

use tungstenite::handshake::derive_accept_key;

use crate::http::{Request, Response};

/// The one version of the protocol (RFC 6455, section 4.1).
const WEBSOCKET_VERSION: &[u8] = b"13";

/// Characters of a `Sec-WebSocket-Key`: 16 bytes in base64 with its padding.
const KEY_CHARS: usize = 24;

/// A handshake that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake<'h> {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// The server as the client calls it.
    pub host: &'h [u8],
    /// The origin of the page, where the client is a browser (RFC 6454).
    pub origin: Option<&'h [u8]>,
}

/// The response to a request that must ask for an upgrade and does not (RFC 9110, section
/// 15.5.22).
pub fn upgrade_required() -> Response {
    Response::text(426, "this is a WebSocket endpoint; connect with a WebSocket client")
        .with("Upgrade", "websocket")
}

/// The checks of RFC 6455, section 4.2.1, but for the method, which the caller checks by the path.
/// `None` where the request asks for no upgrade.
///
/// # Errors
/// The response to the first check that fails.
pub fn handshake<'h>(request: &Request<'h>) -> Result<Option<Handshake<'h>>, Response> {
    if !(request.has_token("Upgrade", "websocket") && request.has_token("Connection", "Upgrade")) {
        return Ok(None);
    }
    if request.minor_version != 1 {
        return Err(Response::text(505, "a WebSocket handshake needs HTTP/1.1"));
    }
    let host = request.single("Host")?;
    if request.single("Sec-WebSocket-Version")? != WEBSOCKET_VERSION {
        return Err(Response::text(426, "this server speaks WebSocket version 13")
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Version", "13"));
    }
    let key = request.single("Sec-WebSocket-Key")?;
    if !is_key(key) {
        return Err(Response::text(400, "Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    if request.announces_body() {
        return Err(Response::text(400, "a WebSocket handshake has no body"));
    }
    let accept = derive_accept_key(key);
    Ok(Some(Handshake { accept, host, origin: request.value("Origin") }))
}

/// The subprotocols that the client offers, the one it likes best first. They are compared byte
/// by byte (RFC 6455, section 4.2.2).
pub fn offered<'h>(request: &Request<'h>) -> impl Iterator<Item = &'h [u8]> {
    request.items("Sec-WebSocket-Protocol")
}

/// The 101 that opens a WebSocket (RFC 6455, section 4.2.2), with the subprotocol that was agreed
/// on, if any, and no extension.
pub fn switching_protocols(accept: &str, subprotocol: Option<&str>) -> Vec<u8> {
    let (name, value) = match subprotocol {
        Some(subprotocol) => ("\r\nSec-WebSocket-Protocol: ", subprotocol),
        None => ("", ""),
    };
    const START: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: ";
    [START, accept, name, value, "\r\n\r\n"].concat().into_bytes()
}

/// Whether `key` is the base64 of 16 bytes: 22 characters, the last of which carries two bits
/// and four zeros, and two of padding.
fn is_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix(b"==").is_some_and(|chars| {
        key.len() == KEY_CHARS
            && chars.iter().all(is_base64)
            && chars.last().is_some_and(|last| b"AQgw".contains(last))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse;

    const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\n\
        Host: example.com\r\n\
        Upgrade: websocket\r\n\
        Connection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    /// The handshake with one part of it replaced.
    fn head(what: &str, with: &str) -> String {
        let head = HANDSHAKE.replacen(what, with, 1);
        assert_ne!(head, HANDSHAKE, "{what} is in the handshake");
        head
    }

    fn judge(head: &str) -> Result<Handshake<'_>, Response> {
        handshake(&parse(head.as_bytes()).unwrap())?.ok_or_else(upgrade_required)
    }

    #[test]
    fn the_handshake_of_the_rfc() {
        // Section 1.3.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned();
        let expected = Handshake { accept, host: b"example.com", origin: None };
        assert_eq!(judge(HANDSHAKE), Ok(expected));
    }

    #[test]
    fn each_check_has_its_own_answer() {
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        for (what, with, expected) in [
            ("HTTP/1.1", "HTTP/1.0", 505),
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
            ("GET /chat", "GET http://example.com/chat", 101),
            ("GET /chat", "GET /chat?x", 101),
        ] {
            let status = judge(&head(what, with)).map_or_else(|refusal| refusal.status, |_| 101);
            assert_eq!(status, expected, "{what:?} -> {with:?}");
        }
    }

    #[test]
    fn a_refused_version_names_the_one_spoken() {
        // RFC 9110, section 15.5.22, and RFC 6455, section 4.4.
        let refusal = judge(&head(": 13", ": 8")).unwrap_err().to_bytes(true);
        let fields = "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n";
        assert!(refusal.ends_with(fields.as_bytes()));
    }

    #[test]
    fn host_and_origin_are_kept_for_the_policy() {
        let head = head("Host:", "Origin: https://example.com\r\nHost:");
        let handshake = judge(&head).unwrap();
        assert_eq!(handshake.host, b"example.com");
        assert_eq!(handshake.origin, Some(&b"https://example.com"[..]));
    }

    #[test]
    fn subprotocols_come_in_the_order_of_the_client() {
        let fields = "Sec-WebSocket-Protocol: chat, hallway.v2\r\nsec-websocket-protocol:x\r\n";
        let head = head("Host:", &format!("{fields}Host:"));
        let request = parse(head.as_bytes()).unwrap();
        assert!(offered(&request).eq([&b"chat"[..], b"hallway.v2", b"x"]));
    }

    #[test]
    fn a_101_names_what_was_agreed_on() {
        let start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: key=\r\n";
        for (subprotocol, end) in
            [(None, "\r\n"), (Some("hallway.v2"), "Sec-WebSocket-Protocol: hallway.v2\r\n\r\n")]
        {
            let bytes = switching_protocols("key=", subprotocol);
            assert_eq!(String::from_utf8(bytes).unwrap(), format!("{start}{end}"));
        }
    }
}
