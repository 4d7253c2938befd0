// What every test of the page uses: servers, browsers, people, waiting, and the list of tests.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const OUT = path.join(ROOT, 'target/browser');
// Where tests/browser/install puts them.
export const require = createRequire(path.join(OUT, 'node_modules/'));
const { chromium } = require('playwright-core');
export const WebSocket = require('ws');
export const AXE = require.resolve('axe-core/axe.min.js');

// -- the list of tests

export const tests = [];
/** `once`: it says nothing about the browser, so one of them will do. */
export function test(name, run, { once = false } = {}) {
  tests.push({ name, run, once });
}

export function check(condition, message) {
  if (!condition) throw new Error(message);
}

export function same(actual, expected, what) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  check(a === b, `${what}:\n  is       ${a}\n  expected ${b}`);
}

/** Waits until `look()` is true (or returns a value), for at most `ms`. */
export async function until(look, what, ms = 20000) {
  const deadline = Date.now() + ms;
  let error = '';
  for (;;) {
    try {
      const found = await look();
      if (found) return found;
    } catch (caught) {
      error = ` (${caught.message.split('\n')[0]})`;
    }
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}${error}`);
    await pause(25);
  }
}

/** Time that passes between two actions of a person; never a wait for a condition. */
export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// -- what a test opens is closed after it, whatever happens

const open = new Set();
export async function closeAll() {
  for (const close of [...open].reverse()) await close();
  open.clear();
}
export function closing(close) {
  open.add(close);
}

// -- servers

export function freePort() {
  return new Promise((done) => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

/** A hallway server of its own: { port, url, kill(signal) }, ready when returned. */
export async function startServer(options = [], port = 0) {
  port = port || await freePort();
  const child = spawn(process.env.SERVER_BIN, ['--listen', `127.0.0.1:${port}`, ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data) => { said += data; });
  child.on('error', (error) => { said += error.message; });
  const ended = new Promise((done) => child.on('exit', done).on('error', done));
  let gone = false;
  ended.then(() => { gone = true; });
  const url = `http://127.0.0.1:${port}/`;
  const kill = async (signal = 'SIGKILL') => {
    if (!gone) child.kill(signal);
    await ended;
  };
  closing(kill);
  await until(async () => {
    if (gone) throw new Error(`the server ended: ${said}`);
    return (await fetch(url + 'health')).ok;
  }, `${process.env.SERVER_BIN} serves`);
  return { port, url, kill };
}

/** A client without a page: { frames, send(object), say(text), texts(), close() }. */
export function connect(server, { name, room = 'lobby' }) {
  const query = new URLSearchParams({ username: name, room });
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/chat?${query}`, 'hallway.v2');
  const frames = [];
  const client = {
    frames,
    socket,
    send: (frame) => socket.send(JSON.stringify(frame)),
    say: (message) => client.send({ type: 'chatMessage', payload: { message } }),
    texts: () => frames.filter((frame) => frame.type === 'chatMessage').map((frame) => frame.payload.message),
    close: () => socket.terminate(),
  };
  closing(client.close);
  return new Promise((done, fail) => {
    socket.on('error', fail);
    socket.on('message', (data) => {
      frames.push(JSON.parse(data));
      if (frames[0].type === 'welcome') done(client);
    });
  });
}

// -- browsers

const CHROMIUM = { today: '/usr/bin/chromium', 2021: path.join(OUT, 'chromium-2021') };
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
// A name for this machine that is not known to be this machine: for pages without HTTPS.
export const BOX = 'hallway.box';

/** Pictures of what people see, one folder a browser: build output. */
export const PICTURES = path.join(OUT, process.env.BROWSER || 'today');

let browser = null;
/** Starts the browser of `age`, a key of CHROMIUM; gives its version. */
export async function startBrowser(age = 'today') {
  const args = [...FLAGS, `--host-resolver-rules=MAP ${BOX} 127.0.0.1`];
  browser = await chromium.launch({ executablePath: CHROMIUM[age], args });
  return browser.version();
}
export const stopBrowser = () => browser.close();

// What a browser says of a server that is not there is expected where one is killed.
const EXPECTED = /WebSocket connection to|Failed to load resource|ERR_/;
export let complaints = [];
export const forgetComplaints = () => { complaints = []; };

/** An empty page of a new person, with nothing remembered. */
export async function newPage(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, ...options });
  closing(() => context.close());
  context.setDefaultTimeout(20000);
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('dialog', (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on('console', (line) => {
    if (line.type() === 'error' && !EXPECTED.test(line.text())) complaints.push(line.text());
  });
  return page;
}

/** Somebody who has come in by the page: { page, name, say, texts, pending, ... }. */
export async function person(server, name, { hash = '', init, ...options } = {}) {
  const page = await newPage(options);
  if (init) await page.addInitScript(init);
  await page.goto(server.url + hash);
  await page.fill('#name', name);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#chat.live');
  const all = (selector) => page.$$eval(selector, (nodes) => nodes.map((node) => node.textContent));
  return {
    page,
    name,
    /** Types into the focused input and sends. */
    async say(text) {
      await page.fill('#text', text);
      await page.press('#text', 'Enter');
    },
    texts: () => all('#feed .msg .text'),
    pending: () => all('#pending .msg .text'),
    states: () => page.$$eval('#pending .msg', (nodes) => nodes.map((node) => node.dataset.state)),
    sees: (text, ms) => until(async () => (await all('#feed .msg .text')).includes(text), `${name} sees "${text}"`, ms),
    // What has just been said is drawn with the next frame; a look before it sees nothing unsent.
    async settled(ms) {
      await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
      await until(async () => (await all('#pending .msg')).length === 0, `nothing of ${name}'s is unsent`, ms);
    },
    live: (ms = 20000) => page.waitForSelector('#chat.live', { timeout: ms }),
    lost: () => page.waitForSelector('#chat:not(.live)', { state: 'attached' }),
  };
}

export const countOf = (list, item) => list.filter((one) => one === item).length;
