//! What is left to the process once it serves: the sockets that it has and takes in, time, memory,
//! and files to read. Behind the feature `confine`; a filter of the kernel's (seccomp(2)).
//!
//! Whoever takes the process over gets no new socket, no connection to elsewhere, no other program
//! and no file to write: such calls fail with EPERM. The list is what the server calls, with what
//! glibc and musl call for it; `packaging/test confined` compares it with a traced server.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::io;

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
compile_error!("the feature confine needs x86_64, aarch64 or riscv64: seccompiler knows no other");

/// Calls that are free, whatever their arguments.
const FREE: &[i64] = &[
    // the poll, and whether the log can be written
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_epoll_ctl,
    // sockets that are there, and those that come in
    libc::SYS_accept4,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    // time, where the kernel's page for it does not do
    libc::SYS_clock_gettime,
    // memory
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // files to read: the zone, and /proc for its own memory
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_readlinkat,
    // signals, threads' ends and the process's own
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // older names of some of them, which only x86_64 has
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
];

/// What removes the file of a Unix socket.
const REMOVING: &[i64] = &[
    libc::SYS_unlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
];

/// Calls that are free where an argument has none of these bits: which, and where it stands.
const WITHOUT: &[(i64, u8, i32)] = &[
    (libc::SYS_openat, 2, TO_WRITE),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1, TO_WRITE),
    (libc::SYS_mmap, 2, libc::PROT_EXEC),
    (libc::SYS_mprotect, 2, libc::PROT_EXEC),
];

/// Flags of open(2) by which a file could be changed or made.
const TO_WRITE: i32 = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;

/// Refuses to this thread, from here on, whatever serving does not need; the process has no other.
/// Files can be removed only where it `has_socket_file`.
///
/// # Errors
/// A kernel that has no such filters; a sentence with what to do.
pub fn confine(has_socket_file: bool) -> io::Result<()> {
    let program = program(has_socket_file).map_err(|error| io::Error::other(error.to_string()))?;
    apply_filter(&program).map_err(|error| {
        io::Error::other(format!(
            "cannot confine itself: {error}; this kernel needs CONFIG_SECCOMP_FILTER, or this \
             program a build without the feature confine"
        ))
    })
}

fn program(has_socket_file: bool) -> Result<BpfProgram, seccompiler::BackendError> {
    let removing = if has_socket_file { REMOVING } else { &[] };
    let free = FREE.iter().chain(removing).map(|&call| (call, Vec::new()));
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = free.collect();
    for &(call, argument, bits) in WITHOUT {
        let mask = SeccompCmpOp::MaskedEq(u64::from(bits.unsigned_abs()));
        let is_none_set = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, mask, 0)?;
        rules.insert(call, vec![SeccompRule::new(vec![is_none_set])?]);
    }
    let refused = SeccompAction::Errno(Errno::PERM.raw_os_error().unsigned_abs());
    let target = TargetArch::try_from(ARCH)?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, target)?.try_into()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixDatagram;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;

    /// Runs in a thread of its own, which alone is confined.
    fn confined<T: Send>(has_socket_file: bool, run: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                confine(has_socket_file).expect("a filter");
                run()
            });
            thread.join().expect("an end")
        })
    }

    fn refused<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    #[test]
    fn what_serving_needs_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("one")).expect("a place");
        client.write_all(b"hello").expect("it is sent");
        let (heard, read) = confined(false, || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).expect("what it said");
            (heard, fs::read_to_string("/proc/self/status").expect("a file"))
        });
        assert_eq!(&heard, b"hello");
        assert!(read.contains("VmRSS"));
    }

    #[test]
    fn all_else_is_refused() {
        let path = std::env::temp_dir().join(format!("hallway-{}-confined", std::process::id()));
        fs::write(&path, "precious").expect("a file");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let answers = confined(false, || {
            [
                refused(UnixDatagram::unbound()),
                refused(TcpListener::bind("127.0.0.1:0")),
                refused(TcpStream::connect(address)),
                refused(Command::new("/bin/true").spawn()),
                // Asked before it is looked for: a program that exists would take the test's place.
                refused::<()>(Err(Command::new("/no/program").exec())),
                refused(File::create(&path)),
                refused(File::options().append(true).open(&path)),
                refused(fs::create_dir(path.with_extension("folder"))),
                refused(fs::remove_file(&path)),
            ]
        });
        assert_eq!(answers, [true; 9]);
        assert_eq!(fs::read_to_string(&path).expect("a file"), "precious");
        confined(true, || fs::remove_file(&path)).expect("a socket's file may go");
    }
}
