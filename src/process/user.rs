//! Who the process is: root binds, and then becomes somebody who may do nothing else.

use std::str::FromStr;
use std::{fmt, fs, io};

use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid, set_thread_uid,
};

/// Where users are looked up. The system's own way would load its name service at run time, which
/// a static binary cannot and an empty chroot has not.
const PASSWD: &str = "/etc/passwd";

/// Whom to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// A name in /etc/passwd.
    Name(String),
    /// `UID:GID`
    Ids(Identity),
}

/// A user and its group; not root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Gives up what the process needs no more once it listens: root's rights for those of `user`, who
/// is given the files of the sockets before, by `give_files`.
///
/// # Errors
/// Who cannot be looked up or become; a sentence with what to do.
pub fn drop_privileges(
    user: Option<&User>,
    give_files: impl FnOnce(Identity) -> io::Result<()>,
) -> io::Result<()> {
    // No program that the process could start gets more rights than it has. Old kernels do not
    // know how.
    if let Err(error) = set_no_new_privs(true) {
        log::info!("cannot set no_new_privs error={:?}", error.to_string());
    }
    if let Some(user) = user {
        let identity = user.look_up()?;
        give_files(identity).map_err(|error| identity.cannot_be_assumed(&error))?;
        identity.assume()?;
        log::info!("became user={user} uid={} gid={}", identity.uid, identity.gid);
    } else if geteuid().is_root() {
        log::warn!("running as root remedy=\"--user NAME, or UID:GID\"");
    }
    Ok(())
}

impl FromStr for User {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((uid, gid)) = text.split_once(':') else { return Ok(Self::Name(text.to_owned())) };
        let identity = Identity::of(uid, gid).ok_or("expected NAME or UID:GID, like 999:999")?;
        identity.check().map(Self::Ids)
    }
}

impl fmt::Display for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(out),
            Self::Ids(Identity { uid, gid }) => write!(out, "{uid}:{gid}"),
        }
    }
}

impl User {
    /// Its numbers.
    ///
    /// # Errors
    /// A name that is not there, or root's; a sentence with what to do.
    pub fn look_up(&self) -> io::Result<Identity> {
        let name = match self {
            Self::Ids(identity) => return Ok(*identity),
            Self::Name(name) => name,
        };
        let say = |why: &str| io::Error::other(format!("--user {name}: {why}"));
        let passwd = fs::read(PASSWD)
            .map_err(|error| say(&format!("cannot read {PASSWD}: {error}; use UID:GID instead")))?;
        let identity = find(&String::from_utf8_lossy(&passwd), name)
            .ok_or_else(|| say("not in /etc/passwd; create this user, or use UID:GID"))?;
        identity.check().map_err(say)
    }
}

impl Identity {
    /// Becomes this user, without any other group, for good. The system calls change the calling
    /// thread alone; the process has no other.
    fn assume(self) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        if (geteuid(), getegid()) == (uid, gid) {
            return Ok(()); // A supervisor has seen to it.
        }
        let became = set_thread_groups(&[])
            .and_then(|()| set_thread_res_gid(gid, gid, gid))
            .and_then(|()| set_thread_res_uid(uid, uid, uid));
        became.map_err(|error| self.cannot_be_assumed(&error.into()))?;
        if set_thread_uid(Uid::ROOT).is_ok() {
            let text = "the process could still become root after --user; it does not start";
            return Err(io::Error::other(text));
        }
        Ok(())
    }

    fn cannot_be_assumed(self, error: &io::Error) -> io::Error {
        let Self { uid, gid } = self;
        let advice = "start as root, or without --user";
        let text = format!("cannot switch to user {uid}:{gid}: {error}; {advice}");
        io::Error::new(error.kind(), text)
    }

    /// Fails for root, who would give up nothing, and for -1, which means "as before".
    fn check(self) -> Result<Self, &'static str> {
        match [self.uid, self.gid] {
            ids if ids.contains(&0) => Err("this is root; choose another user"),
            ids if ids.contains(&u32::MAX) => Err("4294967295 is not a valid UID or GID"),
            _ => Ok(self),
        }
    }

    fn of(uid: &str, gid: &str) -> Option<Self> {
        Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    }
}

/// The entry of a name: `NAME:PASSWORD:UID:GID:...` (passwd(5)).
fn find(passwd: &str, name: &str) -> Option<Identity> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name) && !name.is_empty();
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        Identity::of(uid, gid).filter(|_| is_it)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: Identity = Identity { uid: 999, gid: 998 };

    #[test]
    fn a_user_is_a_name_or_two_numbers() {
        assert_eq!("hallway".parse(), Ok(User::Name("hallway".to_owned())));
        assert_eq!("999:998".parse(), Ok(User::Ids(IDS)));
        for wrong in ["999:", "a:b", "-1:5", "999:998:1", "0:5", "5:0", "4294967295:5"] {
            assert!(wrong.parse::<User>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_entry_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0::/:/bin/sh\nhall:x:1:1::/:\nbroken:x\n\nhallway:x:999:998:::\n";
        assert_eq!(find(passwd, "hallway"), Some(IDS));
        assert_eq!(find(passwd, "hallw"), None);
        assert_eq!(find(passwd, "broken"), None);
        assert_eq!(find(passwd, ""), None);
        assert!(User::Name("root".to_owned()).look_up().is_err());
    }
}
