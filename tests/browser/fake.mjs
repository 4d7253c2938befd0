// A server made of answers: the page's own files, and for /chat whatever the test says. For the
// refusals and the broken replays that the real one gives only in bad moments.

import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';
import { ROOT, WebSocket, closing } from './harness.mjs';

const TYPES = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml', png: 'image/png', webmanifest: 'application/manifest+json' };

/** `answers` is { chat, text, headers }: the answer to /chat, and may change; `script(socket, query)` speaks. */
export async function startFake(answers, script) {
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://fake');
    if (pathname === '/chat') return response.writeHead(answers.chat || 426, answers.headers).end(answers.text || '');
    const file = path.join(ROOT, 'src/web', pathname === '/' ? 'index.html' : path.basename(pathname));
    if (!fs.existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': TYPES[path.extname(file).slice(1)] });
    response.end(fs.readFileSync(file));
  });
  const sockets = new WebSocket.WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {});
    if (answers.chat) return socket.end(`HTTP/1.1 ${answers.chat} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    sockets.handleUpgrade(request, socket, head, (ws) => {
      ws.on('error', () => {});
      script(ws, new URL(request.url, 'http://fake').searchParams);
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  closing(() => { sockets.clients.forEach((ws) => ws.terminate()); server.closeAllConnections(); server.close(); });
  const { port } = server.address();
  return { port, url: `http://127.0.0.1:${port}/` };
}

// -- what it may say

const said = (type, payload) => JSON.stringify({ type, payload });
export const message = (id, username, text, ref, time = '2026-01-01T00:00:00.000Z') => said('chatMessage', { id, time, username, message: text, ref });
export const welcome = (lastId, epoch = 'e') => said('welcome', { username: 'Alice', room: 'lobby', epoch, lastId, complete: true, users: ['Alice'], limits: { textBytes: 4096, usernameChars: 32 } });
export const joined = (username, count) => said('userJoined', { username, count });
export const error = (ref, text) => said('error', { code: 'too_fast', text, ref });
