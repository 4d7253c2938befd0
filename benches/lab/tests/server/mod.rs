//! A server of a test's own, and what a client says to it.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tungstenite::{Message, WebSocket, client};

/// What a test waits for comes within this time, or does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that listens; it is asked to end when this is dropped.
pub struct Server {
    process: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Waits until the command says that it is listening, and where.
    pub fn start(command: &mut Command) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let other_writer = writer.try_clone().expect("a pipe");
        let process = command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(other_writer)
            .spawn()
            .expect("the server starts");
        // The command's own ends of the pipe are closed, so that it is over when the server is.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).expect("a line");
        let (_, address) = line.trim().split_once("listening on ").expect(&line);
        Self { process, address: address.parse().expect("an address") }
    }

    /// A connection that asks for nothing yet.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// A member of a room.
    pub fn join(&self, username: &str, room: &str) -> WebSocket<TcpStream> {
        let url = format!("ws://{}/chat?username={username}&room={room}", self.address);
        client(url, self.connect()).expect("the upgrade").0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("an id"), Signal::TERM).expect("it runs until it is ended");
        self.process.wait().expect("it ends");
    }
}

pub fn say(client: &mut WebSocket<TcpStream>, text: &str) {
    client.send(Message::text(text)).expect("sent");
}

pub fn hear(client: &mut WebSocket<TcpStream>) -> String {
    client.read().expect("a message").into_text().expect("text").to_string()
}
