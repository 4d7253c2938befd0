// Whatever strangers send stays text, and stays theirs.

import { test, check, same, until, startServer, connect, person } from './harness.mjs';

test("a client that claims another's name is shown under its own", async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const mallory = await connect(server, { name: 'Mallory' });
  mallory.send({ type: 'chatMessage', payload: { username: 'Alice', message: 'I am Alice' } });
  await alice.sees('I am Alice');
  same(await alice.page.$$eval('#feed .name', (n) => n.map((x) => x.textContent)), ['Mallory'], 'the author');
  // The name itself taken by another connection: not one's own, as only one's own echo is.
  const twin = await connect(server, { name: 'Alice' });
  twin.say('so am I');
  await alice.sees('so am I');
  same(await alice.page.$$eval('#feed .own', (n) => n.length), 0, 'messages marked as own');
});

const HOSTILE = [
  '<script>window.hit = 1</script>',
  '<img src=x onerror="window.hit = 1">',
  '<svg/onload=window.hit=1>',
  '"><script>window.hit = 1</script>',
  "'-alert(1)-'",
  '<a href="javascript:window.hit=1">x</a>',
  'javascript:window.hit=1',
  '<iframe srcdoc="<script>parent.hit=1</script>">',
  '<style>*{display:none}</style>',
  '</div></main><h1>gone</h1>',
  '<details open ontoggle=window.hit=1>',
  '&lt;script&gt;window.hit=1&lt;/script&gt;',
  '&#60;script&#62;window.hit=1',
  '${window.hit = 1}',
  '{{constructor.constructor("window.hit=1")()}}',
  '<math><mtext><table><mglyph><style><img src=x onerror=window.hit=1>',
  '<bdi id="text">clobbered</bdi><form id="composer"><input name="__proto__">',
  'https://x.org/"onmouseover="window.hit=1',
  "https://x.org/'><script>window.hit=1</script>",
  'http://javascript:window.hit=1@x.org/',
  '<?xml version="1.0"?><!--><img src=x onerror=window.hit=1>-->',
  'toString', '__proto__', 'constructor',
];

test('script in messages stays text', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const mallory = await connect(server, { name: 'Mallory' });
  for (const text of HOSTILE) mallory.say(text);
  mallory.say('end');
  await alice.sees('end');
  same(await alice.texts(), [...HOSTILE, 'end'], 'shown as written');
  await alice.say(HOSTILE[1]);
  await alice.settled();
  const tags = await alice.page.$$eval('#feed *', (nodes) => [...new Set(nodes.map((n) => n.localName))].sort());
  same(tags, ['a', 'bdi', 'div', 'p', 'span', 'time'], 'elements in the conversation');
  const hrefs = await alice.page.$$eval('#feed a', (nodes) => nodes.map((n) => new URL(n.href).protocol));
  check(hrefs.every((protocol) => /^https?:$/.test(protocol)), `links lead to ${hrefs}`);
  same(await alice.page.evaluate(() => [window.hit, document.getElementById('text').localName]), [null, 'textarea'].map((x) => x ?? undefined), 'nothing ran');
});

test('script in names and rooms stays text, everywhere a name stands', async () => {
  const server = await startServer();
  const short = HOSTILE.filter((name) => name.length <= 32);
  const alice = await person(server, 'Alice', { hash: '#' + encodeURIComponent('<img src=x onerror=hit=1>') });
  const room = await alice.page.textContent('#room-name');
  same(room, '<img src=x onerror=hit=1>', 'the room');
  for (const name of short) {
    const mallory = await connect(server, { name, room });
    mallory.send({ type: 'typing' });
    mallory.say(`I am ${name}`);
    await alice.sees(`I am ${name}`);
  }
  const shown = await alice.page.$$eval('#feed .name', (n) => n.map((x) => x.textContent));
  same(shown, short, 'the names');
  const tags = await alice.page.$$eval('#feed *, #people *, #typing *, #rooms *', (nodes) => [...new Set(nodes.map((n) => n.localName))].sort());
  same(tags, ['a', 'bdi', 'div', 'li', 'p', 'span', 'time'], 'elements around names');
  same(await alice.page.evaluate(() => typeof window.hit), 'undefined', 'nothing ran');
});

test('frames that make no sense change nothing', async () => {
  const { startFake } = await import('./fake.mjs');
  const welcome = '{"type":"welcome","payload":{"username":"Alice","room":"lobby","epoch":"e","lastId":null,"complete":true,"users":["Alice"],"limits":{"textBytes":4096,"usernameChars":32}}}';
  const fake = await startFake({}, (socket) => {
    for (const text of [welcome, 'not json', '{}', '{"type":"constructor","payload":{}}', '{"type":"future","payload":{"x":1}}', '{"type":"typing","payload":{"username":"Bob"}}']) socket.send(text);
    socket.send('{"type":"chatMessage","payload":{"id":"1","time":"2026-01-01T00:00:00.000Z","username":"Bob","message":"still here"}}');
  });
  const alice = await person(fake, 'Alice');
  await alice.sees('still here');
  await until(() => alice.page.isVisible('#chat.live'), 'alive');
});
