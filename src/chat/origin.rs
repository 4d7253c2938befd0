//! Which web pages may connect.
//!
//! A browser lets any page open a WebSocket to anywhere and says in `Origin` which page it is
//! (RFC 6455, section 10.2). Without a check every page on the web could speak for a visitor who
//! is on the same network as the box. Programs that are no browser send what they like; the
//! policy is no defence against them.

use super::host::{address, is_host_name, is_localhost, without_port};

/// Which web pages may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Those of the server itself and those of the visitor's own machine.
    #[default]
    Own,
    /// Those, and the ones listed.
    Listed(Vec<String>),
    /// All.
    Any,
}

impl Origins {
    /// Whether a client may connect that calls itself `origin` and the server `host`.
    pub(super) fn admit(&self, origin: Option<&str>, host: &str) -> bool {
        let Some(origin) = origin else { return true };
        match self {
            Self::Any => true,
            Self::Own => is_own(origin, host),
            Self::Listed(listed) => {
                is_own(origin, host) || listed.iter().any(|one| one.eq_ignore_ascii_case(origin))
            }
        }
    }
}

/// Whether the page comes from the server itself, or from the machine that the browser runs on.
fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |authority: &str| {
        authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase()
    };
    bare(authority) == bare(host) || is_loopback(authority)
}

fn is_loopback(authority: &str) -> bool {
    let name = without_port(authority);
    is_localhost(name) || address(name).is_some_and(|ip| ip.is_loopback())
}

/// The origin, where it is a page's of the web with a host of plain characters. No other is ever
/// shown to an operator to be pasted: a peer has chosen it.
pub(super) fn plain(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let host = without_port(authority);
    let is_plain = is_host_name(host) || address(host).is_some();
    (matches!(scheme, "http" | "https") && is_plain).then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "box.lan:8080";

    #[test]
    fn by_default_pages_of_the_server_and_of_this_machine() {
        for (origin, admitted) in [
            (None, true),
            (Some("http://box.lan:8080"), true),
            (Some("http://BOX.lan:8080"), true),
            (Some("https://box.lan:8080"), true),
            (Some("http://box.lan"), false),
            (Some("http://box.lan:8081"), false),
            (Some("http://evil.example"), false),
            (Some("http://box.lan:8080.evil.example"), false),
            (Some("http://localhost:3000"), true),
            (Some("http://LOCALHOST"), true),
            (Some("http://127.0.0.1:5173"), true),
            (Some("http://[::1]:5173"), true),
            (Some("http://[::1]"), true),
            (Some("http://localhost.evil.example"), false),
            (Some("http://127.0.0.1.evil.example"), false),
            (Some("file://"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            assert_eq!(Origins::Own.admit(origin, HOST), admitted, "{origin:?}");
        }
    }

    #[test]
    fn default_ports_go_without_saying() {
        assert!(Origins::Own.admit(Some("https://chat.example"), "chat.example:443"));
        assert!(Origins::Own.admit(Some("http://chat.example:80"), "chat.example"));
        assert!(!Origins::Own.admit(Some("http://chat.example:443"), "chat.example"));
    }

    #[test]
    fn what_a_shell_could_take_for_more_than_an_origin_is_not_plain() {
        for good in ["http://a.example", "https://a-b.example:8443", "http://[2001:db8::1]:80"] {
            assert_eq!(plain(good), Some(good));
        }
        for bad in [
            "http://x.example;reboot",
            "http://x.example:80;reboot",
            "http://$(reboot)",
            "http://x.example/`reboot`",
            "http://x.example a",
            "http://-x",
            "http://[::1",
            "http://user@x.example",
            "http://",
            "file://x",
            "HTTP://x",
            "null",
            "any",
            "x.example",
        ] {
            assert_eq!(plain(bad), None, "{bad}");
        }
    }

    #[test]
    fn listed_pages_come_on_top() {
        let origins = Origins::Listed(vec!["https://ok.example".to_owned()]);
        assert!(origins.admit(Some("https://OK.example"), HOST));
        assert!(origins.admit(Some("http://box.lan:8080"), HOST));
        assert!(!origins.admit(Some("http://ok.example"), HOST));
        assert!(Origins::Any.admit(Some("null"), HOST));
    }
}
