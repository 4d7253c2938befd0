//! The program itself: real sockets, real signals, and tungstenite as the client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket, connect};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct House {
    child: Child,
    address: SocketAddr,
}

impl House {
    fn start(options: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_hallway")), options)
    }

    fn spawn(mut command: Command, options: &[&str]) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let line = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("listening"))
            .expect("it says where it listens");
        let address = line.split("addr=").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.and_then(|address| address.parse().ok()).expect("an address");
        // The pipe must not fill up, nor close.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn join(&self, name: &str) -> WebSocket<MaybeTlsStream<TcpStream>> {
        let url = format!("ws://{}/chat?username={name}", self.address);
        let (socket, _) = connect(url).expect("a place in the room");
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        }
        socket
    }

    fn http(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A line of /proc/PID/status, as its number.
    fn status(&self, key: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("a process");
        let line = text.lines().find(|line| line.starts_with(key)).expect("the line");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(socket: &mut WebSocket<MaybeTlsStream<TcpStream>>, message: &str) {
    let json = format!(r#"{{"type":"chatMessage","payload":{{"message":"{message}"}}}}"#);
    socket.send(Message::text(json)).expect("it is sent");
}

/// The next text.
fn hear(socket: &mut WebSocket<MaybeTlsStream<TcpStream>>) -> String {
    loop {
        if let Message::Text(text) = socket.read().expect("something to hear") {
            return text.to_string();
        }
    }
}

/// The next chat messages, `count` of them, without what the house says.
fn hear_messages(socket: &mut WebSocket<MaybeTlsStream<TcpStream>>, count: usize) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let text = hear(socket);
        if text.starts_with(r#"{"type":"chatMessage""#) {
            heard.push(text);
        }
    }
    heard
}

#[test]
fn two_people_chat_and_one_leaves() {
    let house = House::start(&[]);
    let mut alice = house.join("alice");
    assert_eq!(hear(&mut alice), r#"{"type":"system","payload":{"text":"alice joined"}}"#);
    assert_eq!(hear(&mut alice), r#"{"type":"userCount","payload":{"count":1}}"#);
    say(&mut alice, "Hello!");
    let hello = r#"{"type":"chatMessage","payload":{"username":"alice","message":"Hello!"}}"#;
    assert_eq!(hear(&mut alice), hello);

    let mut bob = house.join("bob");
    assert_eq!(hear(&mut bob), hello, "the replay comes first");
    for socket in [&mut alice, &mut bob] {
        assert_eq!(hear(socket), r#"{"type":"system","payload":{"text":"bob joined"}}"#);
        assert_eq!(hear(socket), r#"{"type":"userCount","payload":{"count":2}}"#);
    }
    bob.close(None).expect("a close");
    assert_eq!(hear(&mut alice), r#"{"type":"system","payload":{"text":"bob left"}}"#);
    assert_eq!(hear(&mut alice), r#"{"type":"userCount","payload":{"count":1}}"#);
}

#[test]
fn twenty_senders_at_once_and_one_order_for_all() {
    let house = House::start(&[]);
    let mut sockets: Vec<_> = (0..20).map(|number| house.join(&format!("n{number}"))).collect();
    std::thread::scope(|scope| {
        for (sender, socket) in sockets.iter_mut().enumerate() {
            scope.spawn(move || {
                for number in 0..20 {
                    say(socket, &format!("{sender}-{number}"));
                }
            });
        }
    });
    let mut orders = sockets.iter_mut().map(|socket| hear_messages(socket, 400));
    let first = orders.next().expect("twenty");
    assert!(orders.all(|order| order == first));
}

#[test]
fn five_who_never_read_cost_only_themselves() {
    let house = House::start(&["--rate", "0"]);
    let stalled: Vec<_> = (0..5).map(|number| house.join(&format!("stalled{number}"))).collect();
    let mut healthy = house.join("healthy");
    let filler = "x".repeat(4000);
    for number in 0..4000 {
        say(&mut healthy, &format!("m{number}-{filler}"));
        let heard = hear_messages(&mut healthy, 1);
        assert!(heard[0].contains(&format!("\"m{number}-")), "in order, and every one");
    }
    let kib = house.status("VmRSS");
    assert!(kib < 20 * 1024, "{kib} KiB are resident");
    for mut socket in stalled {
        let ended = loop {
            match socket.read() {
                Ok(Message::Close(frame)) => break frame.map(|frame| u16::from(frame.code)),
                Ok(_) => {}
                Err(_) => break None,
            }
        };
        assert!(matches!(ended, Some(1013) | None), "{ended:?}");
    }
    say(&mut healthy, "still here");
    hear_messages(&mut healthy, 1);
}

#[test]
fn sigterm_says_goodbye_and_ends_with_success() {
    let mut house = House::start(&[]);
    let mut alice = house.join("alice");
    let start = Instant::now();
    house.signal("-TERM");
    let close = loop {
        if let Message::Close(frame) = alice.read().expect("a goodbye") {
            break frame;
        }
    };
    assert_eq!(close.map(|frame| u16::from(frame.code)), Some(1001));
    drop(alice);
    assert!(house.wait().success());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_house_that_drains_says_so_and_a_second_signal_ends_it() {
    let mut house = House::start(&[]);
    let alice = house.join("alice");
    assert!(house.http("GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    house.signal("-TERM");
    let start = Instant::now();
    while !house.http("GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 503 ") {
        assert!(start.elapsed() < PATIENCE);
    }
    house.signal("-TERM");
    assert_eq!(house.wait().code(), Some(1));
    drop(alice);
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let house = House::start(&[]);
    let address = house.address.to_string();
    let second = Command::new(env!("CARGO_BIN_EXE_hallway")).args(["--listen", &address]).output();
    let second = second.expect("the program starts");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

#[test]
fn a_wrong_option_is_status_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_hallway")).arg("--histroy").output();
    let output = output.expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "hallway: unknown option --histroy; did you mean --history?\n");
}

#[test]
fn out_of_descriptors_it_neither_spins_nor_goes_deaf() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_hallway")]);
    let house = House::spawn(command, &[]);
    let hungry: Vec<_> = (0..100).filter_map(|_| TcpStream::connect(house.address).ok()).collect();
    assert!(hungry.len() > 64);
    let surplus = house.http("GET /health HTTP/1.1\r\n\r\n");
    assert!(surplus.is_empty() || surplus.starts_with("HTTP/1.1 503 "), "{surplus}");
    let before = house.status("voluntary_ctxt_switches");
    std::thread::sleep(Duration::from_secs(1));
    assert!(house.status("voluntary_ctxt_switches") - before < 20, "it sleeps");
    drop(hungry);
    let start = Instant::now();
    while !house.http("GET /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 ") {
        assert!(start.elapsed() < PATIENCE, "it serves again");
    }
}

#[test]
fn garbage_is_refused_at_once_and_a_page_goes_to_a_half_closed_client() {
    let house = House::start(&[]);
    assert!(house.http("\u{16}\u{3}\u{1}").starts_with("HTTP/1.1 400 "));
    let mut stream = TcpStream::connect(house.address).expect("a connection");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: box\r\n\r\n").expect("a request");
    stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.trim_end().ends_with("</html>"));
}

#[test]
fn it_sleeps_while_nothing_happens() {
    let house = House::start(&["--ping", "0"]);
    let sockets: Vec<_> = (0..100).map(|number| house.join(&format!("n{number}"))).collect();
    let mut last = house.join("last");
    while !hear(&mut last).contains(r#""count":101"#) {}
    let switches = |house: &House| house.status("voluntary_ctxt_switches");
    // What the joins have caused is over when a second has brought nothing.
    let start = Instant::now();
    let mut before = switches(&house);
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = switches(&house);
        if now == before {
            break;
        }
        before = now;
        assert!(start.elapsed() < PATIENCE, "it never sleeps");
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(&house), before, "not one wake-up in two seconds");
    drop(sockets);
}
