// The origin policy in Debian's Chromium: pages served from another origin, by the browser's own
// account of where they come from.
//
//     node with_browser.mjs --list          the checks, one a line: NAME|OPTIONS OF THE SERVER|TITLE
//     node with_browser.mjs URL CHECK       run one against ws://HOST:PORT/chat
//
// PAGE_PORT in the options stands for the port on which the page is served.

import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const { SERVER_LOG, TEST_WORK, BROWSER_MODULES, PAGE_PORT } = process.env;
const ORIGIN = `http://evil.example:${PAGE_PORT}`;
const PATIENCE_MS = 15_000;

const checks = {
  'origin-refused': {
    options: '',
    title: 'a page of another origin is refused, and the log names the option to add',
    async run(join, own, url) {
      assert.deepStrictEqual(await join(ORIGIN), { ended: 1006 });
      assert.strictEqual(await statusFor(url), 403); // which browsers do not show
      const line = readFileSync(SERVER_LOG, 'utf8').split('\n').find((each) => each.includes('refused'));
      assert.match(line ?? '', /^\S+ warn /);
      assert.ok(line.includes(`--origin ${ORIGIN}"`), line);
    },
  },
  'origin-own': {
    options: '',
    title: "a page of the server's own origin, under any name, is admitted",
    run: async (join, own) => assert.deepStrictEqual(await join(own), { username: 'visitor' }),
  },
  'origin-listed': {
    options: '--origin http://evil.example:PAGE_PORT',
    title: 'the same page is admitted by --origin',
    run: async (join) => assert.deepStrictEqual(await join(ORIGIN), { username: 'visitor' }),
  },
  'origin-other': {
    options: '--origin http://evil.example',
    title: 'and refused where another port of its host is listed',
    run: async (join) => assert.deepStrictEqual(await join(ORIGIN), { ended: 1006 }),
  },
  'origin-any': {
    options: '--origin any',
    title: 'the same page is admitted by --origin any',
    run: async (join) => assert.deepStrictEqual(await join(ORIGIN), { username: 'visitor' }),
  },
};

/** The status of a handshake as that page sends it. */
function statusFor(url) {
  const headers = {
    Origin: ORIGIN,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': 13,
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  return new Promise((done, fail) => {
    const asked = request(url.replace(/^ws/, 'http'), { headers, timeout: PATIENCE_MS });
    asked.on('response', (answer) => done(answer.resume().statusCode));
    asked.on('upgrade', (answer, socket) => done(socket.destroy() && answer.statusCode));
    asked.on('error', fail).end();
  });
}

/** The documented client, and an empty page, on every path but /client.mjs. */
function servePage() {
  const documented = path.join(TEST_WORK, 'documented');
  const reader = path.join(TEST_WORK, 'venv/bin/python');
  const here = path.dirname(new URL(import.meta.url).pathname);
  execFileSync(reader, [path.join(here, 'documented.py'), documented]);
  const client = readFileSync(path.join(documented, 'client.mjs'));
  const server = createServer((request, answer) => {
    const isClient = request.url === '/client.mjs';
    answer.setHeader('Content-Type', isClient ? 'text/javascript' : 'text/html');
    answer.setHeader('Access-Control-Allow-Origin', '*'); // the server's own page imports it too
    answer.end(isClient ? client : '<!doctype html><title>Elsewhere</title>');
  });
  return new Promise((ready) => server.listen(PAGE_PORT, '127.0.0.1', () => ready(server)));
}

/** What becomes of the documented client in a page: it joins, or its connection ends. */
async function joinFrom(browser, origin, chat) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(`${origin}/nothing-but-a-page`);
  return page.evaluate(async ([clientUrl, chat]) => {
    const { join } = await import(clientUrl);
    return new Promise((done) => {
      // The documented client comes back by itself; here the first end is the answer.
      const Socket = WebSocket;
      const socket = new Socket(`${chat}/chat`, 'hallway.v2');
      socket.onclose = ({ code }) => done({ ended: code });
      socket.onopen = () => {
        socket.onclose = null;
        const visit = join(chat, 'lobby', 'visitor', (type, payload) => {
          if (type !== 'welcome') return;
          visit.leave();
          done({ username: payload.username });
        });
      };
    });
  }, [`${ORIGIN}/client.mjs`, chat]);
}

async function run(url, { run: check }) {
  const require = createRequire(path.join(BROWSER_MODULES, 'x'));
  const { chromium } = require('playwright-core');
  const port = new URL(url).port;
  const served = await servePage();
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
      '--disable-background-networking', '--disable-component-update',
      // Names that are no loopback for the browser nor for the server, on loopback.
      '--host-resolver-rules=MAP evil.example 127.0.0.1, MAP box.example 127.0.0.1',
    ],
  });
  try {
    const chat = `ws://box.example:${port}`;
    await check((origin) => joinFrom(browser, origin, chat), `http://box.example:${port}`, url);
  } finally {
    await browser.close();
    served.close();
  }
}

async function main([url, name]) {
  if (url === '--list') {
    for (const [each, { options, title }] of Object.entries(checks)) console.log(`${each}|${options}|${title}`);
    return 0;
  }
  if (!Object.hasOwn(checks, name)) {
    console.error('usage: node with_browser.mjs --list | URL CHECK');
    return 2;
  }
  try {
    await run(url, checks[name]);
    return 0;
  } catch (failure) {
    console.log(`${failure.name}: ${failure.message}`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
