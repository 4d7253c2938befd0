// A chat on Bun, with uWebSockets' publish and subscribe inside: bun server.js ADDRESS

const HISTORY = 100;

const address = process.argv[2];
const [hostname, port] = address.split(':');
/** The last messages, by room. */
const histories = new Map();

function historyOf(room) {
  if (!histories.has(room)) histories.set(room, []);
  return histories.get(room);
}

const server = Bun.serve({
  hostname,
  port: Number(port),
  development: false,
  fetch(request, server) {
    const query = new URL(request.url).searchParams;
    const data = { username: query.get('username'), room: query.get('room') || 'lobby' };
    if (server.upgrade(request, { data })) return;
    return new Response('this is for WebSocket', { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    // As far as it goes: a reader that falls behind is not what is compared.
    backpressureLimit: 2 ** 30,
    idleTimeout: 0,
    sendPings: false,
    open(socket) {
      for (const text of historyOf(socket.data.room)) socket.send(text);
      socket.subscribe(socket.data.room);
    },
    message(socket, received) {
      const { username, room } = socket.data;
      const { message } = JSON.parse(received).payload;
      const text = JSON.stringify({ type: 'chatMessage', payload: { username, message } });
      const history = historyOf(room);
      history.push(text);
      if (history.length > HISTORY) history.shift();
      server.publish(room, text);
    },
  },
});
console.log(`bun: listening on ${address}`);
