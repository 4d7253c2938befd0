//! The floor: what a chat over WebSocket costs in system calls, and nothing else.
//!
//!     floor ADDRESS        one line, `floor: listening on ADDRESS`, once it serves
//!
//! It is what other servers are measured against, not a server: it looks at nothing within a
//! message, limits nothing, times nothing out, and says neither who comes nor who goes. Whoever sends
//! a fragmented message, a frame without a mask or a request that is no upgrade is dropped.
//!
//! One thread, one edge-triggered epoll instance, one read buffer. An iteration:
//!
//! 1. one `epoll_wait`;
//! 2. one `recv` for each connection that has sent something, whose data frames are unmasked onto the
//!    end of their room's buffer; and one `send` where there is something to reply, be it the
//!    upgrade with all that the room remembers, pongs or a close;
//! 3. for each room that has got frames, one `send` of all of them for each of its members;
//! 4. `accept` until nobody is left.
//!
//! (On a socket, `recv` and `send` are a little cheaper than `read` and `write`.)
//!
//! What a socket does not take is kept for it, however much that is, until the socket takes it.

mod connection;
mod room;
mod wire;

use std::collections::HashMap;
use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use connection::Connection;
use room::Room;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{RecvFlags, SocketFlags, accept_with, listen, recv};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slab::Slab;
use wire::{BINARY, CLOSE, Frame, Over, PING, PONG, Request, TEXT, write_header};

/// Bytes of the one read buffer.
const READ_BUFFER: usize = 64 * 1024;

/// Events of one turn at most; who is left over comes first in the next.
const EVENTS: usize = 1024;

/// Connections that wait to be accepted; the kernel takes the smaller of this and `somaxconn`.
const BACKLOG: i32 = 4096;

/// What epoll says of the listening socket; connections have the numbers of their slots.
const LISTENER: u64 = u64::MAX;

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Slab<Connection>,
    rooms: Vec<Room>,
    rooms_by_name: HashMap<String, u32>,
    /// Rooms that have got frames in this turn.
    rooms_with_news: Vec<u32>,
    /// What the connection that has just been read from gets in reply.
    reply: Vec<u8>,
}

impl Floor {
    fn bind(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        // The standard library has a smaller backlog; listening again only widens it.
        listen(&listener, BACKLOG)?;
        // Linux hands it down to what the listener accepts, which saves a call for each of them.
        set_tcp_nodelay(&listener, true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN | EventFlags::ET,
        )?;
        Ok(Self {
            epoll,
            listener,
            connections: Slab::new(),
            rooms: Vec::new(),
            rooms_by_name: HashMap::new(),
            rooms_with_news: Vec::new(),
            reply: Vec::new(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BUFFER];
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) => self.turn(&mut events, &mut buffer),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn turn(&mut self, events: &mut Vec<Event>, buffer: &mut [u8]) {
        let mut somebody_knocks = false;
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => somebody_knocks = true,
                key => self.handle(key as u32, event.flags, buffer),
            }
        }
        for room in self.rooms_with_news.drain(..) {
            self.rooms[room as usize].flush(&mut self.connections);
        }
        // Last, so that no event of this turn meets a connection that has taken over a slot.
        if somebody_knocks {
            self.accept();
        }
    }

    /// Out of descriptors, it accepts nobody until the next one knocks.
    fn accept(&mut self) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        while let Ok(socket) = accept_with(&self.listener, flags) {
            let slot = self.connections.vacant_entry();
            let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            if epoll::add(&self.epoll, &socket, EventData::new_u64(slot.key() as u64), interest)
                .is_ok()
            {
                slot.insert(Connection::new(socket));
            }
        }
    }

    fn handle(&mut self, key: u32, flags: EventFlags, buffer: &mut [u8]) {
        if flags.contains(EventFlags::OUT) {
            self.connections[key as usize].send_rest();
        }
        let is_ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if (is_ending || flags.contains(EventFlags::IN))
            && self.read(key, is_ending, buffer).is_err()
        {
            self.close(key);
        }
    }

    /// Reads what is there. A read that does not fill the buffer has emptied the socket (epoll(7)),
    /// so that one is enough, unless the end is to be found.
    fn read(&mut self, key: u32, is_ending: bool, buffer: &mut [u8]) -> Result<(), Over> {
        loop {
            let length = match recv(
                &self.connections[key as usize].socket,
                &mut *buffer,
                RecvFlags::empty(),
            ) {
                Ok((0, _)) => return Err(Over),
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(_) => return Err(Over),
            };
            let taken = self.take_in(key, &buffer[..length]);
            if !self.reply.is_empty() {
                self.connections[key as usize].send(&self.reply);
                self.reply.clear();
            }
            taken?;
            if length < buffer.len() && !is_ending {
                return Ok(());
            }
        }
    }

    /// Takes in what was read, after what is left of earlier reads.
    fn take_in(&mut self, key: u32, input: &[u8]) -> Result<(), Over> {
        let mut unread = self.connections[key as usize].take_unread();
        if unread.is_empty() {
            let rest = self.take_whole(key, input)?;
            unread.extend_from_slice(rest);
        } else {
            unread.extend_from_slice(input);
            let rest = self.take_whole(key, &unread)?.len();
            unread.drain(..unread.len() - rest);
        }
        self.connections[key as usize].keep_unread(unread);
        Ok(())
    }

    /// Takes in the whole request and the whole frames, and returns the rest.
    fn take_whole<'b>(&mut self, key: u32, mut input: &'b [u8]) -> Result<&'b [u8], Over> {
        let room = match self.connections[key as usize].room {
            Some(room) => room,
            None => {
                let Some(request) = Request::parse(input)? else { return Ok(input) };
                input = &input[request.length..];
                self.join(key, &request)
            }
        };
        while let Some((frame, rest)) = Frame::parse(input)? {
            self.take_frame(room, &frame)?;
            input = rest;
        }
        Ok(input)
    }

    fn join(&mut self, key: u32, request: &Request) -> u32 {
        let room = self.rooms_by_name.get(&request.room).copied().unwrap_or_else(|| {
            let room = self.rooms.len() as u32;
            self.rooms.push(Room::default());
            self.rooms_by_name.insert(request.room.clone(), room);
            room
        });
        self.connections[key as usize].room = Some(room);
        self.rooms[room as usize].members.push(key);
        request.write_answer(&mut self.reply);
        self.reply.extend_from_slice(self.rooms[room as usize].replay());
        room
    }

    fn take_frame(&mut self, room: u32, frame: &Frame) -> Result<(), Over> {
        match frame.first_byte {
            TEXT | BINARY => {
                let to = &mut self.rooms[room as usize];
                if !to.has_news() {
                    self.rooms_with_news.push(room);
                }
                to.push(frame);
                Ok(())
            }
            PING => {
                self.reply(PONG, frame);
                Ok(())
            }
            PONG => Ok(()),
            CLOSE => {
                self.reply(CLOSE, frame);
                Err(Over)
            }
            _ => Err(Over),
        }
    }

    fn reply(&mut self, first_byte: u8, to: &Frame) {
        write_header(first_byte, to.payload.len(), &mut self.reply);
        to.unmask_into(&mut self.reply);
    }

    fn close(&mut self, key: u32) {
        let connection = self.connections.remove(key as usize);
        let Some(room) = connection.room else { return };
        let members = &mut self.rooms[room as usize].members;
        if let Some(place) = members.iter().position(|&member| member == key) {
            members.swap_remove(place);
        }
    }
}

/// Lets the process have as many connections as the system grants.
fn raise_descriptor_limit() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

fn main() -> io::Result<()> {
    let Some(address) = env::args().nth(1) else {
        eprintln!("usage: floor ADDRESS, such as floor 127.0.0.1:8081");
        std::process::exit(2);
    };
    raise_descriptor_limit()?;
    let mut floor = Floor::bind(&address)?;
    eprintln!("floor: listening on {}", floor.listener.local_addr()?);
    floor.run()
}
