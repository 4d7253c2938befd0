//! What the model knows of rates: how long a client must wait, and that it does not come sooner.

use hallway::limits::Limits;

const NS_PER_MS: u64 = 1_000_000;

/// How many tokens there may be, and how fast they come back.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    token_ns: u64,
    burst: u64,
}

impl Rate {
    /// That of so many peers together; `None` where there is none.
    pub(crate) fn of_peers(limits: &Limits, peers: u32) -> Option<Self> {
        let token_ns = (1_000 * NS_PER_MS).checked_div(limits.rate_per_second.into())?;
        let peers = u64::from(peers);
        Some(Self { token_ns: token_ns / peers, burst: u64::from(limits.burst) * peers })
    }
}

/// How many tokens are missing, as the time in which they come back, and when that was so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tokens {
    missing_ns: u64,
    at_ms: u64,
}

impl Tokens {
    pub(crate) fn draw(&mut self, now_ms: u64, rate: Rate) {
        let back_ns = (now_ms - self.at_ms) * NS_PER_MS;
        let missing_ns = self.missing_ns.saturating_sub(back_ns) + rate.token_ns;
        *self = Self { missing_ns, at_ms: now_ms };
    }

    /// When there is a token again.
    pub(crate) fn ready_ms(&self, rate: Rate) -> u64 {
        let most_ns = rate.token_ns * (rate.burst - 1);
        self.at_ms + self.missing_ns.saturating_sub(most_ns).div_ceil(NS_PER_MS)
    }
}

/// How fast one connection has sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// What it has sent for sure, and with the Pongs, of which some were asked for and cost nothing.
    least: Tokens,
    most: Tokens,
    /// When its address has a token for it.
    address_ms: u64,
}

/// What has been taken of a connection.
pub(crate) struct Taken {
    pub(crate) messages: u64,
    pub(crate) pings: u64,
    pub(crate) pongs: u64,
}

impl Pace {
    /// It has joined. `address`: the tokens of its address, where that has a rate.
    pub(crate) fn join(&mut self, now_ms: u64, address: Option<(&mut Tokens, Rate)>) {
        if let Some((tokens, rate)) = address
            && tokens.ready_ms(rate) > now_ms
        {
            self.address_ms = tokens.ready_ms(rate);
            tokens.draw(now_ms, rate);
        }
    }

    /// Some of what it has sent was taken: not before it had tokens for that.
    pub(crate) fn take(
        &mut self,
        taken: &Taken,
        now_ms: u64,
        own: Rate,
        mut address: Option<(&mut Tokens, Rate)>,
    ) {
        // Whatever their order was: a Ping makes nobody wait for its address.
        for number in 0..taken.pings + taken.messages {
            let ready_ms = self.least.ready_ms(own).max(self.address_ms);
            assert!(ready_ms <= now_ms, "a message is taken {} ms too soon", ready_ms - now_ms);
            self.least.draw(now_ms, own);
            if let Some((tokens, rate)) = address.as_mut().filter(|_| number >= taken.pings) {
                tokens.draw(now_ms, *rate);
                self.address_ms = tokens.ready_ms(*rate);
            }
        }
        for _ in 0..taken.messages + taken.pings + taken.pongs {
            self.most.draw(now_ms, own);
        }
    }

    /// When the next of its messages must have been taken.
    pub(crate) fn ready_ms(&self, own: Rate) -> u64 {
        self.most.ready_ms(own).max(self.address_ms)
    }

    /// Whether it waits for its address, and not for itself.
    pub(crate) fn waits_for_address(&self, own: Rate) -> bool {
        self.address_ms > self.most.ready_ms(own)
    }
}
