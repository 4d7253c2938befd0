//! The file of a Unix socket: made for its own, removed with its server, and taken over from a
//! server that could not remove it.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use mio::net::UnixStream;
use rustix::fs::Mode;
use rustix::process::umask;

use crate::process::Identity;

/// The mode of the file: its owner and its group may connect, and nobody else.
const SOCKET_MODE: u32 = 0o660;

/// The file of a Unix socket that this process has bound. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Which file it is: by the time that it is to be removed another one may have its path.
    identity: (u64, u64),
}

impl SocketFile {
    /// Binds a socket to `path`, where only its owner and its group may connect.
    ///
    /// # Errors
    /// `AddrInUse` where somebody listens there, `AlreadyExists` where the file is no socket, and
    /// what the system says.
    pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        remove_stale(path)?;
        // From the first moment nobody else may connect: a chmod would come later. The mask is the
        // process's, which has one thread.
        let mask = umask(Mode::from_raw_mode(!SOCKET_MODE) & Mode::all());
        let bound = UnixListener::bind(path);
        umask(mask);
        let socket = bound?;
        let identity = identity(&fs::symlink_metadata(path)?);
        Ok((socket, Self { path: path.to_owned(), identity }))
    }

    /// Gives it to a user; a link in its place would not be followed.
    pub(super) fn give_to(&self, Identity { uid, gid }: Identity) -> io::Result<()> {
        lchown(&self.path, Some(uid), Some(gid))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            // The next start takes it over.
            log::info!("left its socket behind path={:?} error={:?}", self.path, error.to_string());
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Removes the socket of a server that was killed: one that refuses connections. Two servers
/// that start at the same moment can both find it; a supervisor starts one.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(found) if !found.file_type().is_socket() => return Err(ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
    }
    // This connect does not wait, not even for a server whose backlog is full.
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        _ => Err(ErrorKind::AddrInUse.into()),
    }
}
