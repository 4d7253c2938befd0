//! The versions of the protocol.

/// How a client and the server speak to each other; chosen in the handshake, for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// The original's, byte for byte, for whoever asks for no subprotocol.
    #[default]
    V1,
    /// `hallway.v2`: ids, times, acknowledgements, resuming.
    V2,
}

impl Version {
    /// All of them, in the order of [`Version::index`].
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// Its index in what is kept once per version.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The subprotocol that asks for it (RFC 6455, section 1.9).
    pub fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::V1 => None,
            Self::V2 => Some("hallway.v2"),
        }
    }

    /// The version of the first of these subprotocols that we know. They are compared byte by
    /// byte (RFC 6455, section 4.2.2).
    pub fn choose<'o>(offered: impl IntoIterator<Item = &'o [u8]>) -> Self {
        let known = |offer: &[u8]| {
            let has_name = |name: &str| name.as_bytes() == offer;
            Self::ALL.into_iter().find(|version| version.subprotocol().is_some_and(has_name))
        };
        offered.into_iter().find_map(known).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_at_its_index() {
        for (index, version) in Version::ALL.into_iter().enumerate() {
            assert_eq!(version.index(), index);
        }
    }

    #[test]
    fn the_second_version_is_asked_for_by_its_exact_name() {
        for (offered, version) in [
            (&[][..], Version::V1),
            (&["hallway.v2"], Version::V2),
            (&["chat", "hallway.v2"], Version::V2),
            (&["Hallway.v2"], Version::V1),
            (&["hallway.v3", "", ""], Version::V1),
        ] {
            let tokens = offered.iter().map(|token| token.as_bytes());
            assert_eq!(Version::choose(tokens), version, "{offered:?}");
        }
    }
}
