//! What an operator does with the program: checks its options, lets it listen on a path, passes it
//! sockets, supervises it, reads its log, starts it as root.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{self, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::program::{HEALTH, PATIENCE, Program, eventually, hear_of, say};
use rustix::process::geteuid;
use testkit::client::handshake;
use testkit::skip;
use tungstenite::client;
use tungstenite::stream::MaybeTlsStream;

/// A file of one test, gone before and after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let scratch =
            Self(std::env::temp_dir().join(format!("hallway-{}-{name}", std::process::id())));
        let _ = fs::remove_file(&scratch.0);
        scratch
    }

    fn listen(&self) -> String {
        format!("unix:{}", self.0.display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs the program to its end, which comes at once where it does not serve.
fn hallway(options: &[&str]) -> Output {
    let patience = PATIENCE.as_secs().to_string();
    let output = Command::new("timeout")
        .args([&patience, env!("CARGO_BIN_EXE_hallway")])
        .args(options)
        .output();
    output.expect("the program starts")
}

/// What the program says where it does not start.
fn failure(options: &[&str]) -> String {
    let output = hallway(options);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).expect("text")
}

/// A server without an address of its own, killed when a test is done with it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with one socket passed to it as systemd does, which shows in descriptor 3.
fn passed(socket: impl Into<OwnedFd>, name: &str) -> Command {
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$; export LISTEN_PID; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_hallway")])
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", name)
        .stdin(Stdio::from(socket.into()));
    command
}

/// A supervisor's socket, and a server that is told of it.
fn supervised(socket: &UnixDatagram, name: &str, watchdog_us: &str) -> Program {
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallway"));
    command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", watchdog_us);
    Program::spawn(command, "127.0.0.1:0", &[])
}

/// What the supervisor is told next.
fn told(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 1024];
    let len = socket.recv(&mut bytes).expect("a message");
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Asks for a WebSocket; the connection, after the first bytes of its answer.
fn join(path: &Path, expected: &str) -> UnixStream {
    let mut stream = connect(path);
    stream.write_all(handshake("", "").as_bytes()).expect("a request");
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), expected);
    stream
}

#[test]
fn a_check_judges_the_options_and_listens_nowhere() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let good = hallway(&["--check", "--listen", &address]);
    let said = String::from_utf8(good.stdout).expect("text");
    let expected = format!("listen on        {address}\n");
    assert!(good.status.success() && said.contains(&expected), "{said}");
    assert!(said.contains(&format!("Note: {address} is in use")), "{said}");
    assert!(good.stderr.is_empty());

    let bad = hallway(&["--history", "many", "--check"]);
    assert_eq!((bad.status.code(), bad.stdout.len()), (Some(2), 0));
    assert!(String::from_utf8_lossy(&bad.stderr).starts_with("hallway: --history many: "));
}

#[test]
fn a_check_tries_what_serving_would_and_leaves_nothing() {
    let (socket, welcome) = (Scratch::new("tried"), Scratch::new("secret"));
    let refused = |options: &[&str]| {
        let output = hallway(&[&["--check"], options].concat());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{options:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(hallway(&["--check", "--listen", &socket.listen()]).status.success());
    assert!(fs::symlink_metadata(&socket.0).is_err(), "the file is gone");
    assert!(refused(&["--listen", "unix:/nowhere/a.sock"]).contains("create its directory"));
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let twice = free.expect("an address").to_string();
    assert!(refused(&["--listen", &twice, "--listen", &twice]).contains("already listens there"));

    let path = welcome.0.to_str().expect("text");
    let listen = ["--listen", "127.0.0.1:0", "--welcome", path];
    assert!(refused(&listen).contains("cannot be read"));
    fs::write(path, "x".repeat(4097)).expect("a file");
    assert!(refused(&listen).contains("over 4096 bytes; shorten it"));
    fs::write(path, "welcome").expect("a file");
    assert!(hallway(&[&["--check"], &listen[..]].concat()).status.success());
    // Only its owner may read it, and the server will be somebody else.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
    let said = refused(&[&listen[..], &["--user", "65533:65532"]].concat());
    match geteuid().is_root() {
        true => assert!(said.contains("cannot be read: Permission denied"), "{said}"),
        false => assert!(said.contains("start as root or without --user"), "{said}"),
    }
}

#[test]
fn the_page_says_what_its_operator_has_to_say() {
    let file = Scratch::new("welcome");
    fs::write(&file.0, "Be kind.\n<b>&\n").expect("a file");
    let ask = |program: &Program, path: &str, fields: &str| {
        program.ask(format!("GET {path} HTTP/1.1\r\nHost: box\r\n{fields}\r\n"))
    };
    let etag = |answer: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("the field");
        line.to_owned()
    };
    let path = file.0.to_str().expect("text");
    let program = Program::start(&["--title", "A \"<3\" \\ room", "--welcome", path]);
    let page = ask(&program, "/", "Accept-Encoding: gzip\r\n");
    assert!(page.contains("<title>A \"&lt;3\" \\ room</title>"), "{page}");
    assert_eq!(page.matches(">Be kind.\n&lt;b&gt;&amp;</p>").count(), 2, "{page}");
    assert!(!page.contains("Hallway<") && !page.contains("Content-Encoding"), "{page}");
    let again = ask(&program, "/", &format!("If-None-Match: {}\r\n", etag(&page)));
    assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
    let manifest = ask(&program, "/manifest.webmanifest", "");
    let (_, json) = manifest.split_once("\r\n\r\n").expect("a body");
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(json["name"], "A \"<3\" \\ room");
    let plain = ask(&Program::start(&[]), "/", "Accept-Encoding: gzip\r\n");
    assert!(plain.contains("Content-Encoding: gzip") && etag(&plain) != etag(&page), "{plain}");
}

#[test]
fn a_unix_socket_is_its_groups_and_goes_with_the_server() {
    let socket = Scratch::new("serves");
    let options = ["--listen", &socket.listen(), "--log", "debug", "--max-peers-per-ip", "1"];
    let mut program = Program::start(&options);
    program.logged(&format!("listening addr={} ", socket.listen()));
    let metadata = fs::symlink_metadata(&socket.0).expect("a file");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);

    // Who comes this way has no address that could be counted: usually all come from one proxy.
    let _members = [join(&socket.0, "HTTP/1.1 101 "), join(&socket.0, "HTTP/1.1 101 ")];
    program.logged("from=unix");

    program.signal("-TERM");
    assert!(program.wait().success());
    assert!(fs::symlink_metadata(&socket.0).is_err(), "the file is gone");
}

#[test]
fn the_socket_of_a_killed_server_is_taken_over() {
    let socket = Scratch::new("stale");
    let mut killed = Program::start(&["--listen", &socket.listen()]);
    killed.logged("addr=unix:");
    killed.signal("-KILL");
    killed.wait();
    assert!(fs::symlink_metadata(&socket.0).is_ok(), "nobody could remove it");

    let program = Program::start(&["--listen", &socket.listen()]);
    program.logged("addr=unix:");
    join(&socket.0, "HTTP/1.1 101 ");
    let said = failure(&["--listen", &socket.listen()]);
    assert!(said.contains("another server already listens there"), "{said}");
    join(&socket.0, "HTTP/1.1 101 ");
}

#[test]
fn a_file_that_is_not_its_socket_is_left_alone() {
    let socket = Scratch::new("foreign");
    fs::write(&socket.0, "precious").expect("a file");
    let said = failure(&["--listen", &socket.listen()]);
    assert!(said.contains("that file is not a socket"), "{said}");
    assert_eq!(fs::read_to_string(&socket.0).expect("a file"), "precious");

    fs::remove_file(&socket.0).expect("it goes");
    let mut program = Program::start(&["--listen", &socket.listen()]);
    program.logged("addr=unix:");
    fs::remove_file(&socket.0).expect("it goes");
    let _other = UnixListener::bind(&socket.0).expect("another server's");
    program.signal("-TERM");
    assert!(program.wait().success());
    assert!(fs::symlink_metadata(&socket.0).is_ok(), "another server's socket stays");

    let nowhere = failure(&["--listen", "unix:/nowhere/hallway.sock"]);
    assert!(nowhere.contains("create its directory"), "{nowhere}");
}

#[test]
fn a_passed_socket_is_used_in_place_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let program = Program::spawn(passed(listener, "web"), "unix:/nowhere/unused", &[]);
    assert_eq!(program.address, address);
    assert!(program.ask(HEALTH).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_passed_unix_socket_serves_and_stays() {
    let socket = Scratch::new("passed");
    let listener = UnixListener::bind(&socket.0).expect("a path");
    let mut command = passed(listener, "local:");
    let mut server = Server(command.stderr(Stdio::null()).spawn().expect("it starts"));
    let _member = join(&socket.0, "HTTP/1.1 101 ");
    let pid = server.0.id().to_string();
    assert!(Command::new("kill").arg(pid).status().expect("a signal").success());
    assert!(server.0.wait().expect("its end").success());
    assert!(fs::symlink_metadata(&socket.0).is_ok(), "the file is the supervisor's");
}

#[test]
fn a_passed_socket_that_accepts_nothing_is_refused() {
    let (connected, _other) = UnixStream::pair().expect("a pair");
    let datagrams = UnixDatagram::unbound().expect("a socket");
    for mut command in [passed(datagrams, "a"), passed(connected, "b")] {
        let output = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("needs ListenStream="), "{said}");
    }
}

#[test]
fn the_supervisor_is_told_of_start_life_and_end() {
    let path = Scratch::new("notify");
    let socket = UnixDatagram::bind(&path.0).expect("a path");
    let program = supervised(&socket, path.0.to_str().expect("text"), "400000");
    assert_eq!(told(&socket), "READY=1\nSTATUS=Serving");
    assert_eq!(told(&socket), "WATCHDOG=1\nSTATUS=Connections: 0, rooms: 0");
    let _member = program.join("alice");
    let from = Instant::now();
    while told(&socket) != "WATCHDOG=1\nSTATUS=Connections: 1, rooms: 1" {}
    told(&socket);
    told(&socket);
    assert!(from.elapsed() >= Duration::from_millis(390), "every 200 ms and not more often");
    program.signal("-TERM");
    let end = std::iter::repeat_with(|| told(&socket)).find(|told| !told.starts_with("WATCHDOG"));
    assert_eq!(end.expect("an end"), "STOPPING=1\nSTATUS=Saying goodbye");
}

#[test]
fn a_supervisor_can_have_a_name_without_a_file() {
    let name = format!("hallway-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket");
    let program = supervised(&socket, &format!("@{name}"), "");
    assert_eq!(told(&socket), "READY=1\nSTATUS=Serving");
    program.await_sleep();
    let (_, wake_ups) = program.used_during(Duration::from_secs(1));
    assert_eq!(wake_ups, 0, "no watchdog, no wake-up");
}

#[test]
fn a_watchdog_without_a_supervisor_wakes_nobody() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallway"));
    command.env("NOTIFY_SOCKET", "/nowhere/notify").env("WATCHDOG_USEC", "20000");
    let program = Program::spawn(command, "127.0.0.1:0", &[]);
    program.await_sleep();
    let (_, wake_ups) = program.used_during(Duration::from_secs(1));
    assert_eq!(wake_ups, 0);
}

/// The event of a log line of level debug and the names of its values, where it has the shape.
fn shape(line: &str) -> Option<(&str, Vec<&str>)> {
    let (time, line) = line.split_at_checked("2026-11-24T12:00:00.000Z ".len())?;
    let text = line.get("debug ".len()..)?;
    let is_time = time.ends_with("Z ") && time.as_bytes()[10] == b'T';
    let end = text.find('=').map_or(text.len(), |at| text[..at].rfind(' ').unwrap_or(0));
    let (event, mut rest) = text.split_at(end);
    let mut keys = Vec::new();
    while let Some(pair) = rest.strip_prefix(' ') {
        let (key, value) = pair.split_once('=')?;
        keys.push(key);
        let quoted = value.strip_prefix('"').map(|inner| {
            let is_end = |&(at, _): &(usize, &str)| !inner[..at].ends_with('\\');
            inner.match_indices('"').find(is_end).map(|(at, _)| at + 2)
        });
        let len = quoted.unwrap_or_else(|| Some(value.find(' ').unwrap_or(value.len())))?;
        rest = &value[len..];
    }
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_event = event.split(' ').all(|word| !word.is_empty() && is_word(word));
    (is_time && is_event && rest.is_empty() && keys.iter().all(|key| is_word(key)))
        .then_some((event, keys))
}

#[test]
fn every_line_of_the_log_is_an_event_with_keys_and_values() {
    let mut program = Program::start(&["--log", "debug"]);
    let mut lines = Vec::new();
    let fields = "Origin: http://evil\r\n";
    assert!(program.ask(handshake("", fields)).starts_with("HTTP/1.1 403 "));
    assert!(program.ask("GET /nothing HTTP/1.1\r\nHost: box\r\n\r\n").starts_with("HTTP/1.1 404 "));
    let mut member = program.connect();
    let request = handshake("username=a%20%22=b&room=c%20d=%22", "");
    member.write_all(request.as_bytes()).expect("a request");
    member.write_all(&[0xff; 8]).expect("no frame");
    lines.extend(program.logged_up_to("dismissed"));
    program.signal("-HUP");
    lines.extend(program.logged_up_to("SIGHUP"));
    program.signal("-TERM");
    lines.extend(program.logged_up_to("stopped"));
    assert!(program.wait().success());

    let mut events: Vec<_> = Vec::new();
    for line in &lines {
        let (event, keys) = shape(line).unwrap_or_else(|| panic!("no shape: {line}"));
        assert!(!keys.is_empty(), "{line}");
        events.push(event);
    }
    for event in ["accepted", "refused", "joined", "dismissed", "signal", "draining", "stopped"] {
        assert!(events.contains(&event), "no {event} in {lines:#?}");
    }
}

#[test]
fn a_flood_of_refusals_is_a_few_lines() {
    let mut program = Program::start(&[]);
    let long = format!("Origin: http://{}\r\n", "a".repeat(5000));
    assert!(program.ask(handshake("", &long)).starts_with("HTTP/1.1 403 "));
    assert!(program.logged("refused").len() < 1100, "the line is cut");
    for _ in 0..199 {
        assert!(program.ask(handshake("", "Origin: http://evil\r\n")).starts_with("HTTP/1.1 403 "));
    }
    program.signal("-TERM");
    let lines = program.logged_up_to("held back");
    let refused = lines.iter().filter(|line| line.contains("refused origin=")).count();
    assert!((49..55).contains(&refused), "{refused} lines of 200");
    let (_, held_back) = lines.last().and_then(|line| line.rsplit_once("lines=")).expect("a line");
    assert_eq!(held_back.parse::<usize>().expect("a number") + refused + 1, 200);
    assert!(program.wait().success());
}

/// A metric of a server that listens there.
fn metric(address: net::SocketAddr, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in time");
    let value = answer.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).expect("a number")
}

#[test]
fn a_log_that_nobody_reads_keeps_nobody_waiting() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut command = passed(listener, "web");
    let child = command.args(["--log", "debug"]).stderr(Stdio::piped()).spawn();
    let mut server = Server(child.expect("it starts"));
    // It stays open, and nobody reads it until it is full.
    let mut log = BufReader::new(server.0.stderr.take().expect("a pipe"));
    let blocked = || metric(address, "hallway_log_lines_dropped_total{reason=\"blocked\"}");
    let fill = |before: u64| eventually("the pipe is full", || blocked() > before);
    fill(0);
    let join = |name: &str| {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let url = format!("ws://{address}/chat?username={name}");
        client(url, MaybeTlsStream::Plain(stream)).expect("a place").0
    };
    let (mut alice, mut bob) = (join("alice"), join("bob"));
    say(&mut alice, "nobody waits");
    hear_of(&mut bob, "nobody waits");

    // Where somebody reads it again, it says how much is not there.
    log.read_exact(&mut [0; 8192]).expect("there is more");
    let told = blocked();
    let line =
        (&mut log).lines().map_while(Result::ok).find(|line| line.contains(" dropped lines="));
    let line = line.expect("the line");
    let (_, lines) = line.split_once("lines=").expect("a number");
    let lines: u64 =
        lines.split_once(' ').and_then(|(number, _)| number.parse().ok()).expect("one");
    assert!(lines >= told, "{line} is not of {told}");

    fill(told);
    let pid = server.0.id().to_string();
    assert!(Command::new("kill").arg(pid).status().expect("a signal").success());
    let mut ended = None;
    eventually("it ends", || {
        ended = server.0.try_wait().expect("a child");
        ended.is_some()
    });
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}

#[test]
fn under_the_journal_a_line_has_a_priority_and_no_time() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallway"));
    command.env("JOURNAL_STREAM", "8:12345");
    let program = Program::spawn(command, "127.0.0.1:0", &[]);
    program.signal("-HUP");
    assert_eq!(program.logged("SIGHUP"), "<6>signal name=SIGHUP action=none");
    assert!(program.ask(handshake("", "Origin: http://evil\r\n")).starts_with("HTTP/1.1 403 "));
    assert!(program.logged("refused").starts_with("<4>refused origin=\"http://evil\" "));
}

/// The values of a line of /proc/PID/status.
fn status(program: &Program, key: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("a process");
    let values = text.lines().find_map(|line| line.strip_prefix(key)).expect("the line");
    values.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn no_program_that_it_starts_can_gain_privileges() {
    assert_eq!(status(&Program::start(&[]), "NoNewPrivs:"), ["1"]);
}

#[test]
fn root_is_given_up_for_good() {
    if !geteuid().is_root() {
        return skip("needs root");
    }
    let socket = Scratch::new("owned");
    let options = ["--user", "65533:65532", "--listen", &socket.listen()];
    let mut with_group = Command::new("setpriv");
    with_group.args(["--groups", "65531", env!("CARGO_BIN_EXE_hallway")]);
    let program = Program::spawn(with_group, "127.0.0.1:0", &options);
    assert_eq!(status(&program, "Uid:"), ["65533"; 4], "real, effective, saved, for files");
    assert_eq!(status(&program, "Gid:"), ["65532"; 4]);
    assert!(status(&program, "Groups:").is_empty());
    for set in ["CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(status(&program, set), ["0000000000000000"], "{set}");
    }
    let file = fs::symlink_metadata(&socket.0).expect("a file");
    assert_eq!((file.uid(), file.gid()), (65533, 65532));
    let metrics = program.ask("GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n");
    assert!(metrics.contains("\nprocess_resident_memory_bytes "), "{metrics}");
}

#[test]
fn its_resident_memory_is_what_the_kernel_counts() {
    let program = Program::start(&[]);
    let metrics = program.ask("GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n");
    let told = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let told: u64 = told.and_then(|bytes| bytes.parse().ok()).expect("a number");
    let path = format!("/proc/{}/smaps_rollup", program.pid());
    let pages = fs::read_to_string(path).expect("a process");
    let counted = pages.lines().find_map(|line| line.strip_prefix("Rss:")).expect("the line");
    let counted: u64 = counted.trim().trim_end_matches(" kB").parse().expect("KiB");
    // The answer itself may have taken some pages since.
    assert!(told.abs_diff(counted * 1024) <= 128 * 1024, "{told} of {counted} KiB");
}

/// How often a program says before it serves that it is root.
fn root_warnings(program: &Program) -> usize {
    program.greeting.iter().filter(|line| line.contains("running as root")).count()
}

#[test]
fn root_without_a_user_is_warned() {
    if !geteuid().is_root() {
        return skip("needs root");
    }
    assert_eq!(root_warnings(&Program::start(&[])), 1);
}

/// The program where all may run it; only root may look where it was built.
fn copy_of_program() -> Scratch {
    let copy = Scratch::new("for-all");
    // In a process of its own: a file that is open for writing cannot be run, and it would be open in
    // a child that another test forks meanwhile.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_hallway")).arg(&copy.0).status();
    assert!(copied.expect("cp starts").success());
    copy
}

/// The program as a user who is not root.
fn without_root(copy: &Scratch) -> Command {
    if !geteuid().is_root() {
        return Command::new(&copy.0);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65531", "--regid", "65531", "--clear-groups"]).arg(&copy.0);
    command
}

#[test]
fn who_is_not_root_is_not_warned_and_cannot_become_another() {
    let copy = copy_of_program();
    let program = Program::spawn(without_root(&copy), "127.0.0.1:0", &[]);
    assert_eq!(root_warnings(&program), 0);

    // The second has a file to give away.
    for listen in ["127.0.0.1:0", &Scratch::new("not-owned").listen()] {
        let options = ["--user", "65533:65532", "--listen", listen];
        let output = without_root(&copy).args(options).output().expect("the program starts");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("start as root, or without --user"), "{said}");
    }
}

#[test]
fn an_unknown_user_is_told_before_anything_is_served() {
    let said = failure(&["--listen", "127.0.0.1:0", "--user", "no-such-user"]);
    assert!(said.contains("--user no-such-user: not in /etc/passwd"), "{said}");
    let checked = hallway(&["--check", "--user", "no-such-user"]);
    assert_eq!(checked.status.code(), Some(2));
}
