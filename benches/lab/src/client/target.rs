//! Where to connect and what to say there, as templates.

use std::net::{SocketAddr, ToSocketAddrs as _};

use super::frame::{Prototype, TEXT};
use super::stamp::STAMP_BYTES;

/// The key and its answer of RFC 6455, section 1.3. That all connections have the same key costs a
/// server neither more nor less.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A server's address and the shape of its URL and of what is said to it.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    host: String,
    /// Path and query, with `{name}` and `{room}`.
    path: String,
    /// One message, with `{text}`; `{name}` and `{room}` are replaced as well.
    message: String,
}

impl Target {
    /// A target from the URL template, like `ws://127.0.0.1:8080/chat?username={name}&room={room}`,
    /// and the message template.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which of them.
    pub fn new(url: &str, message: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("ws://").ok_or_else(|| {
            format!("--url {url}: only ws:// is spoken here; measure without TLS, behind the proxy")
        })?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let address = with_port.to_socket_addrs().ok().and_then(|mut all| all.next());
        let address = address.ok_or_else(|| format!("--url {url}: no address for {host:?}"))?;
        if !message.contains("{text}") {
            return Err(format!("--message {message}: {{text}} is missing, where the text goes"));
        }
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        Ok(Self { address, host: host.to_owned(), path, message: message.to_owned() })
    }

    /// The request that opens a WebSocket as `name` in `room`.
    pub fn request(&self, name: &str, room: &str) -> String {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            filled(&self.path, name, room),
            self.host
        )
    }

    /// The message that `name` says in `room`, with a text of `bytes` bytes that starts with the
    /// stamp.
    pub fn message(&self, name: &str, room: &str, bytes: usize) -> Prototype {
        let (before, after) = self.message.split_once("{text}").expect("checked when it was made");
        let (before, after) = (filled(before, name, room), filled(after, name, room));
        let text = "x".repeat(bytes.max(STAMP_BYTES));
        Prototype::new(TEXT, format!("{before}{text}{after}").as_bytes(), before.len())
    }
}

fn filled(template: &str, name: &str, room: &str) -> String {
    template.replace("{name}", name).replace("{room}", room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled() {
        let target =
            Target::new("ws://127.0.0.1:90/c?u={name}&r={room}", "[\"{room}\",\"{text}\"]");
        let target = target.unwrap();
        assert_eq!(target.address, "127.0.0.1:90".parse().unwrap());
        let request = target.request("ann", "hall");
        assert!(request.starts_with("GET /c?u=ann&r=hall HTTP/1.1\r\nHost: 127.0.0.1:90\r\n"));
        assert!(request.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_bare_host_gets_a_port_and_a_path() {
        let target = Target::new("ws://127.0.0.1", "{text}").unwrap();
        assert_eq!(target.address.port(), 80);
        assert!(target.request("", "").starts_with("GET / HTTP/1.1\r\n"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |url, message| Target::new(url, message).unwrap_err();
        assert!(said("wss://127.0.0.1/", "{text}").contains("ws://"));
        assert!(said("ws://127.0.0.1:x/", "{text}").contains("127.0.0.1:x"));
        assert!(said("ws://127.0.0.1/", "text").contains("{text} is missing"));
    }
}
