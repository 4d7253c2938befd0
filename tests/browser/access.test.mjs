// Everybody can use it: keyboard, screen reader, contrast, small screens, other directions.

import fs from 'node:fs';
import path from 'node:path';
import { test, check, same, until, startServer, connect, person, newPage, AXE, BOX, PICTURES } from './harness.mjs';
import { startProxy } from './proxy.mjs';
import { startFake, error, welcome } from './fake.mjs';

const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const SMALL = { viewport: { width: 320, height: 568 }, isMobile: true, hasTouch: true };
const DESKTOP = { viewport: { width: 1280, height: 800 } };

const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.localName);

test('a session by keyboard alone', async () => {
  const server = await startServer();
  const bob = await connect(server, { name: 'Bob' });
  const page = await newPage({ viewport: { width: 700, height: 600 } });
  const { keyboard } = page;
  const tabTo = (id) => until(async () => {
    await keyboard.press('Tab');
    return (await focused(page)) === id;
  }, `Tab reaches ${id}`);
  await page.goto(server.url);
  const has = (id) => until(async () => (await focused(page)) === id, `the focus is in ${id}`);
  await has('name');
  await keyboard.type('Alice');
  await keyboard.press('Enter');
  await page.waitForSelector('#chat.live');
  await has('text');
  await keyboard.type('typed without a click');
  await keyboard.press('Enter');
  await until(() => bob.texts().includes('typed without a click'), 'Bob has it');
  same(await focused(page), 'text', 'the focus stays in the input');
  await tabTo('side-open');
  await keyboard.press('Enter');
  same(await focused(page), 'side-close', 'the side has the focus');
  await keyboard.press('Escape');
  same(await focused(page), 'side-open', 'and gives it back');
  await keyboard.press('Enter');
  await tabTo('room');
  await keyboard.type('den');
  await keyboard.press('Enter');
  await until(async () => (await page.textContent('#room-name')) === 'den', 'another room');
  await has('text');
  await page.waitForSelector('#chat.live');
  await tabTo('side-open');
  await keyboard.press('Enter');
  await tabTo('rename');
  await keyboard.press('Enter');
  await has('name');
  await keyboard.press('Escape');
  same(await focused(page), 'text', 'or not');
  await tabTo('scroller');
  check(await page.$eval('#scroller', (n) => getComputedStyle(n).outlineStyle !== 'none'), 'focus can be seen');
});

test('a screen reader is told new messages, and not the replay', async () => {
  const server = await startServer();
  const bob = await connect(server, { name: 'Bob' });
  bob.say('old');
  const spy = () => {
    window.read = [];
    document.addEventListener('DOMContentLoaded', () => {
      const log = document.querySelector('[role=log]');
      // A reader looks at what was added a moment after it was.
      new MutationObserver((changes) => setTimeout(() => {
        const added = changes.flatMap((change) => [...change.addedNodes]).map((node) => node.textContent);
        if (log.getAttribute('aria-live') === 'polite') window.read.push(...added);
      }, 100)).observe(log, { childList: true });
    });
  };
  const alice = await person(server, 'Alice', { init: spy });
  await alice.sees('old');
  await until(() => alice.page.$eval('#feed', (log) => log.getAttribute('aria-live') === 'polite'), 'the voice comes after the replay');
  bob.say('new');
  bob.say('newer');
  await until(async () => (await alice.page.evaluate(() => window.read)).join('|').endsWith('Bob: newer'), 'the new ones are read, with their author');
  check(!(await alice.page.evaluate(() => window.read)).join().includes('old'), 'the replay is not');
});

async function violations(page, what) {
  await page.evaluate(fs.readFileSync(AXE, 'utf8'));
  const { violations: found } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return found.map((one) => `${what}: ${one.id}: ${one.help} (${one.nodes.map((n) => n.target.join(' ')).slice(0, 3).join(', ')})`);
}

// Names for every one of the twelve colours, one of mixed scripts, the last two right-to-left.
const NAMES = ['Ada', 'Ben', 'Cleo', 'Dan', 'Eve', 'Finn', 'Gus', 'Hal', 'Ida', 'Jo', 'Kim', 'Lea', 'Max', 'Ned', 'Olga', 'Pia', 'Quin', 'Ron', 'Sue', 'Tim', 'Una', 'Vic', 'Wim', 'Xia', 'Yann', 'Zoe', '\u0410lice', 'ليلى', 'דנה'];
const LONG = 'averyveryverylongwordwithoutanybreak'.repeat(8);

/** Every state of the conversation, one after the other: `look(page, what)` is called in each. */
async function conversation(settings, look) {
  const server = await startServer();
  const proxy = await startProxy(server);
  const alice = await person(proxy, 'Alice', settings);
  const { page } = alice;
  await page.waitForSelector('#empty', { state: 'visible' });
  await look(page, 'empty');
  const others = [];
  for (const one of NAMES) others.push(await connect(server, { name: one }));
  others.forEach((one, i) => one.say(i % 5 ? 'Anyone for coffee?' : 'Slides: https://box.local/talk.pdf'));
  others[NAMES.length - 2].say('صباح الخير، سأكون هناك خلال خمس دقائق');
  others[0].say(LONG);
  others[0].say('🎉');
  await alice.sees(LONG);
  await alice.say('On my way');
  await alice.settled();
  others[1].send({ type: 'typing' });
  await until(() => page.textContent('#typing'), 'typing');
  const colours = await page.$$eval('#feed .name', (n) => new Set(n.map((x) => x.style.cssText)).size);
  check(colours >= 12, `${colours} of 12 colours shown`);
  await look(page, 'conversation');
  const hasSheet = await page.isVisible('#side-open');
  if (hasSheet) {
    await page.click('#side-open');
    await look(page, 'sheet');
  }
  await page.click('#rename');
  await look(page, 'rename');
  await page.click('#name-cancel');
  await page.$eval('#scroller', (node) => { node.scrollTop = 0; });
  others[2].say('Are you still there?');
  await page.waitForSelector('#pill', { state: 'visible' });
  await page.fill('#text', 'x'.repeat(4100));
  await look(page, 'pill');
  await page.fill('#text', '');
  proxy.cut('closed');
  await alice.lost();
  await alice.say('Kept for later');
  await page.waitForSelector('#pending .msg');
  await until(async () => /^Next try/.test(await page.textContent('#status-wait')), 'the pause is shown');
  await look(page, 'offline');
}

/** What a message looks like that is refused. */
async function refusals(settings, look) {
  const fake = await startFake({}, (socket) => {
    socket.send(welcome(null));
    socket.on('message', (data) => {
      const { type, payload } = JSON.parse(data);
      if (type === 'chatMessage') socket.send(error(payload.ref, 'too many messages at once'));
    });
  });
  const alice = await person(fake, 'Alice', settings);
  await alice.say('One too many');
  await alice.page.waitForSelector('#pending .failed');
  await look(alice.page, 'refused');
}

/** Every screen before the conversation. */
async function screens(settings, look) {
  const login = await newPage(settings);
  await login.goto((await startServer()).url);
  await look(login, 'name');
  for (const [what, hash, answers] of [
    ['full', '', { chat: 503, headers: { 'Hallway-Code': 'full' } }],
    ['rooms', '#den', { chat: 503, headers: { 'Hallway-Code': 'rooms' } }],
    ['address', '', { chat: 429, headers: { 'Hallway-Code': 'address' } }],
    ['forbidden', '', { chat: 403, text: 'pages of this origin may not connect' }],
    ['draining', '', { chat: 503, headers: { 'Hallway-Code': 'draining' } }],
    ['token', '', { chat: 401 }],
  ]) {
    const page = await newPage(settings);
    await page.goto((await startFake(answers)).url + hash);
    await page.click('#name-form .primary');
    await page.waitForSelector(what === 'token' ? '#token-form' : '#problem', { state: 'visible' });
    await look(page, what);
    await page.context().close();
  }
}

for (const scheme of ['light', 'dark']) {
  for (const [device, options] of Object.entries(scheme === 'light' ? { phone: PHONE, small: SMALL, desktop: DESKTOP } : { phone: PHONE, desktop: DESKTOP })) {
    // The small screen has the phone's layout and the desktop the same cards; and axe judges
    // the page, which is the same in an older browser.
    const parts = device === 'desktop' ? [conversation] : [screens, conversation, refusals];
    const judged = device !== 'small' && PICTURES.endsWith('today');
    for (const part of parts) {
      test(`axe finds nothing, nothing is too wide: ${part.name}, ${device}, ${scheme}`, async () => {
        const found = [];
        await part({ ...options, colorScheme: scheme, reducedMotion: 'reduce', bypassCSP: true }, async (page, what) => {
          await page.screenshot({ path: path.join(PICTURES, `${device}-${scheme}-${what}.png`), animations: 'disabled' });
          if (judged) found.push(...await violations(page, what));
          const wide = await page.evaluate((width) => document.documentElement.scrollWidth - width, options.viewport.width);
          if (wide > 0) found.push(`${what}: ${wide} px wider than the screen`);
        });
        same(found, [], 'violations');
      });
    }
  }
}

// Most boxes have no certificate, and a browser withholds much from pages without HTTPS.
test('a box without HTTPS: all but notifications is there, and the address for others', async () => {
  const server = await startServer();
  const alice = await person({ url: `http://${BOX}:${server.port}/` }, 'Alice', { hash: '#den' });
  const bob = await connect(server, { name: 'Bob', room: 'den' });
  same(await alice.page.evaluate(() => [window.isSecureContext, 'randomUUID' in crypto]), [false, false], 'what the browser gives');
  await alice.say('hello');
  await alice.settled();
  bob.say('hello Alice');
  await alice.sees('hello Alice');
  check(await alice.page.isHidden('#notify'), 'no switch that can do nothing');
  same(await alice.page.textContent('#address'), `${BOX}:${server.port}/#den`, 'where others come in');
  check(await alice.page.isVisible('#invite'), 'it is told');
  const local = await person(server, 'Carol');
  check(await local.page.isHidden('#invite'), 'but not an address that leads nobody here');
});

test('phones are told how to keep the page at hand', async () => {
  const server = await startServer();
  const phone = await person(server, 'Alice', PHONE);
  await phone.page.click('#side-open');
  check(await phone.page.isVisible('.install'), 'on a phone');
  const desktop = await person(server, 'Bob', DESKTOP);
  check(await desktop.page.isHidden('.install'), 'not on a desktop');
});

test('right-to-left names and messages are isolated and run their own way', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const leila = await connect(server, { name: 'ليلى' });
  leila.say('مرحبا (1)');
  leila.say('left to right');
  await alice.sees('left to right');
  const way = await alice.page.$$eval('#feed .text', (n) => n.map((x) => getComputedStyle(x).direction));
  same(way, ['rtl', 'ltr'], 'directions');
  check(await alice.page.$$eval('#feed .name, #people .me-name', (n) => n.every((x) => x.localName === 'bdi')), 'names are isolated');
});

test('who wants less motion gets none', async () => {
  const server = await startServer();
  const names = async (reducedMotion) => {
    const alice = await person(server, 'Alice', { reducedMotion });
    await alice.say('hello');
    await alice.settled();
    return alice.page.$eval('#feed .msg:last-of-type', (n) => getComputedStyle(n).animationName);
  };
  same([await names('reduce'), await names('no-preference')], ['none', 'arrive'], 'the animation');
});
