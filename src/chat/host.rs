//! By which names the server may be called.
//!
//! Whoever has a name on the web can let it resolve to the server's own address, and a visitor's
//! browser then takes his page for the server's own (DNS rebinding). Its `Host` tells. An address or
//! `localhost` in its place is no name that somebody else can have.

use std::net::IpAddr;

/// The names by which the server may be called; any, where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Adds one.
    ///
    /// # Errors
    /// What is no name of a host; what is expected instead.
    pub fn add(&mut self, name: &str) -> Result<(), String> {
        if !is_host_name(name) {
            let expected = "expected the name of a host without scheme, port or path";
            return Err(format!("{expected}, like chat.example.org; xn--... if it is not ASCII"));
        }
        self.0.push(name.to_owned());
        Ok(())
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether a request may have this `Host`, whatever its port.
    pub(super) fn admit(&self, host: &str) -> bool {
        let name = without_port(host);
        // A name that ends in a dot is the same, spelt out.
        let bare = name.strip_suffix('.').unwrap_or(name);
        self.0.is_empty()
            || is_localhost(name)
            || address(name).is_some()
            || self.0.iter().any(|one| one.eq_ignore_ascii_case(bare))
    }
}

/// A host without the port after it.
pub(super) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The address that a host is, if it is one.
pub(super) fn address(host: &str) -> Option<IpAddr> {
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    v6.unwrap_or(host).parse().ok()
}

pub(super) fn is_localhost(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
}

/// Whether a host is a name of plain characters.
pub(super) fn is_host_name(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    host.starts_with(|first: char| first.is_ascii_alphanumeric()) && host.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_is_refused_whatever_its_port() {
        let mut hosts = Hosts::default();
        assert!(hosts.admit("evil.example"), "where none is given, any will do");
        hosts.add("chat.example").unwrap();
        for (host, is_admitted) in [
            ("chat.example", true),
            ("CHAT.example.:8080", true),
            ("chat.example:", true),
            ("192.0.2.1:8080", true),
            ("[2001:db8::1]:8080", true),
            ("localhost:8080", true),
            ("evil.example", false),
            ("evil.example:8080", false),
            ("chat.example.evil.example", false),
            ("chat.example@evil.example", false),
            ("localhost.evil.example", false),
            ("192.0.2.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(hosts.admit(host), is_admitted, "{host}");
        }
    }

    #[test]
    fn a_name_has_no_scheme_port_or_path() {
        let mut hosts = Hosts::default();
        for bad in ["http://a", "a:80", "a/", "", "-a", "b\u{fc}cher.example", "*.example", "a b"] {
            assert!(hosts.add(bad).is_err(), "{bad}");
        }
    }
}
