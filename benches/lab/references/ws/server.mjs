// A chat room on ws for Node.js: node server.mjs ADDRESS [--plain]
//
// By itself, ws frames a message once for each receiver and writes it at once: that is --plain, as
// ws's own README shows it. Here a message is framed once, and what a turn of the event loop brings
// goes to each receiver in one write, past the sender that ws has for each connection.

import WebSocket, { Sender, WebSocketServer } from 'ws';

const TEXT = { fin: true, opcode: 1, mask: false, readOnly: false, rsv1: false };

const [address, mode] = process.argv.slice(2);
const [host, port] = address.split(':');
/** Members, by the name of their room. */
const rooms = new Map();
/** Frames of this turn, by room. */
const news = new Map();

function sendToEach(room, text) {
  for (const member of room) member.send(text);
}

function sendWithTheTurn(room, text) {
  const frame = Sender.frame(Buffer.from(text), TEXT);
  if (news.size === 0) setImmediate(flush);
  if (!news.has(room)) news.set(room, []);
  news.get(room).push(...frame);
}

function flush() {
  for (const [room, frames] of news) {
    const bytes = Buffer.concat(frames);
    for (const member of room) {
      if (member.readyState === WebSocket.OPEN) member._socket.write(bytes);
    }
  }
  news.clear();
}

const broadcast = mode === '--plain' ? sendToEach : sendWithTheTurn;
const server = new WebSocketServer({
  host,
  port: Number(port),
  backlog: 4096,
  path: '/chat',
  perMessageDeflate: false,
  skipUTF8Validation: true,
});

server.on('connection', (member, request) => {
  const query = new URL(request.url, 'ws://host').searchParams;
  const [username, name] = [query.get('username'), query.get('room')];
  if (!rooms.has(name)) rooms.set(name, new Set());
  const room = rooms.get(name).add(member);
  member.on('error', () => {});
  member.on('close', () => room.delete(member));
  member.on('message', (data) => {
    const { message } = JSON.parse(data).payload;
    broadcast(room, JSON.stringify({ type: 'chatMessage', payload: { username, message } }));
  });
});
server.on('listening', () => console.log(`ws: listening on ${address}`));
