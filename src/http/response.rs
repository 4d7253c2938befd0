//! The HTTP answers that the house gives (RFC 9110 and 9112). Each but the 101 ends the
//! connection.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A request that is not granted: what goes back, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// A sentence for whoever reads the answer: what, why, what to do.
    pub text: Cow<'static, str>,
    /// Header fields that the status demands.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    /// Whether the answer goes without its body, to a HEAD request.
    pub head_only: bool,
}

impl Refusal {
    /// A refusal without a header field of its own.
    pub fn new(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), fields: Vec::new(), head_only: false }
    }

    /// The same with one more header field.
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The bytes for the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = String::new();
        for (name, value) in &self.fields {
            push_field(&mut fields, name, value);
        }
        let body = format!("{}\n", self.text);
        let mut bytes = head(self.status, "text/plain; charset=utf-8", body.len(), &fields);
        if !self.head_only {
            bytes.extend_from_slice(body.as_bytes());
        }
        bytes
    }
}

/// The 101 that opens a WebSocket (RFC 6455, section 4.2.2), with the subprotocol that was agreed
/// on, if any, and no extension.
pub fn switching_protocols(accept: &str, subprotocol: Option<&str>) -> Vec<u8> {
    let mut head = String::from(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    push_field(&mut head, "Sec-WebSocket-Accept", accept);
    if let Some(subprotocol) = subprotocol {
        push_field(&mut head, "Sec-WebSocket-Protocol", subprotocol);
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// A 200 with `body`, which is left out for a HEAD request; `fields` are whole header lines.
pub fn ok(content_type: &str, fields: &str, body: &[u8], head_only: bool) -> Vec<u8> {
    let mut bytes = head(200, content_type, body.len(), fields);
    if !head_only {
        bytes.extend_from_slice(body);
    }
    bytes
}

/// A 304: what the client has is still right (RFC 9110, section 15.4.5).
pub fn not_modified(fields: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 304 {}\r\n", reason(304));
    push_field(&mut head, "Connection", "close");
    head.push_str(fields);
    head.push_str("\r\n");
    head.into_bytes()
}

fn head(status: u16, content_type: &str, len: usize, fields: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    push_field(&mut head, "Content-Type", content_type);
    push_field(&mut head, "Content-Length", &len.to_string());
    push_field(&mut head, "X-Content-Type-Options", "nosniff");
    push_field(&mut head, "Connection", "close");
    head.push_str(fields);
    head.push_str("\r\n");
    head.into_bytes()
}

fn push_field(head: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = write!(head, "{name}: {value}\r\n");
}

/// Every status of a [`Refusal`].
pub const REFUSAL_STATUSES: [u16; 10] = [400, 403, 404, 405, 408, 426, 429, 431, 503, 505];

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_reason_phrase() {
        for status in REFUSAL_STATUSES {
            assert_ne!(reason(status), reason(0), "{status}");
        }
    }

    #[test]
    fn a_refusal_says_why() {
        let refusal = Refusal::new(405, "only GET here").with("Allow", "GET, HEAD");
        assert_eq!(
            String::from_utf8(refusal.to_bytes()).unwrap(),
            "HTTP/1.1 405 Method Not Allowed\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 14\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Connection: close\r\n\
             Allow: GET, HEAD\r\n\r\n\
             only GET here\n"
        );
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let bytes = String::from_utf8(ok("text/html", "", b"<p>", true)).unwrap();
        assert!(bytes.contains("Content-Length: 3\r\n") && bytes.ends_with("\r\n\r\n"), "{bytes}");
    }
}
