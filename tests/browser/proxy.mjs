// A network that can be broken: a TCP proxy before the server.
//
//   pass      hands everything on
//   deaf      hands on what the browser says, swallows what the server answers
//   mute      the other way round
//   closed    lets no new connection through, and what is open is cut
//
// `rewrite(text)`, if set, changes what the browser says.

import net from 'node:net';
import { closing } from './harness.mjs';

export async function startProxy(server) {
  const pairs = new Set();
  const proxy = { mode: 'pass', target: server.port };

  function cut() {
    for (const pair of pairs) pair.forEach((socket) => socket.destroy());
    pairs.clear();
  }

  const listener = net.createServer((near) => {
    if (proxy.mode === 'closed') return near.destroy();
    const far = net.connect(proxy.target, '127.0.0.1');
    const pair = [near, far];
    pairs.add(pair);
    const changed = (data) => (proxy.rewrite ? Buffer.from(proxy.rewrite(data.toString('latin1')), 'latin1') : data);
    near.on('data', (data) => proxy.mode !== 'mute' && far.write(changed(data)));
    far.on('data', (data) => proxy.mode !== 'deaf' && near.write(data));
    for (const socket of pair) {
      socket.on('error', () => {});
      socket.on('close', () => { pairs.delete(pair); pair.forEach((other) => other.destroy()); });
    }
  });
  await new Promise((done) => listener.listen(0, '127.0.0.1', done));
  closing(() => { cut(); listener.close(); });

  const { port } = listener.address();
  return Object.assign(proxy, {
    port,
    url: `http://127.0.0.1:${port}/`,
    /** Cuts every connection; new ones go by `mode`. */
    cut(mode = 'pass') {
      proxy.mode = mode;
      cut();
    },
  });
}
