// Whatever strangers send stays text, and stays theirs.

import { test, check, same, until, startServer, connect, person, complaints, forgetComplaints } from './harness.mjs';
import { startFake, message, welcome } from './fake.mjs';

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
  'data:text/html,<script>parent.hit=1</script>',
  '\u202e<script>window.hit = 1</script>',
  '\u2066\u2067<b>isolates that never end',
  '<object data="javascript:window.hit=1"></object><embed src="javascript:window.hit=1">',
  '<base href="https://evil.org/"><link rel="stylesheet" href="//evil.org/x.css">',
  '<meta http-equiv="refresh" content="0;url=javascript:window.hit=1">',
];

// What is written, where its links lead, and what is shown if that is not the same.
const LINKS = [
  ['javascript:alert(1) JAVASCRIPT://x/%0aalert(1) data:text/html,x vbscript:x //evil.org ftp://x.org', []],
  ['blob:https://x.org/1', ['https://x.org/1']],
  ['HTTPS://X.org/A http://[::1]:8080/b', ['https://x.org/A', 'http://[::1]:8080/b'], 'https://x.org/A http://[::1]:8080/b'],
  ['https://bank.org@evil.org/ https://bank.org:80@evil.org http://javascript:window.hit=1@x.org/', []],
  ['https:// http://? https://%', []],
  ['https:///x.org/a http://@x.org', ['https://x.org/a', 'http://x.org'], 'https://x.org/a http://x.org'],
  ['https://x.org/"onmouseover="window.hit=1', ['https://x.org/']],
  ['https://x.org/<b>', ['https://x.org/']],
  ['https://x.org\\@evil.org', ['https://x.org']],
  ['(https://x.org/a_(b)), https://x.org/?a=1&b=2#c!', ['https://x.org/a_(b)', 'https://x.org/?a=1&b=2#c']],
  ['(https://x.org/))) https://x.org/((a)', ['https://x.org/', 'https://x.org/((a)']],
  ['https://x.org/Köln?q=日本', ['https://x.org/Köln?q=日本']],
  // A host of other letters, or of numbers.
  ['https://bücher.org/ü', ['https://xn--bcher-kva.org/ü'], 'https://xn--bcher-kva.org/ü'],
  ['https://\u0430pple.com', ['https://xn--pple-43d.com'], 'https://xn--pple-43d.com'],
  ['http://0x7f.1/ http://x.org:80', ['http://127.0.0.1/', 'http://x.org'], 'http://127.0.0.1/ http://x.org'],
  // What looks like a slash or a full stop.
  ...[['\u2044', 'coma-2g7a'], ['\u2215', 'coma-id9a'], ['\u29f8', 'coma-xl7b']].map(([slash, label]) => (
    [`https://bank.com${slash}a.evil.org/`, [`https://bank.xn--${label}.evil.org/`], `https://bank.xn--${label}.evil.org/`])),
  ['https://bank.com\uff0fa.evil.org/', []],
  ['https://bank\u3002com', ['https://bank.com'], 'https://bank.com'],
  // What is not seen.
  ['https://bank.co\u00adm/', ['https://bank.com/'], 'https://bank.com/'],
  ['https://bank.co\u200bm', ['https://bank.com'], 'https://bank.com'],
  ['https://x.org/a\u00adb?\u3164#\u2800', ['https://x.org/a%C2%ADb?%E3%85%A4#%E2%A0%80'], 'https://x.org/a%C2%ADb?%E3%85%A4#%E2%A0%80'],
  ['https://x.org/\u202egpj.exe<img src=x onerror=window.hit=1>', ['https://x.org/%E2%80%AEgpj.exe'], 'https://x.org/%E2%80%AEgpj.exe<img src=x onerror=window.hit=1>'],
  ['https://x.org/a\u2067b', ['https://x.org/a%E2%81%A7b'], 'https://x.org/a%E2%81%A7b'],
];

test('links show the host that they lead to, or are none', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const mallory = await connect(server, { name: 'Mallory' });
  for (const [text] of LINKS) mallory.say(text);
  mallory.say('end');
  await alice.sees('end');
  const shown = await alice.page.$$eval('#feed .text', (nodes) => nodes.map((node) => [node.textContent, [...node.querySelectorAll('a')].map((a) => a.getAttribute('href'))]));
  same(shown.slice(0, -1), LINKS.map(([written, hrefs, seen = written]) => [seen, hrefs]), 'the links');
  const plain = await alice.page.$$eval('#feed a', (nodes) => nodes.every((a) => a.textContent === a.getAttribute('href') && a.rel === 'noopener noreferrer nofollow' && a.target === '_blank'));
  check(plain, 'what is shown is where they lead, and the page there learns nothing');
});

test('the host of a link is on its left, also among letters that run from right to left', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const mallory = await connect(server, { name: 'Mallory' });
  mallory.say('שלום https://evil.org/א/bank.com');
  await alice.sees('שלום https://evil.org/א/bank.com');
  const [host, end] = await alice.page.$eval('#feed a', ({ firstChild }) => [0, firstChild.length - 1].map((at) => {
    const range = document.createRange(); range.setStart(firstChild, at); range.setEnd(firstChild, at + 1); return range.getBoundingClientRect().left;
  }));
  check(host < end, `the first letter at ${host}, the last at ${end}`);
});

// A hundred thousand characters take milliseconds where each is looked at a few times, and half a
// minute where each is looked at for each other.
test('the time to find links grows with the text and not with its square', async () => {
  const { page } = await person(await startServer(), 'Alice');
  const slow = await page.evaluate(async () => {
    const { linked } = await import('./message.js');
    const times = [];
    for (const part of [')', '(', '()', '.', '/', '@', '#', '%', '\u00ad', 'http://', 'http:', 'http://a ', 'http://a)', 'http://]']) {
      for (const start of ['', 'https://', 'https://x.org/']) {
        const text = start + part.repeat(100000 / part.length);
        const before = performance.now();
        linked(text);
        times.push([performance.now() - before, start + part]);
      }
    }
    return times.filter(([ms]) => ms > 2000);
  });
  same(slow, [], 'ms for each text');
});

test('names that look the same are the same: composed or not, whatever the white space', async () => {
  const server = await startServer();
  const alike = ['Zo\u00eb K', 'Zoe\u0308 K', 'Zo\u00eb\u00a0K', 'Zo\u00eb \u2003\u3000K'];
  const zoe = await person(server, alike[1]);
  const others = [];
  for (const name of alike) others.push(await connect(server, { name }));
  others.forEach((one, i) => one.say(`message ${i}`));
  await zoe.sees('message 3');
  const { page } = zoe;
  await until(async () => (await page.$$eval('#people li', (n) => n.map((x) => x.lastChild.textContent))).join() === 'you ×5', 'one name, which is mine, five times');
  same(await page.$$eval('#people .me-name, #feed .name, #me-name', (n) => [...new Set(n.map((x) => x.textContent))]), [alike[0]], 'what is shown');
  same(await page.$$eval('#people .door, #feed .door', (n) => new Set(n.map((x) => x.style.cssText)).size), 1, 'colours');
});

// Whether UTS 39 calls them highly restrictive.
const SCRIPTS = [
  ['Alice', true], ["José O'Neil-2 🎉", true], ['Дима_7', true], ['Ελένη', true], ['ليلى', true], ['ᎠᎵᏏ', true], ['__12__', true],
  ['山田たろうカナー A', true], ['김 金 Kim', true], ['ㄅㄆ注音 A', true],
  ['\u0410lice', false], ['B\u03bfb', false], ['Ali\u0441e ليلى', false], ['Дима ελ', false], ['A\u13aa', false], ['たろう김', false], ['ㄅた', false], ['山\u0434', false],
];

test('a name of mixed scripts is marked wherever it stands, and others are not', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  for (const [name] of SCRIPTS) {
    const one = await connect(server, { name });
    one.say(`I am ${name}`);
    await alice.sees(`I am ${name}`);
    const marks = await alice.page.$$eval('#feed .msg:last-child .name .mixed', (n) => n.map((x) => [x.textContent, Boolean(x.title)]));
    same(marks, SCRIPTS.find(([it]) => it === name)[1] ? [] : [['mixed alphabets', true]], `marks of ${name}`);
    one.close();
  }
  const mallory = await connect(server, { name: '\u0410lice' });
  mallory.send({ type: 'typing' });
  for (const place of ['#typing', '#people', '#feed .note:last-child']) {
    await until(async () => (await alice.page.textContent(place)).includes('\u0410lice mixed alphabets'), `a mark in ${place}`);
  }
});

test('what overrides direction reaches no further than its message, and into no name', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const mallory = await connect(server, { name: 'Mall\u202eory' });
  mallory.say('abc \u202e def');
  mallory.say('ghi');
  await alice.sees('ghi');
  same(await alice.page.textContent('#feed .name'), 'Mallory', 'the name');
  const ends = await alice.page.$$eval('#feed .text', ([, node]) => {
    const at = (from, to) => { const range = document.createRange(); range.setStart(node.firstChild, from); range.setEnd(node.firstChild, to); return range.getBoundingClientRect().left; };
    return at(0, 1) < at(2, 3);
  });
  check(ends, 'the next message runs from left to right');
});

// What the browser is told with each file, asked for as a browser asks.
test('the files are compressed, kept, asked for again with their tag, and watched', async () => {
  const { url } = await startServer();
  const ask = (name, headers = {}) => fetch(url + name, { headers });
  const page = await (await ask('')).text();
  const manifest = await (await ask('manifest.webmanifest')).json();
  const names = [...page.matchAll(/(?:href|src)="([\w.]+)"/g)].map(([, name]) => name).concat(manifest.icons.map((icon) => icon.src));
  check(names.length > 8, `the page names ${names}`);
  for (const name of ['', ...names]) {
    const { status, headers } = await ask(name);
    same([status, headers.get('cache-control'), headers.get('x-content-type-options'), headers.get('content-encoding'), headers.get('vary')], [200, 'no-cache', 'nosniff', 'gzip', 'Accept-Encoding'], `/${name}`);
    const again = await ask(name, { 'If-None-Match': headers.get('etag') });
    same([again.status, (await again.text()).length], [304, 0], `/${name} once more`);
    same((await ask(name, { 'If-None-Match': '"another"' })).status, 200, `/${name} of another version`);
    same((await ask(name, { 'Accept-Encoding': 'identity' })).headers.get('content-encoding'), null, `/${name} as it is`);
  }
  const { headers } = await ask('');
  same(headers.get('referrer-policy'), 'no-referrer', 'the referrer');
  const policy = headers.get('content-security-policy');
  for (const part of ["default-src 'none'", "script-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) {
    check(policy.split('; ').includes(part), `${part} is in the policy: ${policy}`);
  }
  check(!/unsafe|https?:|\*/.test(policy), `nothing is let through: ${policy}`);
  check(!/<script(?![^>]* src=)|\son\w+=|\sstyle=|javascript:/i.test(page), 'nothing inline');
  for (const [key, value] of Object.entries({ name: 'Hallway', display: 'standalone', start_url: './' })) same(manifest[key], value, `the manifest's ${key}`);
});

test('markup from a string is refused by the browser itself', async () => {
  const server = await startServer();
  const alice = await person(server, 'Alice');
  const tried = await alice.page.evaluate(() => {
    try { document.body.innerHTML = '<p>'; } catch (error) { return error.name; }
    return 'done';
  });
  same(tried, 'TypeError', 'innerHTML');
  await until(() => complaints.length, 'and told to the developer');
  forgetComplaints();
  await until(() => alice.page.isVisible('#chat.live'), 'nothing changed');
});


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
  same(shown, short.map((name) => name.replace(/[\u202a-\u202e\u2066-\u2069]/g, '')), 'the names');
  const tags = await alice.page.$$eval('#feed *, #people *, #typing *, #rooms *', (nodes) => [...new Set(nodes.map((n) => n.localName))].sort());
  same(tags, ['a', 'bdi', 'div', 'li', 'p', 'span', 'time'], 'elements around names');
  same(await alice.page.evaluate(() => typeof window.hit), 'undefined', 'nothing ran');
});

test('frames that make no sense change nothing', async () => {
  const fake = await startFake({}, (socket) => {
    for (const text of [welcome(null), 'not json', '{}', '{"type":"constructor","payload":{}}', '{"type":"future","payload":{"x":1}}', '{"type":"typing","payload":{"username":"Bob"}}']) socket.send(text);
    socket.send(message('1', 'Bob', 'still here'));
  });
  const alice = await person(fake, 'Alice');
  await alice.sees('still here');
  await until(() => alice.page.isVisible('#chat.live'), 'alive');
});
