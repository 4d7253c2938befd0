//! The table of settings: the one place where an option is named, described and given a meaning.

use log::LevelFilter;

use super::Options;
use super::values::{add_origin, number, parts, size, time, title};
use crate::limits::{
    ANNOUNCE_UP_TO, BURST, HISTORY_FRAMES, JOINS, MEMORY, MESSAGE_BYTES, PEERS, PEERS_PER_IP,
    PING_MS, QUEUE_BYTES, QUEUE_FRAMES, RATE, ROOMS, TEXT_BYTES,
};

/// One option: how it is called, what it takes, and what it does.
#[derive(Debug)]
pub struct Setting {
    /// The heading that it stands under.
    pub group: &'static str,
    /// Without the dashes.
    pub name: &'static str,
    /// What stands for the value in the help.
    pub value: &'static str,
    /// What it does [and what holds without it].
    pub help: &'static str,
    /// Reads a value.
    pub(super) set: fn(&mut Options, &str) -> Result<(), String>,
}

impl Setting {
    /// The environment variable: `--queue-bytes` is `HALLWAY_QUEUE_BYTES`.
    pub fn variable(&self) -> String {
        variable(self.name)
    }
}

/// What the names of all our variables begin with.
pub(super) const VARIABLE_PREFIX: &str = "HALLWAY_";

/// The variable of an option of this name.
pub(super) fn variable(name: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// What takes no value and is no setting: something else to do than to serve.
#[derive(Debug)]
pub struct Flag {
    /// Its other name, of one character.
    pub short: Option<char>,
    /// Without the dashes.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// All flags.
pub const FLAGS: &[Flag] = &[
    Flag { short: None, name: "check", help: "check all options, show what they mean, and exit" },
    Flag { short: Some('h'), name: "help", help: "show this help" },
    Flag { short: Some('V'), name: "version", help: "show the version" },
];

/// All settings, in the order of the help.
pub const SETTINGS: &[Setting] = &[
    Setting {
        group: "Network",
        name: "listen",
        value: "ADDR:PORT",
        help: "listen here or on unix:PATH; repeatable [0.0.0.0:8080]",
        set: |to, value| {
            for address in parts(value) {
                to.listen.push(address.parse()?);
            }
            Ok(())
        },
    },
    Setting {
        group: "Network",
        name: "origin",
        value: "ORIGIN",
        help: "also allow pages of ORIGIN (any: of all); repeatable",
        set: |to, value| parts(value).try_for_each(|origin| add_origin(&mut to.origins, origin)),
    },
    Setting {
        group: "Network",
        name: "host",
        value: "NAME",
        help: "refuse requests to other names than NAME; repeatable",
        set: |to, value| parts(value).try_for_each(|name| to.hosts.add(name)),
    },
    Setting {
        group: "Chat",
        name: "title",
        value: "TEXT",
        help: "what the page calls itself [Hallway]",
        set: |to, value| title(value, &mut to.title),
    },
    Setting {
        group: "Chat",
        name: "welcome",
        value: "FILE",
        help: "a text that the page shows to those who enter",
        set: |to, value| {
            to.welcome = Some(value.into());
            Ok(())
        },
    },
    Setting {
        group: "Chat",
        name: "history",
        value: "N",
        help: "recent messages sent to each client that joins [100]",
        set: |to, value| number(value, HISTORY_FRAMES, &mut to.limits.history_frames_max),
    },
    Setting {
        group: "Chat",
        name: "text-bytes",
        value: "SIZE",
        help: "longest text of a chat message [4096]",
        set: |to, value| size(value, TEXT_BYTES, &mut to.limits.text_bytes_max),
    },
    Setting {
        group: "Chat",
        name: "announce-up-to",
        value: "N",
        help: "join/leave notices in rooms of up to N members [200]",
        set: |to, value| number(value, ANNOUNCE_UP_TO, &mut to.limits.announce_up_to),
    },
    Setting {
        group: "Limits",
        name: "memory",
        value: "SIZE",
        help: "memory for clients and rooms [a quarter, at most 256M]",
        set: |to, value| size(value, MEMORY, to.memory.insert(0)),
    },
    Setting {
        group: "Limits",
        name: "rooms-max",
        value: "N",
        help: "rooms at once [1000]",
        set: |to, value| number(value, ROOMS, &mut to.limits.rooms_max),
    },
    Setting {
        group: "Limits",
        name: "max-peers",
        value: "N",
        help: "clients at once; more get 503 [from ulimit -n]",
        set: |to, value| number(value, PEERS, to.max_peers.insert(0)),
    },
    Setting {
        group: "Limits",
        name: "max-peers-per-ip",
        value: "N",
        help: "clients from one address (IPv6: /64); 0: no limit [0]",
        set: |to, value| number(value, PEERS_PER_IP, &mut to.limits.peers_per_ip_max),
    },
    Setting {
        group: "Limits",
        name: "joins",
        value: "N",
        help: "joins per minute from one address; 0: no limit [300]",
        set: |to, value| number(value, JOINS, &mut to.limits.joins_per_minute),
    },
    Setting {
        group: "Limits",
        name: "queue-frames",
        value: "N",
        help: "disconnect a client that is N frames behind [256]",
        set: |to, value| number(value, QUEUE_FRAMES, &mut to.limits.queue_frames_max),
    },
    Setting {
        group: "Limits",
        name: "queue-bytes",
        value: "SIZE",
        help: "disconnect a client that is SIZE bytes behind [1M]",
        set: |to, value| size(value, QUEUE_BYTES, &mut to.limits.queue_bytes_max),
    },
    Setting {
        group: "Limits",
        name: "message-bytes",
        value: "SIZE",
        help: "longest WebSocket message; beyond: Close 1009 [16K]",
        set: |to, value| size(value, MESSAGE_BYTES, &mut to.limits.message_bytes_max),
    },
    Setting {
        group: "Limits",
        name: "rate",
        value: "N",
        help: "messages per second from each client; 0: no limit [10]",
        set: |to, value| number(value, RATE, &mut to.limits.rate_per_second),
    },
    Setting {
        group: "Limits",
        name: "burst",
        value: "N",
        help: "messages from a client at once, before the rate [50]",
        set: |to, value| number(value, BURST, &mut to.limits.burst),
    },
    Setting {
        group: "Limits",
        name: "ping",
        value: "TIME",
        help: "ping idle clients after TIME; disconnect after 2.5 x TIME; 0: never [30s]",
        set: |to, value| time(value, PING_MS, &mut to.limits.ping_ms),
    },
    Setting {
        group: "Process",
        name: "user",
        value: "NAME",
        help: "user, or UID:GID, to switch to when started as root",
        set: |to, value| {
            to.user = Some(value.parse()?);
            Ok(())
        },
    },
    Setting {
        group: "Process",
        name: "log",
        value: "LEVEL",
        help: "log level: error, warn, info or debug [info]",
        set: |to, value| {
            let known =
                [LevelFilter::Error, LevelFilter::Warn, LevelFilter::Info, LevelFilter::Debug];
            let named =
                known.into_iter().find(|level| level.as_str().to_ascii_lowercase() == value);
            to.log = named.ok_or("expected error, warn, info or debug")?;
            Ok(())
        },
    },
];
