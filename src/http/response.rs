//! A response, and the bytes of it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Every status of a refusal.
pub const REFUSAL_STATUSES: [u16; 11] = [400, 403, 404, 405, 408, 421, 426, 429, 431, 503, 505];

/// A response. It ends the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The media type and the bytes of the body; `None` for no body, not even an empty one.
    content: Option<(&'static str, Cow<'static, [u8]>)>,
    fields: Vec<(&'static str, Cow<'static, str>)>,
}

impl Response {
    /// A response with this body.
    pub fn new(
        status: u16,
        content_type: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Self { status, content: Some((content_type, body.into())), fields: Vec::new() }
    }

    /// A sentence for whoever reads the response, as every refusal is: what, why, what to do.
    pub fn text(status: u16, sentence: impl Into<String>) -> Self {
        let line = sentence.into() + "\n";
        Self::new(status, "text/plain; charset=utf-8", line.into_bytes())
    }

    /// A 304: what the client has is still right (RFC 9110, section 15.4.5).
    pub fn not_modified() -> Self {
        Self { status: 304, content: None, fields: Vec::new() }
    }

    /// The same with one more header field, after all others.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The sentence of a refusal, for the log.
    pub fn sentence(&self) -> &str {
        let body = self.content.as_ref().and_then(|(_, body)| body.strip_suffix(b"\n"));
        str::from_utf8(body.unwrap_or_default()).unwrap_or_default()
    }

    /// The bytes for the wire. The response to a HEAD request is `head_only`: it has no body, and
    /// its fields are those of the response to a GET.
    pub fn to_bytes(&self, head_only: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        // Writing to a String cannot fail.
        if let Some((content_type, body)) = &self.content {
            let _ =
                write!(head, "Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
            head.push_str("X-Content-Type-Options: nosniff\r\n");
        }
        head.push_str("Connection: close\r\n");
        for (name, value) in &self.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let body = self.content.as_ref().filter(|_| !head_only);
        [head.as_bytes(), body.map_or(&[], |(_, body)| body)].concat()
    }
}

/// The response to a method that a path does not know; `allow` lists those that it does.
pub fn method_not_allowed(allow: &'static str) -> Response {
    Response::text(405, format!("method not allowed here; allowed: {allow}")).with("Allow", allow)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        421 => "Misdirected Request",
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

    fn text(response: &Response, head_only: bool) -> String {
        String::from_utf8(response.to_bytes(head_only)).unwrap()
    }

    #[test]
    fn every_refusal_has_a_reason_phrase() {
        for status in REFUSAL_STATUSES {
            assert_ne!(reason(status), reason(0), "{status}");
        }
    }

    #[test]
    fn a_refusal_says_why() {
        let refusal = method_not_allowed("GET, HEAD");
        assert_eq!(refusal.sentence(), "method not allowed here; allowed: GET, HEAD");
        assert_eq!(
            text(&refusal, false),
            "HTTP/1.1 405 Method Not Allowed\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 44\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Connection: close\r\n\
             Allow: GET, HEAD\r\n\r\n\
             method not allowed here; allowed: GET, HEAD\n"
        );
    }

    #[test]
    fn a_page_has_its_own_type_and_fields() {
        let page = Response::new(200, "text/html", b"<p>").with("A", "1").with("B", "2".to_owned());
        assert_eq!(
            text(&page, false),
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\nA: 1\r\nB: 2\r\n\r\n<p>"
        );
        assert_eq!(page.sentence(), "");
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        for response in [Response::new(200, "text/html", b"<p>"), Response::text(404, "no")] {
            let (whole, head) = (text(&response, false), text(&response, true));
            assert!(head.contains("Content-Length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
            assert!(whole.starts_with(&head) && whole.len() == head.len() + 3, "{whole}");
        }
    }

    #[test]
    fn a_304_tells_nothing_of_a_body() {
        let response = Response::not_modified().with("ETag", "W/\"1\"");
        let expected = "HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: W/\"1\"\r\n\r\n";
        assert_eq!(text(&response, false), expected);
    }
}
