//! The connections and the reactor in another program: with an application of its own, stopped by a
//! handle, and without taking over signals unless asked to.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use common::program::PATIENCE;
use hallway::conn::{Answer, Application, Caller, Connections, Dismissal, Message};
use hallway::http::{Request, Response};
use hallway::limits::Limits;
use hallway::outbound::Thresholds;
use hallway::process::raise_descriptor_limit;
use hallway::reactor::{Address, Ended, Handle, Listeners, Reactor};
use hallway::ws::frame::{CloseCode, Data, OpCode, encode};
use hallway::ws::{handshake, switching_protocols};
use signal_hook::consts::SIGINT;
use testkit::client::{Frame as Received, first_frame, masked};

/// Answers one path, and sends every text back in capitals.
struct Shout;

impl Application for Shout {
    fn handle_request(&mut self, _: &mut Caller<'_>, request: &Request<'_>) -> Answer {
        match (request.path, handshake(request)) {
            ("/", Ok(None)) => Answer::Response(Response::text(200, "say something")),
            ("/shout", Ok(Some(opened))) => {
                Answer::Upgrade(switching_protocols(&opened.accept, None))
            }
            (_, Err(response)) => Answer::Response(response),
            _ => Answer::Response(Response::text(404, "nothing here")),
        }
    }

    fn handle_message(
        &mut self,
        caller: &mut Caller<'_>,
        message: Message<'_>,
    ) -> Result<(), Dismissal> {
        let Message::Text(text) = message else {
            return Err(Dismissal::new(CloseCode::Unsupported, "that cannot be shouted"));
        };
        let frame = encode(OpCode::Data(Data::Text), text.to_uppercase().as_bytes());
        caller.peers.outbound.tell(caller.id, frame, 0);
        Ok(())
    }
}

/// A server in a thread of its own, as a program would start it.
fn start() -> (SocketAddr, Handle, JoinHandle<Ended>) {
    raise_descriptor_limit();
    let (sender, started) = channel();
    let thread = thread::spawn(move || {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners::bind(&[Address::Tcp(address)]).expect("a port");
        let limits = Rc::new(Limits::default());
        let connections = Connections::new(limits, Thresholds::default(), Shout);
        let mut reactor = Reactor::new(listeners, connections).expect("a poll");
        let handle = reactor.handle().expect("a handle");
        let Some((Address::Tcp(address), _)) = reactor.listeners().addresses().next() else {
            panic!("no address");
        };
        sender.send((address, handle)).expect("somebody waits");
        reactor.run().expect("a poll that works")
    });
    let (address, handle) = started.recv_timeout(PATIENCE).expect("it starts");
    (address, handle, thread)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// A WebSocket that is still open.
fn member(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    let request = testkit::client::handshake("", "").replace("/chat?", "/shout");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// The next frame that comes.
fn hear(stream: &mut TcpStream) -> Received {
    let mut bytes = Vec::new();
    loop {
        if let Some((frame, _)) = first_frame(&bytes) {
            return frame;
        }
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a frame");
        bytes.extend(byte);
    }
}

/// What is answered to a GET.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = connect(address);
    let request = format!("GET {path} HTTP/1.1\r\nHost: box\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn an_application_of_its_own_answers_and_shouts_back() {
    let (address, handle, thread) = start();
    let answer = get(address, "/");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("say something\n"), "{answer}");
    assert!(get(address, "/chat").starts_with("HTTP/1.1 404 "), "there is no chat");

    let mut member = member(address);
    member.write_all(&masked(0x81, b"hello")).expect("a text");
    assert_eq!(hear(&mut member), Received { opcode: 1, payload: b"HELLO".to_vec() });
    member.write_all(&masked(0x82, b"hello")).expect("a binary message");
    let Received { opcode, payload } = hear(&mut member);
    assert_eq!((opcode, &payload[..2]), (8, &1003_u16.to_be_bytes()[..]));
    drop(member);
    handle.stop();
    assert_eq!(thread.join().expect("an end"), Ended::Drained);
}

#[test]
fn a_handle_ends_the_run_with_a_goodbye() {
    let (address, handle, thread) = start();
    let mut member = member(address);
    handle.stop();
    let mut rest = Vec::new();
    member.read_to_end(&mut rest).expect("what is left");
    assert!(rest.windows(4).any(|bytes| bytes[0] == 0x88 && bytes[2..] == [0x03, 0xE9]), "1001");
    drop(member);
    assert_eq!(thread.join().expect("an end"), Ended::Drained);
}

#[test]
fn a_second_stop_waits_for_nobody() {
    let (address, handle, thread) = start();
    let member = member(address);
    handle.clone().stop();
    handle.stop();
    assert_eq!(thread.join().expect("an end"), Ended::Forced);
    drop(member);
    handle.stop(); // Nobody is there any more.
}

#[test]
fn the_signals_stay_the_programs_own() {
    let (address, handle, thread) = start();
    let is_told = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGINT, Arc::clone(&is_told)).expect("a handler");
    signal_hook::low_level::raise(SIGINT).expect("a signal");
    assert!(is_told.load(Ordering::Acquire), "the program's handler runs");
    assert!(get(address, "/").starts_with("HTTP/1.1 200 "), "and the server serves");
    handle.stop();
    assert_eq!(thread.join().expect("an end"), Ended::Drained);
}
