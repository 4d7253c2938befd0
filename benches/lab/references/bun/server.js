// A chat room on Bun, with uWebSockets' publish and subscribe inside: bun server.js ADDRESS

const address = process.argv[2];
const [hostname, port] = address.split(':');

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
    // As long as there is: a reader that falls behind is not what is compared.
    backpressureLimit: 2 ** 30,
    idleTimeout: 0,
    sendPings: false,
    open(socket) {
      socket.subscribe(socket.data.room);
    },
    message(socket, text) {
      const { username, room } = socket.data;
      const { message } = JSON.parse(text).payload;
      server.publish(room, JSON.stringify({ type: 'chatMessage', payload: { username, message } }));
    },
  },
});
console.log(`bun: listening on ${address}`);
