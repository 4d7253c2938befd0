// Everybody can use it: keyboard, screen reader, contrast, small screens, other directions.

import fs from 'node:fs';
import path from 'node:path';
import { test, check, same, until, startServer, connect, person, newPage, AXE, OUT } from './harness.mjs';
import { startProxy } from './proxy.mjs';
import { startFake } from './fake.mjs';

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
  await page.addScriptTag({ path: AXE }).catch(() => page.evaluate(fs.readFileSync(AXE, 'utf8')));
  const { violations: found } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return found.map((one) => `${what}: ${one.id}: ${one.help} (${one.nodes.map((n) => n.target.join(' ')).slice(0, 3).join(', ')})`);
}

// Names for every one of the twelve colours, one of them right-to-left.
const NAMES = ['Ada', 'Ben', 'Cleo', 'Dan', 'Eve', 'Finn', 'Gus', 'Hal', 'Ida', 'Jo', 'Kim', 'Lea', 'Max', 'Ned', 'Olga', 'Pia', 'Quin', 'Ron', 'Sue', 'Tim', 'Una', 'Vic', 'Wim', 'Xia', 'Yann', 'Zoe', 'ليلى', 'דנה'];

for (const scheme of ['light', 'dark']) {
  for (const [device, options] of Object.entries({ phone: PHONE, small: SMALL, desktop: DESKTOP })) {
    test(`axe finds nothing, nothing is too wide: ${device}, ${scheme}`, async () => {
      const server = await startServer();
      const proxy = await startProxy(server);
      const found = [];
      const look = async (page, what) => {
        await page.screenshot({ path: path.join(OUT, `${device}-${scheme}-${what}.png`), animations: 'disabled' });
        // The small screen is the phone's layout: its width is what is checked there.
        if (device !== 'small') found.push(...await violations(page, what));
        const wide = await page.evaluate((width) => document.documentElement.scrollWidth - width, options.viewport.width);
        if (wide > 0) found.push(`${what}: ${wide} px wider than the screen`);
      };
      const settings = { ...options, colorScheme: scheme, reducedMotion: 'reduce', bypassCSP: true };
      const name = await newPage(settings);
      await name.goto(server.url);
      await look(name, 'name');
      const alice = await person(proxy, 'Alice', settings);
      await alice.page.waitForSelector('#empty', { state: 'visible' });
      await look(alice.page, 'empty');
      const others = [];
      for (const one of NAMES) others.push(await connect(server, { name: one }));
      others.forEach((one, i) => one.say(i % 5 ? 'Anyone for coffee?' : 'Slides: https://box.local/talk.pdf'));
      others[NAMES.length - 2].say('صباح الخير، سأكون هناك خلال خمس دقائق');
      others[0].say('averyveryverylongwordwithoutanybreak'.repeat(8));
      await alice.sees('averyveryverylongwordwithoutanybreak'.repeat(8));
      await alice.say('On my way');
      await alice.settled();
      others[1].send({ type: 'typing' });
      await until(() => alice.page.textContent('#typing'), 'typing');
      const colours = await alice.page.$$eval('#feed .name', (n) => new Set(n.map((x) => x.style.cssText)).size);
      check(colours >= 12, `${colours} of 12 colours shown`);
      await look(alice.page, 'conversation');
      if (device !== 'desktop') {
        await alice.page.click('#side-open');
        await look(alice.page, 'side');
        await alice.page.click('#side-close');
      }
      await alice.page.$eval('#scroller', (node) => { node.scrollTop = 0; });
      others[2].say('Are you still there?');
      await alice.page.waitForSelector('#pill', { state: 'visible' });
      await alice.page.fill('#text', 'x'.repeat(4100));
      await look(alice.page, 'pill');
      await alice.page.fill('#text', '');
      proxy.cut('closed');
      await alice.lost();
      await alice.say('Kept for later');
      await alice.page.waitForSelector('#pending .msg');
      await look(alice.page, 'offline');
      const fake = await startFake({ chat: 503 });
      const late = await newPage(settings);
      await late.goto(fake.url);
      await late.fill('#name', 'Late');
      await late.keyboard.press('Enter');
      await late.waitForSelector('#problem', { state: 'visible' });
      await look(late, 'full');
      const locked = await newPage(settings);
      await locked.goto((await startFake({ chat: 401 })).url);
      await locked.click('text=Come in');
      await locked.waitForSelector('#token-form', { state: 'visible' });
      await look(locked, 'token');
      same(found, [], 'violations');
    });
  }
}

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
