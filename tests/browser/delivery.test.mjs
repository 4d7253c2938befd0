// Nothing is lost and nothing comes twice, whatever breaks.

import { test, check, same, until, pause, startServer, connect, person, newPage, freePort, countOf, BOX } from './harness.mjs';
import { startProxy } from './proxy.mjs';
import { error, startFake, message, welcome } from './fake.mjs';

test('the server is killed and restarted while both type: nothing acknowledged is lost or seen twice', async () => {
  const port = await freePort();
  const server = await startServer([], port);
  const people = [await person(server, 'Alice'), await person(server, 'Bob')];
  const said = (who) => Array.from({ length: 60 }, (_, i) => `${who.name} ${i}`);
  const type = async (who) => {
    for (const text of said(who)) {
      await who.say(text);
      await pause(20);
    }
  };
  const restart = async () => {
    await people[0].sees('Alice 15');
    await server.kill('SIGKILL');
    await pause(500);
    await startServer([], port);
  };
  await Promise.all([...people.map(type), restart()]);
  await Promise.all(people.map((who) => who.live()));
  // What was under way in the very moment of the kill nobody can know about: it is marked.
  const decided = async (who) => (await who.states()).every((state) => state === 'unsure');
  for (const who of people) await until(() => decided(who), `${who.name}'s messages are sent or marked`, 20000);
  const [a, b] = await Promise.all(people.map((who) => who.texts()));
  for (const who of people) {
    const unsure = await who.pending();
    check(unsure.length < 10, `${unsure.length} of ${who.name}'s are unsure`);
    for (const text of said(who).filter((one) => !unsure.includes(one))) {
      same([countOf(a, text), countOf(b, text)], [1, 1], `how often "${text}" is seen`);
    }
  }
  same([a, b].map((list) => list.length - new Set(list).size), [0, 0], 'repeated messages');
});

test('the server drains and comes back: what was not taken is sent again', async () => {
  const port = await freePort();
  const server = await startServer([], port);
  const alice = await person(server, 'Alice');
  await alice.say('before');
  await alice.sees('before');
  const drained = server.kill('SIGTERM');
  for (let i = 0; i < 10; i += 1) await alice.say(`during ${i}`);
  await drained;
  await startServer([], port);
  await alice.live();
  await alice.settled();
  const texts = await alice.texts();
  same(texts, ['before', ...Array.from({ length: 10 }, (_, i) => `during ${i}`)], 'what is seen');
});

test('offline: messages are kept and marked, then sent in order', async () => {
  const server = await startServer();
  const proxy = await startProxy(server);
  const [alice, bob] = [await person(proxy, 'Alice'), await connect(server, { name: 'Bob' })];
  bob.send({ type: 'typing' });
  await until(() => alice.page.textContent('#typing'), 'Bob is typing');
  proxy.cut('closed');
  await alice.lost();
  await alice.page.waitForSelector('#status', { state: 'visible' });
  same(await alice.page.textContent('#typing'), '', 'nobody is known to type any more');
  for (const text of ['first', 'second', 'third']) await alice.say(text);
  await until(async () => (await alice.states()).join() === 'queued,queued,queued', 'they wait');
  same(await alice.page.textContent('#pending .state'), 'Waiting for the connection', 'and say so');
  bob.say('meanwhile');
  proxy.mode = 'pass';
  await alice.page.click('#status-retry');
  await alice.live();
  await alice.settled();
  same(await alice.texts(), ['meanwhile', 'first', 'second', 'third'], 'what Alice sees');
  await until(() => bob.texts().length === 4, 'Bob has them');
  same(bob.texts(), ['meanwhile', 'first', 'second', 'third'], 'what Bob sees');
  check(await alice.page.isHidden('#status'), 'the state is gone');
});

// Runs before the page: chance gives `luck`, and what waits between tries does not keep us waiting.
const hurry = (luck) => `(${(chance, others) => {
  window.pauses = [];
  const later = window.setTimeout;
  window.setTimeout = (call, ms, ...rest) => {
    if (!(ms >= 500) || others.includes(ms)) return later(call, ms, ...rest);
    window.pauses.push(ms);
    return later(call, 1, ...rest);
  };
  Math.random = () => chance;
}})(${luck}, [1000, 5000, 10000])`; // the page's other timers: the voice, and patience with silence

for (const [luck, pauses] of [
  [0.2, [600, 1200, 2400, 4800, 9600, 18000, 18000]],
  [0.9, [950, 1900, 3800, 7600, 15200, 28500, 28500]],
]) {
  test(`the page comes back by itself: pauses double up to 30 s and vary by half, chance being ${luck}`, async () => {
    const server = await startServer();
    const proxy = await startProxy(server);
    const alice = await person(proxy, 'Alice', { init: hurry(luck) });
    proxy.cut('closed');
    await until(async () => (await alice.page.evaluate(() => window.pauses.length)) >= pauses.length, 'seven tries', 30000);
    same((await alice.page.evaluate(() => window.pauses.map(Math.round))).slice(0, pauses.length), pauses, 'the pauses');
    proxy.mode = 'pass';
    await alice.live();
  });
}

test('the pause before the next try is shown, and a person can end it', async () => {
  const server = await startServer();
  const proxy = await startProxy(server);
  const alice = await person(proxy, 'Alice', { init: 'Math.random = () => 1' });
  proxy.cut('closed');
  await alice.lost();
  const wait = () => alice.page.textContent('#status-wait');
  await until(async () => /^Next try in [1-4] s\.$/.test(await wait()), 'a countdown', 20000);
  const why = () => alice.page.textContent('#status-text');
  check((await why()).startsWith('The connection was lost. What you write is kept'), 'and why');
  await until(async () => (await why()).startsWith('The server cannot be reached.'), 'after a try one knows more', 20000);
  proxy.mode = 'pass';
  await alice.page.click('#status-retry');
  await alice.live();
  check(await alice.page.isHidden('#status'), 'the state is gone');
});

test('the echo is lost with the connection: the message is not sent twice', async () => {
  const server = await startServer();
  const proxy = await startProxy(server);
  const [alice, bob] = [await person(proxy, 'Alice'), await connect(server, { name: 'Bob' })];
  await alice.say('seen');
  await alice.settled();
  proxy.mode = 'deaf';
  await alice.say('same');
  await alice.say('same');
  await alice.say('other');
  await until(() => bob.texts().includes('other'), 'the server has them');
  await until(async () => (await alice.states()).join() === 'sent,sent,sent', 'Alice has no echo');
  proxy.cut('pass');
  await alice.settled(20000);
  same(await alice.texts(), ['seen', 'same', 'same', 'other'], 'what Alice sees');
  await alice.say('after');
  await until(() => bob.texts().includes('after'), 'Bob has what came after');
  same(bob.texts(), ['seen', 'same', 'same', 'other', 'after'], 'what Bob sees');
});

test('the message itself is lost with the connection: it is sent again, once', async () => {
  const server = await startServer();
  const proxy = await startProxy(server);
  const [alice, bob] = [await person(proxy, 'Alice'), await connect(server, { name: 'Bob' })];
  proxy.mode = 'deaf';
  await alice.say('ok'); // arrives, and its echo does not
  await until(() => bob.texts().length === 1, 'the first has arrived');
  proxy.mode = 'mute';
  await alice.say('ok'); // the same words, and these do not arrive
  await alice.say('bye');
  await until(async () => (await alice.states()).join() === 'sent,sent,sent', 'three are under way');
  await pause(100); // for the proxy to have swallowed them
  proxy.cut('pass');
  await alice.settled(20000);
  await until(() => bob.texts().length === 3, 'Bob has three');
  same(await alice.texts(), ['ok', 'ok', 'bye'], 'what Alice sees');
  same(bob.texts(), ['ok', 'ok', 'bye'], 'what Bob sees');
});

test('where nobody can know whether it arrived, the page asks and does not guess', async () => {
  const server = await startServer();
  const proxy = await startProxy(server);
  const alice = await person(proxy, 'Alice');
  await alice.say('before');
  await alice.settled();
  proxy.mode = 'deaf';
  await alice.say('perhaps');
  await alice.say('perhaps not');
  await until(async () => (await alice.states()).join() === 'sent,sent', 'under way');
  const other = await startServer(); // a server without that history: another epoch
  proxy.target = other.port;
  proxy.cut('pass');
  await until(async () => (await alice.states()).join() === 'unsure,unsure', 'marked', 20000);
  check((await alice.page.textContent('#feed .gap')).includes('restarted'), 'the restart is told');
  await alice.page.click('#pending .msg:first-child >> text=Send again');
  await alice.sees('perhaps');
  await alice.page.click('text=Discard');
  await alice.settled();
  same(await alice.texts(), ['before', 'perhaps'], 'what Alice sees');
  check(await alice.page.evaluate(() => document.activeElement.id === 'text'), 'the focus is not lost');
});

test('unsent messages survive a reload, and what had arrived is not sent again', async () => {
  const server = await startServer();
  const proxy = await startProxy(server);
  const [alice, bob] = [await person(proxy, 'Alice'), await connect(server, { name: 'Bob' })];
  await alice.say('before');
  await alice.settled();
  proxy.mode = 'deaf';
  await alice.say('arrived');
  await until(() => bob.texts().includes('arrived'), 'the server has it');
  proxy.cut('closed');
  await alice.lost();
  await alice.say('waiting');
  await until(async () => (await alice.states()).join() === 'sent,queued', 'both unsent here');
  proxy.mode = 'pass';
  await alice.page.reload();
  await alice.live();
  await alice.settled();
  await alice.sees('waiting');
  same(await alice.texts(), ['before', 'arrived', 'waiting'], 'what Alice sees');
  same(bob.texts(), ['before', 'arrived', 'waiting'], 'what Bob sees');
});

test('a connection that is dead without knowing it is replaced', async () => {
  const server = await startServer();
  const proxy = await startProxy(server);
  const alice = await person(proxy, 'Alice');
  await alice.page.clock.install();
  proxy.mode = 'deaf';
  await alice.say('is anybody there');
  await until(async () => (await alice.states()).join() === 'sent', 'under way');
  proxy.mode = 'pass'; // what was swallowed stays swallowed
  await alice.page.clock.fastForward(31000);
  await alice.page.clock.fastForward(3000);
  await alice.settled();
  same(await alice.texts(), ['is anybody there'], 'what Alice sees');
});

/** A server whose nth connection is opened with the frames of `plays[n]` and then plays on. */
async function scripted(plays) {
  const record = { got: [], refs: [], since: [] };
  const fake = await startFake({}, (socket, query) => {
    const play = plays[record.since.length];
    record.since.push(query.get('since'));
    socket.on('message', (data) => {
      const { type, payload } = JSON.parse(data);
      if (type !== 'chatMessage') return;
      record.got.push(payload.message);
      record.refs.push(payload.ref);
      if (play.onMessage) play.onMessage(socket);
      else socket.send(message('m9', 'Alice', payload.message, payload.ref));
    });
    play.frames.forEach((frame) => socket.send(frame));
    if (play.then) play.then(socket);
  });
  return Object.assign(record, { fake });
}

// A server reads those slowly who send much at once, and answers when it has read.
test('an echo that takes long is waited for: calmly, on the same connection, and sent once', async () => {
  let socket = null;
  const server = await scripted([{ frames: [welcome(null)], onMessage: (it) => { socket = it; } }]);
  const { got } = server;
  const alice = await person(server.fake, 'Alice');
  await alice.page.clock.install();
  await alice.say('one');
  await alice.say('two');
  await until(() => got.length === 2, 'both have arrived');
  const calm = async (when, expected) => {
    same(await alice.states(), expected, `the states ${when}`);
    same(await alice.page.textContent('#pending .state'), 'Sending…', `what is said ${when}`);
    check(await alice.page.isVisible('#chat.live') && await alice.page.isHidden('#status'), `all is well ${when}`);
  };
  await alice.page.clock.fastForward(20000);
  await calm('after 20 s of silence', ['sent', 'sent']);
  socket.send(message('m1', 'Alice', 'one', server.refs[0]));
  await alice.sees('one');
  await alice.page.clock.fastForward(20000);
  await calm('20 s after the first echo', ['sent']);
  socket.send(message('m2', 'Alice', 'two', server.refs[1]));
  await alice.settled();
  same([got, server.since.length], [['one', 'two'], 1], 'what was sent, and the connections');
  same(await alice.texts(), ['one', 'two'], 'what Alice sees');
});

test('a replay that breaks half-way loses no evidence, and what comes again is shown once', async () => {
  const server = await scripted([
    // An old message, then a live room that dies with ours.
    { frames: [welcome('m1'), message('m1', 'Bob', 'old')], onMessage: (socket) => socket.terminate() },
    // Ours had arrived, but this connection breaks before its replay has ended.
    { frames: [welcome('m3'), message('m2', 'Alice', 'mine')], then: (socket) => socket.close(1013) },
    // The rest of it, and one message that came before.
    { frames: [welcome('m3'), message('m1', 'Bob', 'old'), message('m3', 'Bob', 'new')] },
  ]);
  const alice = await person(server.fake, 'Alice');
  await alice.sees('old');
  await alice.say('mine');
  await alice.sees('new', 15000);
  await alice.settled();
  same(server.since, [null, 'm1', 'm2'], 'the resume points');
  same(server.got, ['mine'], 'how often it was sent');
  same(await alice.texts(), ['old', 'mine', 'new'], 'what Alice sees');
});

test('what a server that goes away did not take is sent again, even to another epoch', async () => {
  const server = await scripted([
    { frames: [welcome(null)], onMessage: (socket) => socket.close(1001) },
    { frames: [welcome(null, 'another')] },
  ]);
  const alice = await person(server.fake, 'Alice');
  await alice.say('mine');
  await alice.sees('mine', 15000);
  await alice.settled();
  same(server.got, ['mine', 'mine'], 'how often it was sent');
  same(await alice.texts(), ['mine'], 'what Alice sees');
});

test('a refused message says why and can be sent again', async () => {
  const got = [];
  const fake = await startFake({}, (socket) => {
    socket.send(welcome(null));
    socket.on('message', (data) => {
      const { type, payload } = JSON.parse(data);
      if (type !== 'chatMessage') return;
      got.push(payload.message);
      const isFirst = got.length <= 2; // of both messages
      socket.send(isFirst ? error(payload.ref, 'not now') : message(`m${got.length}`, 'Alice', payload.message, payload.ref));
    });
  });
  const alice = await person(fake, 'Alice');
  for (const text of ['one', 'two']) await alice.say(text);
  const failed = () => until(async () => {
    const states = await alice.states();
    const all = states.length + (await alice.texts()).length === 2;
    return all && states.every((state) => state === 'failed') && states.length;
  }, 'some are refused');
  same(await failed(), 2, 'refused');
  const why = await alice.page.textContent('#pending .state span');
  check(/^Not sent: not now/.test(why), `why: ${why}`);
  same(await alice.page.textContent('#announce'), why.replace(/\.$/, ''), 'it is read aloud');
  const [first] = await alice.pending();
  await alice.page.click('text=Send again');
  await alice.sees(first);
  same(await failed(), 1, 'still unsent');
});

/** Opens the page and gives a name, whatever comes of it. */
async function knock(server, name, hash = '') {
  const page = await newPage();
  await page.goto(server.url + hash);
  await page.fill('#name', name);
  await page.keyboard.press('Enter');
  return page;
}

// The server itself: what it says to a page that asks why is part of the test.
for (const [what, options, hash, title] of [
  ['full', ['--max-peers', '1'], '', 'The server is full'],
  ['out of rooms', ['--rooms-max', '1'], '#another', 'There are too many rooms'],
  ['out of places for an address', ['--max-peers-per-ip', '1'], '', 'Too many connections from your network'],
]) {
  test(`a clear screen where the server is ${what}, and a way in when it is over`, async () => {
    const server = await startServer(options);
    const bob = await connect(server, { name: 'Bob', room: 'den' });
    const page = await knock(server, 'Alice', hash);
    await page.waitForSelector('#problem', { state: 'visible' });
    same(await page.textContent('#problem-title'), title, 'the title');
    check(await page.isHidden('#chat'), 'the conversation is not shown');
    same(await page.isVisible('#problem-lobby'), hash !== '', 'a way to the lobby from elsewhere');
    await until(async () => /^Next try in/.test(await page.textContent('#problem-wait')), 'a countdown');
    bob.close();
    await until(async () => {
      if (await page.isVisible('#problem')) await page.click('#problem-retry', { timeout: 500 });
      return page.isVisible('#chat.live');
    }, 'Alice gets in', 20000);
    await until(() => page.evaluate(() => document.activeElement.id === 'text'), 'the focus is in the input');
  });
}

test('behind a proxy that hides the name, the page says which option admits it', async () => {
  const proxy = await startProxy(await startServer());
  proxy.rewrite = (request) => request.replace(/^Host: .*$/m, 'Host: behind.example');
  const origin = `http://${BOX}:${proxy.port}`;
  const page = await knock({ url: `${origin}/` }, 'Alice');
  await until(async () => (await page.textContent('#problem-title')) === 'The chat connection is blocked', 'the title', 20000);
  check((await page.textContent('#problem-text')).includes(`--origin ${origin}.`), 'the option');
});

test('a server that goes away says so, and the page is back when it is', async () => {
  const port = await freePort();
  const server = await startServer([], port);
  const alice = await person(server, 'Alice');
  await server.kill('SIGTERM');
  await alice.lost();
  await until(async () => /^The server (is restarting|cannot be reached)\. What you write is kept/.test(await alice.page.textContent('#status-text')), 'the state says it');
  await startServer([], port);
  await alice.live();
  check(await alice.page.isHidden('#status'), 'the state is gone');
});

for (const [what, answers, title] of [
  ['draining', { chat: 503, headers: { 'Hallway-Code': 'draining' }, text: 'not about rooms' }, 'The server is restarting'],
  ['behind a proxy that has no answer', { chat: 502 }, 'The server cannot be reached'],
  ['behind a proxy that is full', { chat: 503 }, 'The server cannot be reached'],
  ['refusing', { chat: 403, text: 'origin not allowed' }, 'The server refused the connection'],
]) {
  test(`a clear screen where the server is ${what}, and a way in when it is over`, async () => {
    const fake = await startFake(answers, (socket) => {
      socket.send(welcome(null));
    });
    const page = await knock(fake, 'Alice');
    await page.waitForSelector('#problem', { state: 'visible' });
    same(await page.textContent('#problem-title'), title, 'the title');
    if (what === 'refusing') check((await page.textContent('#problem-text')).includes(answers.text), 'the reason');
    check(await page.isHidden('#chat'), 'the conversation is not shown');
    await until(() => page.evaluate(() => document.activeElement.id === 'problem-title'), 'the focus is on the title');
    answers.chat = 0;
    await page.click('#problem-retry');
    await page.waitForSelector('#chat.live');
    check(await page.evaluate(() => document.activeElement.id === 'text'), 'the focus is in the input');
  });
}

test('a server with a token asks for it, and a link can carry it', async () => {
  const answers = { chat: 401 };
  const tokens = [];
  const fake = await startFake(answers, (socket, query) => {
    tokens.push(query.get('token'));
    socket.send(welcome(null));
  });
  const page = await newPage();
  await page.goto(`${fake.url}?token=wrong#den`);
  same(new URL(page.url()).search, '', 'the token is out of the address');
  await page.fill('#name', 'Alice');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#token-form', { state: 'visible' });
  check((await page.textContent('#token-text')).includes('did not accept'), 'a wrong one is told');
  answers.chat = 0;
  await page.keyboard.type('right');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#chat.live');
  same(tokens, ['right'], 'the token sent');
});
