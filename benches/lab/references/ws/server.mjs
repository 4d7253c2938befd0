// A chat on ws for Node.js: node server.mjs ADDRESS [--plain]
//
// By itself, ws makes a frame for each receiver and writes it at once: that is --plain, as ws's own
// README does it. Here a frame is made once, and what a turn of the event loop brings goes to each
// receiver in one write, past the sender that ws has for each connection.

import WebSocket, { Sender, WebSocketServer } from 'ws';

const HISTORY = 100;
const TEXT = { fin: true, opcode: 1, mask: false, readOnly: false, rsv1: false };

class PlainRoom {
  members = new Set();
  history = [];

  join(member) {
    for (const text of this.history) member.send(text);
    this.members.add(member);
  }

  say(text) {
    this.history.push(text);
    if (this.history.length > HISTORY) this.history.shift();
    for (const member of this.members) member.send(text);
  }
}

class Room {
  members = new Set();
  history = [];
  /** Frames of this turn. */
  news = [];

  join(member) {
    if (this.history.length > 0) write(member, Buffer.concat(this.history));
    this.members.add(member);
  }

  say(text) {
    if (this.news.length === 0) setImmediate(() => this.flush());
    this.news.push(Buffer.concat(Sender.frame(Buffer.from(text), TEXT)));
  }

  flush() {
    const bytes = Buffer.concat(this.news);
    for (const member of this.members) write(member, bytes);
    this.history = [...this.history, ...this.news].slice(-HISTORY);
    this.news = [];
  }
}

function write(member, bytes) {
  if (member.readyState === WebSocket.OPEN) member._socket.write(bytes);
}

const [address, mode] = process.argv.slice(2);
const [host, port] = address.split(':');
const rooms = new Map();

function roomOf(name) {
  if (!rooms.has(name)) rooms.set(name, mode === '--plain' ? new PlainRoom() : new Room());
  return rooms.get(name);
}

const server = new WebSocketServer({
  host,
  port: Number(port),
  backlog: 4096,
  path: '/chat',
  perMessageDeflate: false,
  skipUTF8Validation: true,
  // Otherwise a load that was late, and sends 60 pings in one go, is dropped.
  maxPendingAutoPongs: 0,
});

server.on('connection', (member, request) => {
  const query = new URL(request.url, 'ws://host').searchParams;
  const username = query.get('username');
  const room = roomOf(query.get('room'));
  member.on('error', () => {});
  member.on('close', () => room.members.delete(member));
  member.on('message', (data) => {
    const { message } = JSON.parse(data).payload;
    room.say(JSON.stringify({ type: 'chatMessage', payload: { username, message } }));
  });
  room.join(member);
});
server.on('listening', () => console.log(`ws: listening on ${address}`));
