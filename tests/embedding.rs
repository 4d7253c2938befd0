//! The reactor in somebody else's program: it is stopped by a handle, and takes no signal that
//! nobody gave it.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use common::program::{HEALTH, PATIENCE};
use hallway::chat;
use hallway::limits::Limits;
use hallway::process::raise_descriptor_limit;
use hallway::reactor::{Address, Ended, Handle, Listeners, Reactor};
use hallway::server::Origins;
use signal_hook::consts::SIGINT;

/// A server in a thread of its own, as a program would start it.
fn start() -> (SocketAddr, Handle, JoinHandle<Ended>) {
    raise_descriptor_limit();
    let (sender, started) = channel();
    let thread = thread::spawn(move || {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners::bind(&[address.into()]).expect("a port");
        let connections = chat::server(Limits::default(), Origins::default(), 0);
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

/// A connection that was asked for and answered, and is still open.
fn member(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(common::handshake("username=ann", "").as_bytes()).expect("a request");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream
}

fn assert_serves(address: SocketAddr) {
    let mut stream = connect(address);
    stream.write_all(HEALTH.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
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
    assert_serves(address);
    handle.stop();
    assert_eq!(thread.join().expect("an end"), Ended::Drained);
}
