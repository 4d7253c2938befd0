//! How many WebSockets come from one address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::peer::{PeerId, PeerMap};

/// Where each connection comes from, and how many WebSockets come from each address; nothing
/// unless that is limited.
#[derive(Debug)]
pub(super) struct Addresses {
    /// WebSockets from one address, 0 for any number.
    max: u32,
    pub(super) of: PeerMap<IpAddr>,
    open: BTreeMap<IpAddr, u32>,
}

impl Addresses {
    pub(super) fn new(max: u32) -> Self {
        Self { max, of: PeerMap::default(), open: BTreeMap::new() }
    }

    /// A connection was taken in.
    pub(super) fn insert(&mut self, id: PeerId, ip: Option<IpAddr>) {
        if let Some(ip) = ip.filter(|_| self.max > 0) {
            self.of.insert(id, ip);
        }
    }

    /// Whether a connection's address has as many WebSockets as it may.
    pub(super) fn is_full(&self, id: PeerId) -> bool {
        let count = self.of.get(id).and_then(|ip| self.open.get(ip));
        count.is_some_and(|&count| count >= self.max)
    }

    /// It has become a WebSocket.
    pub(super) fn count(&mut self, id: PeerId) {
        if let Some(ip) = self.of.get(id) {
            *self.open.entry(*ip).or_default() += 1;
        }
    }

    /// It is one no longer.
    pub(super) fn uncount(&mut self, id: PeerId) {
        if let Some(ip) = self.of.get(id)
            && let Some(count) = self.open.get_mut(ip)
        {
            *count -= 1;
            if *count == 0 {
                self.open.remove(ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_full_until_one_of_its_websockets_ends() {
        let ids = [0, 1, 2].map(|slot| PeerId::new(slot, slot));
        let mut addresses = Addresses::new(1);
        ids[..2].iter().for_each(|&id| addresses.insert(id, Some([192, 0, 2, 1].into())));
        addresses.insert(ids[2], Some([192, 0, 2, 2].into()));
        addresses.count(ids[0]);
        assert_eq!(ids.map(|id| addresses.is_full(id)), [true, true, false]);
        addresses.uncount(ids[0]);
        addresses.of.remove(ids[0]);
        assert!(!addresses.is_full(ids[1]) && addresses.open.is_empty());
    }
}
