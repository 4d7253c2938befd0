//! Who is written to next.
//!
//! A channel with something to offer stands in a list, once. Its *pass* begins when it is first
//! picked, not when something is said: so all that was said until then is one write to each
//! reader. Its readers are looked at from the last to the first, so that the last can take the
//! index of one who leaves. Each is written to up to the log's present end. Every pass ends alike,
//! also in a channel that never falls silent: the log is trimmed, readers beyond their queue are
//! told of, who waits at the gate is woken, and where more was said meanwhile the channel goes to
//! the back of the list.
//!
//! Channels are served round-robin, one quantum each, counted in readers looked at and in bytes.
//! One that was idle goes first, once, and then stands behind the others, as in fq_codel (RFC
//! 8290). Passes and single readers alternate. So a Pong or a message in a small room passes by a
//! crowd, and a crowd gets its quanta however many small rooms talk.
//!
//! Only a reader whose socket does not take bytes can lag, and what is said to a channel during a
//! pass is bounded by its gate ([`Outbound::is_gated`]).

use super::channel::{Pass, State};
use super::{ChannelKey, NOWHERE, Outbound};
use crate::peer::PeerId;

/// Entries for which the lists keep memory between two bursts.
const ENTRIES_KEPT: usize = 256;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Write to this reader, once, when all that is [missing](Outbound::missing) is rendered.
    Write(PeerId),
    /// Its queue is more than full: dismiss it; where it has left already, drop it.
    TooSlow(PeerId),
    /// Its input need not wait any longer.
    Woken(PeerId),
    /// Everything has been written to it that ever will be.
    Finished(PeerId),
    /// Something is to be done by the owner of a channel.
    Channel(ChannelKey, Owner),
}

/// What the owner of a channel is to do; the number is the owner's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A pass begins: append what is owed.
    PassBegins(u32),
    /// A pass is over: append what had to wait.
    PassEnded(u32),
}

/// What comes of serving a channel.
enum Served {
    /// There is something to do.
    Next(Next),
    /// Its quantum is used up.
    Rotates,
    /// It is held.
    Held,
    /// It has nothing to offer.
    Idle,
    /// All of its readers have been looked at.
    Over,
}

impl Outbound {
    /// The next thing to do, until there is none.
    ///
    /// Work: over time constant for each thing to do, each reader that is looked at, and each that
    /// is behind at the end of a pass.
    pub fn poll(&mut self, now_ms: u64) -> Option<Next> {
        // At once: what is said or owed from here on is for the next pass, not lost.
        if let Some(key) = self.beginning.take()
            && let Some(channel) = self.channels.get_mut(key)
        {
            channel.begin_pass(now_ms + self.thresholds.news_ms);
        }
        if let Some(next) = self.next_told() {
            return Some(next);
        }
        self.release_held(now_ms);
        self.was_single = !self.was_single;
        let first = if self.was_single { self.next_single() } else { None };
        let next = first.or_else(|| self.next_of_passes(now_ms)).or_else(|| self.next_single());
        if next.is_none() {
            self.release();
        }
        next
    }

    fn next_told(&mut self) -> Option<Next> {
        while let Some(next) = self.told.pop_front() {
            if self.still_holds(next) {
                return Some(next);
            }
        }
        None
    }

    /// Whether what was found of a reader is still so: it may take bytes again by now.
    fn still_holds(&self, next: Next) -> bool {
        let Next::TooSlow(id) = next else { return true };
        self.readers.get(id).is_some_and(|reader| {
            let channel = self.channels.get(reader.channel);
            channel.is_some_and(|channel| reader.is_too_slow(channel, self.queue))
        })
    }

    /// Gives back what the lists have grown by in a burst.
    fn release(&mut self) {
        self.fresh.shrink_to(ENTRIES_KEPT);
        self.listed.shrink_to(ENTRIES_KEPT);
        self.held.shrink_to(ENTRIES_KEPT);
        self.singles.shrink_to(ENTRIES_KEPT);
        self.told.shrink_to(ENTRIES_KEPT);
    }

    /// When [`Outbound::poll`] has something to say, in milliseconds; `None` for not before
    /// something is changed.
    pub fn poll_timeout(&self) -> Option<u64> {
        let is_idle = self.told.is_empty()
            && self.fresh.is_empty()
            && self.listed.is_empty()
            && self.singles.is_empty();
        if is_idle { self.held.iter().map(|&(until, _)| until).min() } else { Some(0) }
    }

    /// Lists the channels that have been held for long enough.
    fn release_held(&mut self, now_ms: u64) {
        let due = self.held.extract_if(.., |(until, _)| *until <= now_ms);
        for (_, key) in due {
            if let Some(channel) = self.channels.get_mut(key) {
                channel.state = State::Listed;
                self.fresh.push_back(key);
            }
        }
    }

    fn next_single(&mut self) -> Option<Next> {
        while let Some(id) = self.singles.pop_front() {
            let Some((reader, channel)) = self.reader(id) else { continue };
            reader.is_listed = false;
            let is_ready = !reader.is_blocked && reader.has_pending(channel);
            let (key, is_member) = (reader.channel, reader.index != NOWHERE);
            // A small room's pass that is about to begin comes to it at once, with more to say.
            if is_ready && !(is_member && self.is_due_soon(key)) {
                return Some(Next::Write(id));
            }
        }
        None
    }

    /// Whether a small room's pass is about to begin. It is not held any more, though the room may
    /// become a crowd's before.
    fn is_due_soon(&mut self, key: ChannelKey) -> bool {
        self.channels.get_mut(key).is_some_and(|channel| {
            let is_due = channel.state == State::Listed
                && channel.has_more
                && channel.pass.is_none()
                && channel.readers.len() < self.thresholds.crowd;
            channel.is_pressing |= is_due;
            is_due
        })
    }

    /// What must be rendered before a reader is written to: in which channel, whose it is, and
    /// from which id on. Asked again after each [`Outbound::render`].
    pub fn missing(&mut self, id: PeerId) -> Option<(ChannelKey, u32, u64)> {
        let replay_bytes = self.thresholds.replay_bytes;
        let (reader, channel) = self.reader(id)?;
        let key = reader.channel;
        reader.replay()?;
        reader.extra.as_mut()?.skip_empty(channel);
        let Some(replay) = reader.replay() else {
            // All that was left of the past is not there any more.
            self.settle(id);
            return None;
        };
        let from = channel.blocks.missing(replay, replay_bytes)?;
        Some((key, channel.owner, from))
    }

    fn next_of_passes(&mut self, now_ms: u64) -> Option<Next> {
        loop {
            let is_fresh = !self.fresh.is_empty();
            let list = if is_fresh { &self.fresh } else { &self.listed };
            let key = *list.front()?;
            if std::mem::replace(&mut self.served, key) != key {
                (self.looked_at, self.written) = (0, 0);
            }
            let served = self.next_of_pass(key, now_ms);
            match served {
                Served::Next(next) => return Some(next),
                Served::Rotates => self.rotate(true),
                Served::Held => self.rotate(false),
                Served::Idle => {
                    self.rotate(false);
                    self.become_idle(key);
                }
                Served::Over => {
                    let (has_more, owner) = self.end_pass(key);
                    // Who has just gone first waits for the others before it may do so again.
                    let is_listed = has_more || (is_fresh && !self.listed.is_empty());
                    self.rotate(is_listed);
                    if !is_listed {
                        self.become_idle(key);
                    }
                    return Some(Next::Channel(key, Owner::PassEnded(owner)));
                }
            }
        }
    }

    /// Ends the quantum of the channel that is served, which is listed again or not.
    fn rotate(&mut self, is_listed: bool) {
        (self.looked_at, self.written) = (0, 0);
        let key = self.fresh.pop_front().or_else(|| self.listed.pop_front());
        self.listed.extend(key.filter(|_| is_listed));
    }

    fn next_of_pass(&mut self, key: ChannelKey, now_ms: u64) -> Served {
        let Some(channel) = self.channels.get_mut(key) else { return Served::Held };
        let Some(pass) = &mut channel.pass else {
            if !channel.has_more {
                return Served::Idle;
            }
            let is_crowd = channel.readers.len() >= self.thresholds.crowd;
            if is_crowd && !channel.is_pressing && now_ms < channel.news_from_ms {
                channel.state = State::Held(channel.news_from_ms);
                self.held.push((channel.news_from_ms, key));
                return Served::Held;
            }
            self.beginning = Some(key);
            return Served::Next(Next::Channel(key, Owner::PassBegins(channel.owner)));
        };
        let end = channel.log.end();
        while pass.left > 0 {
            if self.looked_at >= self.thresholds.quantum_readers
                || self.written >= self.thresholds.quantum_bytes
            {
                return Served::Rotates;
            }
            self.looked_at += 1;
            pass.left -= 1;
            let id = channel.readers[pass.left];
            let Some(reader) = self.readers.get(id).filter(|reader| !reader.is_blocked) else {
                continue;
            };
            if reader.cursor < end || reader.extra.as_ref().is_some_and(|extra| !extra.is_written())
            {
                return Served::Next(Next::Write(id));
            }
        }
        Served::Over
    }

    /// Trims the log, tells who lags too far, and wakes who waits at the gate. Whether another
    /// pass is due, and whose channel it is.
    fn end_pass(&mut self, key: ChannelKey) -> (bool, u32) {
        let Some(channel) = self.channels.get_mut(key) else { return (false, 0) };
        let Some(Pass { end, counted, .. }) = channel.pass.take() else { return (false, 0) };
        self.memory -= channel.held();
        let (mut least, mut replayed_from) = (end, None::<u64>);
        for &id in &channel.behind {
            let Some(reader) = self.readers.get(id) else { continue };
            if reader.cursor < reader.target(channel) {
                least = least.min(reader.cursor);
            }
            if let Some(replay) = reader.replay() {
                replayed_from = replayed_from.into_iter().chain([replay.next]).min();
            }
            if reader.is_too_slow(channel, self.queue) {
                self.told.push_back(Next::TooSlow(id));
            }
        }
        channel.offered = counted;
        channel.replayed_from = replayed_from;
        channel.blocks.clear();
        channel.log.trim(least);
        self.memory += channel.held();
        // Where half a queue was said during the pass, the next one opens the gate.
        if !channel.grown().reaches(self.queue, 2) {
            for parked in &mut channel.parked {
                self.told.extend(parked.drain(..).map(Next::Woken));
            }
        }
        (channel.has_more, channel.owner)
    }

    /// A channel has nothing to offer any more, and owns no memory unless somebody is behind.
    fn become_idle(&mut self, key: ChannelKey) {
        self.change_channel(key, |channel| {
            channel.state = State::Idle;
            channel.release();
        });
        self.close_unused(key);
    }
}
