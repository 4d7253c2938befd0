//! Where connections come from: what one address has, and how much it may.
//!
//! An address is an IPv4 address or a /64 of IPv6, which is what one subscriber gets. Unix sockets
//! have none; all their connections count as one address, which has no rates and any number of
//! connections. Loopback has no rates either: behind a proxy on the same machine everybody comes
//! from there.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use slab::Slab;

use super::pace::{Bucket, Rate};
use crate::clock::Now;
use crate::limits::{ADDRESSES_KEPT, JOINS_PERIOD_MS, Limits, PENDING_PER_ADDRESS_MAX};

/// Which address: its slot in [`Addresses`].
pub(super) type Key = u32;

/// What one address has.
#[derive(Debug, Default)]
struct Address {
    ip: Option<IpAddr>,
    connections: u32,
    /// Connections that are or were WebSockets.
    websockets: u32,
    messages: Bucket,
    joins: Bucket,
    /// It stands in `resting`.
    is_resting: bool,
}

/// All addresses that have connections, or have used up some of what they may.
#[derive(Debug)]
pub(super) struct Addresses {
    all: Slab<Address>,
    keys: BTreeMap<Option<IpAddr>, Key>,
    /// Addresses without connections, until their buckets are full.
    resting: VecDeque<Key>,
    websockets_max: u32,
    message_rate: Option<Rate>,
    join_rate: Option<Rate>,
}

impl Addresses {
    pub(super) fn new(limits: &Limits) -> Self {
        let message_rate = Rate::new(limits.rate_per_second, 1_000, limits.burst);
        let (all, keys, resting) = Default::default();
        Self {
            all,
            keys,
            resting,
            websockets_max: limits.peers_per_ip_max,
            message_rate: message_rate.map(|rate| rate.times(limits.address_peers)),
            join_rate: Rate::new(limits.joins_per_minute, JOINS_PERIOD_MS, limits.joins_per_minute),
        }
    }

    /// The address itself: `None` for a Unix socket.
    pub(super) fn ip(&self, key: Key) -> Option<IpAddr> {
        self.all.get(key as usize)?.ip
    }

    /// The address of a new connection; `None` where it has as many as it may.
    pub(super) fn open(&mut self, ip: Option<IpAddr>, now: Now) -> Option<Key> {
        self.forget_rested(now);
        if self.has_too_many(ip) {
            return None;
        }
        let ip = ip.map(network);
        let key = match self.keys.get(&ip) {
            Some(&key) => key,
            None => self.insert(ip),
        };
        self.all[key as usize].connections += 1;
        Some(key)
    }

    /// Whether an address has as many connections as it may, in any phase.
    pub(super) fn has_too_many(&self, ip: Option<IpAddr>) -> bool {
        let key = self.keys.get(&ip.map(network)).copied();
        key.is_some_and(|key| {
            let most = self.websockets_max(key).saturating_add(PENDING_PER_ADDRESS_MAX);
            self.all.get(key as usize).is_some_and(|address| address.connections >= most)
        })
    }

    fn insert(&mut self, ip: Option<IpAddr>) -> Key {
        let address = Address { ip, ..Address::default() };
        // There are not more than connections and those that are kept.
        let key = Key::try_from(self.all.insert(address)).unwrap_or(Key::MAX);
        self.keys.insert(ip, key);
        key
    }

    /// A connection of this address is gone.
    pub(super) fn close(&mut self, key: Key, was_websocket: bool) {
        let Some(address) = self.all.get_mut(key as usize) else { return };
        address.connections -= 1;
        address.websockets -= u32::from(was_websocket);
        if address.connections == 0 && !address.is_resting {
            address.is_resting = true;
            self.resting.push_back(key);
        }
    }

    /// Forgets addresses that have no connection, when their buckets are full or there are too
    /// many of them. Work: constant.
    fn forget_rested(&mut self, now: Now) {
        for _ in 0..2 {
            let Some(key) = self.resting.pop_front() else { return };
            let is_one_too_many = self.resting.len() >= ADDRESSES_KEPT;
            let Some(address) = self.all.get_mut(key as usize) else { return };
            let is_full =
                address.messages.is_full(now.mono_ms) && address.joins.is_full(now.mono_ms);
            if address.connections > 0 {
                address.is_resting = false;
            } else if is_full || is_one_too_many {
                let Address { ip, .. } = self.all.remove(key as usize);
                self.keys.remove(&ip);
            } else {
                self.resting.push_back(key);
            }
        }
    }

    // --- WebSockets

    fn websockets_max(&self, key: Key) -> u32 {
        match self.websockets_max {
            0 => u32::MAX,
            most => self.ip(key).map_or(u32::MAX, |_| most),
        }
    }

    /// Whether an address has as many WebSockets as it may.
    pub(super) fn is_full(&self, key: Key) -> bool {
        let count = self.all.get(key as usize).map_or(0, |address| address.websockets);
        count >= self.websockets_max(key)
    }

    /// A connection has become a WebSocket. It stays one for its address until it is gone. Whether
    /// that was the last for which the address had a token.
    pub(super) fn join(&mut self, key: Key, now: Now) -> bool {
        let Some(address) = self.all.get_mut(key as usize) else { return false };
        address.websockets += 1;
        let Some(rate) = self.join_rate else { return false };
        let had_one = address.joins.ready_ms(rate) <= now.mono_ms;
        let ready_ms = address.joins.draw(now.mono_ms, rate);
        had_one && ready_ms > now.mono_ms
    }

    /// How long an address must wait until one more of its connections may join, in milliseconds:
    /// 0 for not at all.
    pub(super) fn join_wait_ms(&self, key: Key, now: Now) -> u64 {
        if !self.is_rated(key) {
            return 0;
        }
        let address = self.all.get(key as usize).zip(self.join_rate);
        let ready_ms = address.map_or(0, |(address, rate)| address.joins.ready_ms(rate));
        ready_ms.saturating_sub(now.mono_ms)
    }

    /// Whether an address has rates. See above.
    pub(super) fn is_rated(&self, key: Key) -> bool {
        self.ip(key).is_some_and(|ip| !ip.is_loopback())
    }

    /// A peer has sent a message: from when on the address has a token for its next one, in
    /// milliseconds.
    pub(super) fn draw(&mut self, key: Key, now: Now) -> u64 {
        if !self.is_rated(key) {
            return 0;
        }
        let address = self.all.get_mut(key as usize).zip(self.message_rate);
        address.map_or(0, |(address, rate)| address.messages.draw(now.mono_ms, rate))
    }

    /// From when on a newcomer may send its first message, in milliseconds. Where its address has
    /// no token left, it gets the next one that nobody waits for: else each connection would bring
    /// a message of credit.
    pub(super) fn first_ready_ms(&mut self, key: Key, now: Now) -> u64 {
        let address = self.all.get(key as usize).zip(self.message_rate);
        let ready_ms = address.map_or(0, |(address, rate)| address.messages.ready_ms(rate));
        if ready_ms > now.mono_ms {
            self.draw(key, now);
        }
        ready_ms
    }

    /// Panics where the parts do not agree with so many connections. Work: everything; for tests.
    pub(super) fn check_invariants(&self, connections: usize) {
        let counted: usize = self.all.iter().map(|(_, of)| of.connections as usize).sum();
        assert_eq!(counted, connections, "each has an address");
        assert_eq!(self.all.len(), self.keys.len());
        let is_kept = |address: &Address| address.connections > 0 || address.is_resting;
        assert!(self.all.iter().all(|(_, address)| is_kept(address)), "who rests is forgotten");
    }
}

/// The network that counts as one address.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 4] = [192, 0, 2, 1];
    const B: [u8; 4] = [192, 0, 2, 2];

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, ..Now::default() }
    }

    fn addresses(limits: Limits) -> Addresses {
        Addresses::new(&limits)
    }

    #[test]
    fn a_subscriber_is_one_address() {
        let of = |ip: &str| network(ip.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(
            (of("192.0.2.1"), of("::ffff:192.0.2.1")),
            ("192.0.2.1".into(), "192.0.2.1".into())
        );
    }

    #[test]
    fn an_address_is_full_until_one_of_its_websockets_is_gone() {
        let mut addresses = addresses(Limits { peers_per_ip_max: 1, ..Limits::default() });
        let key = addresses.open(Some(A.into()), at(0)).unwrap();
        assert!(!addresses.is_full(key));
        addresses.join(key, at(0));
        assert!(addresses.is_full(key));
        for _ in 0..PENDING_PER_ADDRESS_MAX {
            addresses.open(Some(A.into()), at(0)).unwrap();
        }
        assert_eq!(addresses.open(Some(A.into()), at(0)), None, "with those that are pending");
        assert!(addresses.open(Some(B.into()), at(0)).is_some());
        addresses.close(key, true);
        assert!(!addresses.is_full(key));
    }

    #[test]
    fn what_an_address_has_used_up_outlasts_its_connections_and_is_forgotten() {
        let mut addresses = addresses(Limits { joins_per_minute: 2, ..Limits::default() });
        for _ in 0..2 {
            let key = addresses.open(Some(A.into()), at(0)).unwrap();
            assert_eq!(addresses.join_wait_ms(key, at(0)), 0);
            addresses.join(key, at(0));
            addresses.close(key, true);
        }
        let key = addresses.open(Some(A.into()), at(0)).unwrap();
        assert_eq!(addresses.join_wait_ms(key, at(10_000)), 20_000);
        addresses.close(key, false);
        let other = addresses.open(Some(B.into()), at(60_000)).unwrap();
        addresses.close(other, false);
        assert_eq!(addresses.all.len(), 1, "its bucket is full");
    }

    #[test]
    fn unix_sockets_and_loopback_have_no_rates() {
        let limits = Limits { rate_per_second: 1, burst: 1, address_peers: 2, ..Limits::default() };
        let mut addresses = addresses(limits);
        for (ip, is_rated) in [(None, false), (Some([127, 0, 0, 1]), false), (Some(A), true)] {
            let key = addresses.open(ip.map(IpAddr::from), at(0)).unwrap();
            let ready: Vec<u64> = (0..3).map(|_| addresses.draw(key, at(0))).collect();
            assert_eq!(ready, if is_rated { [0, 500, 1_000] } else { [0; 3] }, "{ip:?}");
        }
    }
}
