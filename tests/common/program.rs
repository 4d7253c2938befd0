//! The program itself as a child process, and clients on real sockets.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use testkit::skip;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Error, HandshakeError, Message, WebSocket, client};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One tick of the CPU time in /proc/PID/stat: Linux shows it in hundredths of a second.
pub const TICK: Duration = Duration::from_millis(10);

pub const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: box\r\n\r\n";

pub type Client = WebSocket<MaybeTlsStream<TcpStream>>;

/// A running server, killed when a test is done with it, however that ends.
pub struct Program {
    child: Child,
    pub address: SocketAddr,
    /// The lines of its log up to the one with the address.
    pub greeting: Vec<String>,
    log: Receiver<String>,
}

impl Program {
    pub fn start(options: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", options)
    }

    /// The same on another address than 127.0.0.1.
    pub fn start_on(address: &str, options: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_hallway")), address, options)
    }

    /// The same with at most so many descriptors, which it cannot raise.
    pub fn start_with_descriptors(descriptors: u32, options: &[&str]) -> Self {
        let limited = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_hallway")]);
        Self::spawn(command, "127.0.0.1:0", options)
    }

    /// The same by a command that runs the program with the arguments that are added to it.
    pub fn spawn(mut command: Command, address: &str, options: &[&str]) -> Self {
        let mut child = command
            .args(["--listen", address])
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        // The pipe must not fill up, nor close.
        let (sender, log) = channel();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| _ = sender.send(line));
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut program = Self { child, address: nowhere, greeting: Vec::new(), log };
        program.greeting = program.logged_up_to("listening");
        let line = program.greeting.last().expect("a line");
        let address = line.split("addr=").nth(1).and_then(|rest| rest.split(' ').next());
        program.address = address.and_then(|text| text.parse().ok()).expect("an address");
        program
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of the log that contains `words`.
    pub fn logged(&self, words: &str) -> String {
        self.logged_up_to(words).pop().expect("a line")
    }

    /// The next lines of the log, up to one that contains `words`.
    pub fn logged_up_to(&self, words: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("no line with {words:?}: {error}"));
            let is_last = line.contains(words);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// A connection that has said nothing yet.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    pub fn join(&self, name: impl Display) -> Client {
        self.try_join(name).expect("a slot and a room")
    }

    /// The same where it may fail.
    pub fn try_join(&self, name: impl Display) -> Result<Client, Error> {
        let url = format!("ws://{}/chat?username={name}", self.address);
        match client(url, MaybeTlsStream::Plain(self.connect())) {
            Ok((client, _)) => Ok(client),
            Err(HandshakeError::Failure(error)) => Err(error),
            Err(HandshakeError::Interrupted(_)) => panic!("no answer within {PATIENCE:?}"),
        }
    }

    /// What the server answers, up to where it ends the connection.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        // The answer may come, and the connection end, before all of a bad request is out.
        let _ = stream.write_all(request.as_ref());
        read_all(&mut stream)
    }

    /// Asks how the server is until the answer begins with `status`.
    pub fn await_health(&self, status: &str) {
        eventually("the health is as expected", || self.ask(HEALTH).starts_with(status));
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("it ends", || {
            ended = self.child.try_wait().expect("a child");
            ended.is_some()
        });
        ended.expect("it has ended")
    }

    /// A line of /proc/PID/status, as its number; sizes are in KiB.
    pub fn status(&self, key: &str) -> u64 {
        let text = self.proc("status");
        let line = text.lines().find(|line| line.starts_with(key)).expect("the line");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// The state of its process, like "S" for asleep and "T" for stopped.
    pub fn state(&self) -> String {
        let text = self.proc("stat");
        let fields = text.rsplit(')').next().expect("fields");
        fields.split_whitespace().next().expect("a state").to_owned()
    }

    /// CPU time so far, its own and the kernel's for it, in [`TICK`]s.
    pub fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // Fields 14 and 15 of proc(5); the second is the name in brackets.
        let fields = stat.rsplit(')').next().expect("fields").split_whitespace();
        let ticks = fields.skip(11).take(2).map(|field| field.parse::<u32>().expect("a number"));
        TICK * ticks.sum::<u32>()
    }

    /// Waits until the server has slept for a second: until then it may still be at work with
    /// what the test has done to it.
    pub fn await_sleep(&self) {
        let mut before = (self.cpu(), self.wake_ups());
        eventually("it sleeps", || {
            pass(Duration::from_secs(1));
            let now = (self.cpu(), self.wake_ups());
            std::mem::replace(&mut before, now) == now
        });
    }

    /// How often it went to sleep so far. A loop that spins does not sleep: look at
    /// [`Program::cpu`] as well.
    pub fn wake_ups(&self) -> u64 {
        self.status("voluntary_ctxt_switches")
    }

    /// What it used while `time` went by: CPU time, and how often it woke up.
    pub fn used_during(&self, time: Duration) -> (Duration, u64) {
        let (cpu, wake_ups) = (self.cpu(), self.wake_ups());
        pass(time);
        (self.cpu() - cpu, self.wake_ups() - wake_ups)
    }

    /// Descriptors that it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a process").count()
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.pid())).expect("a process")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a command succeeds; if not, the test that needs it is skipped.
pub fn can(what: &str, command: &mut Command) -> bool {
    let output = command.stdin(Stdio::null()).output();
    let is_able = output.as_ref().is_ok_and(|output| output.status.success());
    if !is_able {
        let why = match &output {
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        skip(&format!("{what} is not possible: {why}"));
    }
    is_able
}

/// Lets time go by that is to be measured. What can be asked for is waited for with
/// [`eventually`].
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Asks until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        pass(Duration::from_millis(5));
    }
}

/// All that comes, as text.
pub fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well; what came before it counts.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What comes after our half of the connection has ended.
pub fn finish(stream: &mut TcpStream) -> String {
    let _ = stream.shutdown(Shutdown::Write);
    read_all(stream)
}

pub fn stream_of(client: &Client) -> &TcpStream {
    match client.get_ref() {
        MaybeTlsStream::Plain(stream) => stream,
        _ => unreachable!("there is no TLS here"),
    }
}

pub fn say(client: &mut Client, message: &str) {
    let json = format!(r#"{{"type":"chatMessage","payload":{{"message":"{message}"}}}}"#);
    client.send(Message::text(json)).expect("it is sent");
}

/// The next text.
pub fn hear(client: &mut Client) -> String {
    loop {
        if let Message::Text(text) = client.read().expect("something to hear") {
            return text.to_string();
        }
    }
}

/// The next text that contains `words`.
pub fn hear_of(client: &mut Client, words: &str) -> String {
    loop {
        let text = hear(client);
        if text.contains(words) {
            return text;
        }
    }
}

/// The next chat messages, `count` of them, without what the server says.
pub fn hear_messages(client: &mut Client, count: usize) -> Vec<String> {
    (0..count).map(|_| hear_of(client, r#"{"type":"chatMessage""#)).collect()
}

/// The code of the Close that ends what a client hears; `None` where the connection ends without.
pub fn hear_the_end(client: &mut Client) -> Option<u16> {
    loop {
        match client.read() {
            Ok(Message::Close(frame)) => return frame.map(|frame| u16::from(frame.code)),
            Ok(_) => {}
            Err(Error::Io(error)) if is_timeout(&error) => panic!("the connection does not end"),
            Err(_) => return None,
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock)
}
