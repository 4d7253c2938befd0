// People talk.

import fs from 'node:fs/promises';
import path from 'node:path';
import { test, check, same, until, pause, closing, startServer, connect, person, newPage, OUT } from './harness.mjs';
import { startFake, joined, message, welcome } from './fake.mjs';

test('two people chat, each sees both, own messages are marked', async () => {
  const server = await startServer();
  const [alice, bob] = [await person(server, 'Alice'), await person(server, 'Bob')];
  await alice.say('Hello Bob');
  await bob.sees('Hello Bob');
  await bob.say('Hello Alice');
  await alice.sees('Hello Alice');
  await alice.settled();
  same(await alice.texts(), ['Hello Bob', 'Hello Alice'], 'what Alice sees');
  same(await bob.texts(), ['Hello Bob', 'Hello Alice'], 'what Bob sees');
  same(await alice.page.$$eval('.msg.own .text', (nodes) => nodes.map((n) => n.textContent)), ['Hello Bob'], "Alice's own");
  same(await bob.page.textContent('.msg:not(.own) .name'), 'Alice', 'the name above');
  same(await bob.page.$$eval('#people bdi', (nodes) => nodes.map((n) => n.textContent)), ['Alice', 'Bob'], 'who is here');
});

test('messages are grouped by author and day, with times', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const bob = await connect(server, { name: 'Bob' });
  for (const text of ['one', 'two', 'three']) bob.say(text);
  await alice.sees('three');
  await alice.say('four');
  await alice.settled();
  await until(async () => (await alice.texts()).length === 4, 'four messages');
  same(await alice.page.$$eval('#feed .msg .name', (n) => n.map((x) => x.textContent)), ['Bob', 'Alice'], 'one name a group');
  same(await alice.page.$$eval('#feed .day', (n) => n.map((x) => x.textContent)), ['Today'], 'one day');
  same(await alice.page.$$eval('#feed time', (n) => n.length), 2, 'one time a group');
});

test('days and pauses part messages, and "Today" becomes "Yesterday"', async () => {
  const times = ['2024-02-29T12:00', '2026-03-01T12:00', '2026-03-09T12:00', '2026-03-10T11:00', '2026-03-10T11:02', '2026-03-10T11:30'];
  const at = (id, local) => message(id, 'Bob', id, undefined, new Date(local).toISOString());
  let socket = null;
  const fake = await startFake({}, (opened) => {
    socket = opened;
    socket.send(welcome(`at ${times.length - 1}`));
    times.forEach((time, i) => socket.send(at(`at ${i}`, time)));
  });
  const page = await newPage({ locale: 'en-GB' });
  await page.clock.install({ time: new Date('2026-03-10T12:00') });
  await page.goto(fake.url);
  await page.click('#name-form .primary');
  const all = (selector) => page.$$eval(selector, (nodes) => nodes.map((node) => node.textContent));
  await until(async () => (await all('#feed .text')).length === times.length, 'all are shown');
  // Whether there is a comma depends on the browser's age.
  const days = async () => (await all('#feed .day')).map((day) => day.replace(',', ''));
  same(await days(), ['Thursday 29 February 2024', 'Sunday 1 March', 'Yesterday', 'Today'], 'the days');
  same(await all('#feed time'), ['12:00', '12:00', '12:00', '11:00', '11:30'], 'the times of the groups');
  await page.clock.setSystemTime(new Date('2026-03-11T00:01'));
  socket.send(at('after midnight', '2026-03-11T00:01'));
  await until(async () => (await all('#feed .text')).includes('after midnight'), 'a message after midnight');
  same((await days()).slice(2), ['Monday 9 March', 'Yesterday', 'Today'], 'the days then');
});

test('what has been begun is kept, in each room, over a reload', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const draft = () => alice.page.inputValue('#text');
  const go = async (room) => {
    await alice.page.evaluate((name) => { location.hash = name; }, room);
    await until(async () => (await alice.page.textContent('#room-name')) === room, room);
    await alice.live();
  };
  await alice.page.fill('#text', 'for the lobby\nand long');
  await go('den');
  same(await draft(), '', 'nothing begun in the den');
  await alice.page.type('#text', 'for the den');
  await go('lobby');
  await alice.page.reload();
  await alice.live();
  same(await draft(), 'for the lobby\nand long', 'the one begun in the lobby');
  await alice.page.press('#text', 'Enter');
  await alice.settled();
  await alice.page.reload();
  await alice.live();
  same(await draft(), '', 'sent is not begun');
  await go('den');
  same(await draft(), 'for the den', 'the one begun in the den');
});

test('two hundred people in a room: all are listed, and coming together they are listed once', async () => {
  const names = Array.from({ length: 200 }, (_, i) => `Guest ${i}`);
  const fake = await startFake({}, (socket) => {
    socket.send(welcome(null));
    socket.on('message', () => names.forEach((name, i) => socket.send(joined(name, i + 2))));
  });
  const alice = await person(fake, 'Alice');
  await alice.page.evaluate(() => {
    window.lists = 0;
    new MutationObserver(() => { window.lists += 1; }).observe(document.getElementById('people'), { childList: true });
  });
  await alice.say('come in');
  await until(async () => (await alice.page.$$('#people li')).length === 201, 'all are listed');
  same(await alice.page.textContent('#count-side'), '201', 'the count');
  same(await alice.page.textContent('#people li:first-child'), 'AAliceyou', 'oneself is marked');
  const lists = await alice.page.evaluate(() => window.lists);
  check(lists <= 50, `${lists} lists were made`);
  same(await alice.page.textContent('.note'), 'Guest 0, Guest 1 and 198 others joined', 'one line in the conversation');
});

test('Enter sends, Shift+Enter breaks the line, the input grows and shrinks', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const height = () => alice.page.$eval('#text', (input) => input.offsetHeight);
  const before = await height();
  await alice.page.type('#text', 'one');
  await alice.page.keyboard.press('Shift+Enter');
  await alice.page.keyboard.press('Shift+Enter');
  await alice.page.keyboard.type('three');
  check(await height() > before + 20, 'the input grew');
  await alice.page.keyboard.press('Enter');
  await alice.sees('one\n\nthree');
  same(await height(), before, 'the height after sending');
});

test('typing is shown to others and ends with the message', async () => {
  const server = await startServer();
  const [alice, bob] = [await person(server, 'Alice'), await person(server, 'Bob')];
  await alice.page.type('#text', 'Hm');
  await until(async () => (await bob.page.textContent('#typing')) === 'Alice is typing…', 'Bob sees Alice typing');
  same(await alice.page.textContent('#typing'), '', 'Alice is not told of herself');
  await alice.page.keyboard.press('Enter');
  await until(async () => (await bob.page.textContent('#typing')) === '', 'it ends at once', 4500);
});

test('joins and leaves are folded into one quiet line', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const others = [];
  for (const name of ['Ben', 'Cleo', 'Dan', 'Eve']) others.push(await connect(server, { name }));
  const notes = () => alice.page.$$eval('.note:not([hidden])', (n) => n.map((x) => x.textContent));
  await until(async () => (await notes()).join() === 'Ben, Cleo and 2 others joined', 'four arrivals, one line');
  others[0].close();
  await until(async () => (await notes()).join() === 'Cleo, Dan and Eve joined', 'one who came and went drops out');
  same(await alice.page.textContent('#count-side'), '4', 'the count');
  same(await alice.page.$$eval('.note', (n) => n.every((x) => x.getAttribute('aria-live') === 'off')), true, 'not read aloud');
});

test('150 messages, and a newcomer sees the last 100', async () => {
  const server = await startServer();
  const bob = await connect(server, { name: 'Bob' });
  for (let i = 1; i <= 150; i += 1) bob.say(`message ${i}`);
  await until(() => bob.texts().length === 150, 'all are said');
  const alice = await person(server, 'Alice');
  await alice.sees('message 150');
  same(await alice.texts(), Array.from({ length: 100 }, (_, i) => `message ${i + 51}`), 'what the newcomer sees');
});

test('the name is asked for once, and a blank one joins as Anon and stays the same', async () => {
  const server = await startServer();
  const alice = await person(server, '');
  const name = await alice.page.textContent('#me-name');
  check(/^Anon_\d{6}$/.test(name), `the name is ${name}`);
  await pause(1100); // the server names by the second: a new name would be another one
  await alice.page.evaluate(() => window.dispatchEvent(new Event('offline')));
  await alice.lost();
  await alice.live();
  same(await alice.page.textContent('#me-name'), name, 'the name after reconnecting');
  await alice.page.reload();
  await alice.live();
  check(await alice.page.isHidden('#name-form'), 'not asked again');
  await alice.page.click('#rename');
  await alice.page.fill('#name', 'Alice');
  await alice.page.keyboard.press('Enter');
  await until(async () => (await alice.page.textContent('#me-name')) === 'Alice', 'the new name');
});

test('the room is in the address, can be switched, and nothing crosses', async () => {
  const server = await startServer();
  const [alice, bob] = [await person(server, 'Alice'), await person(server, 'Bob', { hash: '#w%C3%B6rkshop' })];
  same(await bob.page.textContent('#room-name'), 'wörkshop', 'the room of the address');
  await alice.say('in the lobby');
  await alice.settled();
  await alice.page.fill('#room', 'wörkshop');
  await alice.page.keyboard.press('Enter');
  await until(async () => (await alice.page.textContent('#room-name')) === 'wörkshop', 'Alice went over');
  await alice.live();
  same(await alice.texts(), [], 'nothing of the lobby here');
  await alice.say('in the workshop');
  await bob.sees('in the workshop');
  same(await bob.texts(), ['in the workshop'], 'nothing crossed');
  await alice.page.goBack();
  await alice.sees('in the lobby');
  same(await alice.page.$$eval('#rooms a', (n) => n.map((x) => x.textContent)), ['lobby', 'wörkshop'], 'rooms to return to');
});

test('links are clickable, and only http and https ones', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  await alice.say('see (https://example.org/a_(b)), http://box.local/x?y=1. javascript:alert(1) data:text/html,x //evil ftp://x');
  await alice.settled();
  await alice.page.waitForSelector('#feed a');
  const links = await alice.page.$$eval('#feed a', (n) => n.map((a) => [a.getAttribute('href'), a.rel, a.target]));
  const how = ['noopener noreferrer nofollow', '_blank'];
  same(links, [['https://example.org/a_(b)', ...how], ['http://box.local/x?y=1', ...how]], 'the links');
});

test('a counter shows near the limit, and too long a message is not sent', async () => {
  const server = await startServer(['--text-bytes', '500']);
  const alice = await person(server, 'Alice');
  const counter = () => alice.page.textContent('#counter');
  await alice.page.fill('#text', 'short');
  same(await counter(), '', 'no counter far from the limit');
  await alice.page.fill('#text', 'ü'.repeat(245));
  same(await counter(), '10 left', 'bytes, not characters');
  await alice.page.fill('#text', 'x'.repeat(507));
  same(await counter(), 'Too long by 7', 'over the limit');
  await alice.page.keyboard.press('Enter');
  same((await alice.page.inputValue('#text')).length, 507, 'the text stays');
  same(await alice.pending(), [], 'nothing is sent');
});

test('scrolling stays where the reader is, and a pill leads to what is new', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const bob = await connect(server, { name: 'Bob' });
  for (let i = 1; i <= 60; i += 1) bob.say(`message ${i}`);
  await alice.sees('message 60');
  const top = () => alice.page.$eval('#scroller', (node) => Math.round(node.scrollTop));
  await until(async () => await top() > 500, 'the end is shown');
  await alice.page.$eval('#scroller', (node) => { node.scrollTop = 300; });
  await until(async () => await top() === 300, 'scrolled up');
  bob.say('new one');
  bob.say('new two');
  await alice.sees('new two');
  await until(async () => (await alice.page.textContent('#pill')) === '2 new messages ↓', 'the pill counts');
  same(await top(), 300, 'where the reader is');
  await alice.page.click('#pill');
  const atEnd = () => alice.page.$eval('#scroller', (n) => n.scrollHeight - n.scrollTop - n.clientHeight < 5);
  check(await atEnd(), 'the pill leads to the end');
  check(await alice.page.isHidden('#pill'), 'and is gone');
  bob.say('newest');
  await alice.sees('newest');
  await until(atEnd, 'at the end, the page follows');
});

test('who follows a busy room keeps following, and who comes down to the end keeps their place', async () => {
  const server = await startServer(['--rate', '0']);
  const alice = await person(server, 'Alice');
  const bob = await connect(server, { name: 'Bob' });
  let said = 0;
  const say = async (count) => {
    for (const end = said + count; said < end;) bob.say(`message ${said += 1}`);
    await until(() => bob.texts().length === said, 'all are said');
  };
  const { page } = alice;
  // Scroll events come when they like: here, each time between messages and their drawing.
  await page.evaluate(() => {
    const { requestAnimationFrame: later } = window;
    const scroll = () => document.getElementById('scroller').dispatchEvent(new Event('scroll'));
    window.requestAnimationFrame = (draw) => later(() => { scroll(); later(draw); });
  });
  for (let i = 0; i < 8; i += 1) {
    await say(120);
    await alice.sees(`message ${said}`);
    check(await page.$eval('#scroller', (n) => n.scrollHeight - n.scrollTop - n.clientHeight < 5), `at the end after ${said}`);
  }
  await page.$eval('#scroller', (n) => { n.scrollTop = 500; });
  await page.waitForFunction(() => document.getElementById('pill').hidden);
  await say(900);
  await until(async () => (await page.textContent('#pill')) === '900 new messages ↓', 'the pill counts');
  const last = async () => (await alice.texts()).pop();
  const bottom = await last();
  // A message that has just come still moves by itself.
  await until(() => page.evaluate(() => document.getAnimations().length === 0), 'all stands still');
  const place = () => page.evaluate((text) => [...document.querySelectorAll('#feed .text')].find((n) => n.textContent === text).getBoundingClientRect().top, bottom);
  await page.$eval('#scroller', (n) => { n.scrollTop = n.scrollHeight; });
  const before = await place();
  await until(async () => await last() !== bottom, 'more is shown below');
  check(Math.abs(await place() - before) < 2, `what was read has moved from ${before} to ${await place()}`);
});

// A page that nobody looks at; headless pages always count as looked at.
const away = () => { window.isAway = true; Document.prototype.hasFocus = () => !window.isAway; };

test('unread messages are counted in the title and dotted on the icon', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice', { init: away });
  const bob = await connect(server, { name: 'Bob' });
  bob.say('one');
  bob.say('two');
  await until(async () => (await alice.page.title()) === '(2) lobby · Hallway', 'the title counts');
  const icon = () => alice.page.getAttribute('#icon', 'href');
  await until(async () => (await icon()).startsWith('data:image/svg+xml'), 'the icon has a dot');
  await alice.page.evaluate(() => { window.isAway = false; window.dispatchEvent(new Event('focus')); });
  await until(async () => (await alice.page.title()) === 'lobby · Hallway', 'seen');
  check(!(await icon()).startsWith('data:'), 'the dot is gone');
});

const countNotifications = () => {
  window.shown = [];
  window.asked = 0;
  window.Notification = class {
    static permission = 'default';
    static async requestPermission() { window.asked += 1; return (this.permission = 'granted'); }
    constructor(title, { body }) { window.shown.push(`${title}: ${body}`); }
  };
};

test('notifications only for those who asked, and only when away', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice', { init: `(${away})();(${countNotifications})()` });
  const bob = await connect(server, { name: 'Bob' });
  bob.say('not wanted');
  await alice.sees('not wanted');
  same(await alice.page.evaluate(() => [window.asked, window.shown]), [0, []], 'unasked, nothing');
  await alice.page.click('#notify');
  await until(async () => (await alice.page.getAttribute('#notify', 'aria-checked')) === 'true', 'switched on');
  bob.say('wanted');
  await until(() => alice.page.evaluate(() => window.shown.join() === 'Bob: wanted'), 'notified');
  await alice.page.evaluate(() => { window.isAway = false; });
  bob.say('looking');
  await alice.sees('looking');
  same(await alice.page.evaluate(() => window.shown.length), 1, 'not while looking');
});

test('an empty room says so', async () => {
  const server = await startServer();
  const page = await newPage();
  await page.goto(server.url);
  same(await page.textContent('#name-title'), 'What should people call you?', 'the question');
  await page.fill('#name', 'Alice');
  await page.click('#name-form .primary');
  await page.waitForSelector('#empty', { state: 'visible' });
  await page.fill('#text', 'first');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#empty', { state: 'hidden' });
});

test('in a room too large for a list of names, the page counts', async () => {
  const server = await startServer(['--announce-up-to', '2']);
  const [bob] = [await connect(server, { name: 'Bob' }), await connect(server, { name: 'Carol' })];
  bob.say('before');
  const alice = await person(server, 'Alice');
  await alice.sees('before');
  await alice.say('hello');
  await alice.settled();
  await until(async () => (await alice.page.textContent('#count')) === '3', 'three are here');
  await until(async () => (await alice.page.textContent('#people')) === 'Too many to list.', 'and the list says why it is empty');
});

test('the page has the title and the welcome of its operator', async () => {
  const folder = await fs.mkdtemp(path.join(OUT, 'welcome-'));
  closing(() => fs.rm(folder, { recursive: true }));
  const file = path.join(folder, 'text');
  await fs.writeFile(file, 'Be kind.\n<b>Really</b>.');
  const server = await startServer(['--title', 'Flat <3>', '--welcome', file]);
  const page = await newPage();
  await page.goto(server.url);
  same(await page.innerText('#name-form .welcome'), 'Be kind.\n<b>Really</b>.', 'who comes reads it');
  await page.fill('#name', 'Alice');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#chat.live');
  same(await page.title(), 'lobby · Flat <3>', 'the title');
  same(await page.innerText('.brand h1'), 'Flat <3>', 'the heading');
  same(await page.innerText('.column .welcome'), 'Be kind.\n<b>Really</b>.', 'above the conversation');
  const plain = await person(await startServer(), 'Bob');
  same(await plain.page.title(), 'lobby · Hallway', 'its own title');
  check(!(await plain.page.isVisible('.welcome')), 'nothing is shown where there is nothing to say');
});
