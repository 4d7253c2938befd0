// The wire contract of Hallway as Node's `ws` sees it.
//
//     node with_ws.cjs --list          the checks, one a line
//     node with_ws.cjs URL CHECK       run one against ws://HOST:PORT/chat
//
// Every check expects a server that nobody has talked to yet; tests/interop/run
// starts one for each. Frames are compared as text, byte for byte.

"use strict";

const assert = require("node:assert");
const http = require("node:http");
const WebSocket = require("ws");

const PATIENCE_MS = 10_000; // a frame that does not come by then counts as missing
const SERVER_PID = Number(process.env.SERVER_PID || 0); // 0: it is not ours to signal

// --------------------------------------------------------------- the contract

const chat = (username, message) =>
  `{"type":"chatMessage","payload":{"username":"${username}","message":"${message}"}}`;
const system = (text) => `{"type":"system","payload":{"text":"${text}"}}`;
const userCount = (count) => `{"type":"userCount","payload":{"count":${count}}}`;

// ---------------------------------------------------------------- the clients

const clients = [];

// One connection, and what it has received as a queue to read from.
class Client {
  constructor(url, protocols = [], options = {}) {
    this.unread = [];
    this.ws = new WebSocket(url, protocols, options);
    this.ws.on("message", (data, isBinary) =>
      this.arrived(isBinary ? `a binary frame: ${data.toString("hex")}` : data.toString()),
    );
    this.ws.on("pong", (data) => this.arrived(`pong ${data.toString("hex")}`));
    this.ws.on("close", (code) => this.arrived(`Close ${code}`));
    this.ws.on("error", (error) => this.arrived(`${error}`));
    this.ws.on("upgrade", (response) => (this.response = response));
    clients.push(this);
  }

  arrived(what) {
    this.unread.push(what);
    this.wake?.();
  }

  async receive() {
    const deadline = Date.now() + PATIENCE_MS;
    while (this.unread.length === 0) {
      if (Date.now() >= deadline) return `nothing for ${PATIENCE_MS} ms`;
      let timer;
      await new Promise((wake) => {
        this.wake = wake;
        timer = setTimeout(wake, deadline - Date.now());
      });
      clearTimeout(timer);
    }
    return this.unread.shift();
  }

  // The next things to arrive are these.
  async expect(...wanted) {
    for (const each of wanted) equal(await this.receive(), each);
  }

  say(message) {
    this.ws.send(`{"type":"chatMessage","payload":{"message":${JSON.stringify(message)}}}`);
  }
}

function equal(got, wanted) {
  const shown = (value) => String(JSON.stringify(value)).slice(0, 500);
  if (got !== wanted) throw new Error(`expected ${shown(wanted)}\n     got ${shown(got)}`);
}

// Connects, and reads nothing.
const open = (url, query = "", protocols = [], options = {}) =>
  new Client(url + query, protocols, options);

// Connects, and sees exactly what a newcomer sees.
async function join(url, name, count, replay = []) {
  const client = open(url, `?username=${encodeURIComponent(name)}`);
  await client.expect(...replay, system(`${name} joined`), userCount(count));
  return client;
}

// Alice and bob, with nothing unread.
async function pair(url) {
  const alice = await join(url, "alice", 1);
  const bob = await join(url, "bob", 2);
  await alice.expect(system("bob joined"), userCount(2));
  return [alice, bob];
}

// Nobody has anything unread: the next frame of all is what alice says now.
async function nothingElse(alice, ...others) {
  alice.say("Is this all?");
  for (const each of [alice, ...others]) await each.expect(chat("alice", "Is this all?"));
}

// One plain HTTP request.
const request = (url, method, path) =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const asked = http.request({ hostname, port, method, path, timeout: PATIENCE_MS }, (answer) => {
      let body = "";
      answer.setEncoding("utf8");
      answer.on("data", (text) => (body += text));
      answer.on("error", reject);
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body }));
    });
    asked.on("timeout", () => asked.destroy(new Error(`no answer for ${PATIENCE_MS} ms`)));
    asked.on("error", reject);
    asked.end(method === "POST" ? "{}" : undefined);
  });

// ----------------------------------------------------------------- the checks

const checks = {};
const check = (name, title, run) => (checks[name] = { title, run });

check("join", "a newcomer sees its own \"joined\", then the count", async (url) => {
  const alice = open(url, "?username=alice");
  await alice.expect(
    '{"type":"system","payload":{"text":"alice joined"}}',
    '{"type":"userCount","payload":{"count":1}}',
  );
  await nothingElse(alice);
});

check("echo", "a message comes back to its sender", async (url) => {
  const alice = await join(url, "alice", 1);
  alice.ws.send('{"type":"chatMessage","payload":{"message":"Hello!"}}');
  await alice.expect('{"type":"chatMessage","payload":{"username":"alice","message":"Hello!"}}');
});

check(
  "join_order",
  "a newcomer gets the replay, \"joined\" and the count; the others only the last two",
  async (url) => {
    const alice = await join(url, "alice", 1);
    alice.say("one");
    alice.say("two");
    await alice.expect(chat("alice", "one"), chat("alice", "two"));

    const bob = open(url, "?username=bob");
    await bob.expect(
      chat("alice", "one"),
      chat("alice", "two"),
      system("bob joined"),
      userCount(2),
    );
    await alice.expect(system("bob joined"), userCount(2));
    await nothingElse(alice, bob);
  },
);

check("leave_order", "those who stay see \"left\", then the count", async (url) => {
  const [alice, bob] = await pair(url);
  bob.ws.close(1000);
  await bob.expect("Close 1000");
  await alice.expect(system("bob left"), userCount(1));
  await nothingElse(alice);
});

check("lost", "a connection that ends without a Close frame has left as well", async (url) => {
  const [alice, bob] = await pair(url);
  bob.ws.terminate();
  await alice.expect(system("bob left"), userCount(1));
  await nothingElse(alice);
});

check("one_order", "two who talk at once see the same messages in the same order", async (url) => {
  const [alice, bob] = await pair(url);
  for (let number = 0; number < 50; number++) {
    alice.say(`${number}`);
    bob.say(`${number}`);
  }
  const seen = [];
  for (let number = 0; number < 100; number++) {
    seen.push(await alice.receive());
    await bob.expect(seen.at(-1));
  }
  for (const name of ["alice", "bob"]) { // and each one's own in the order of sending
    const said = seen.filter((frame) => frame.includes(`"${name}"`));
    equal(said.length, 50);
    said.forEach((frame, number) => equal(frame, chat(name, `${number}`)));
  }
  await join(url, "carol", 3, seen);
});

check(
  "last_hundred",
  "of 150 messages a newcomer gets the last 100, and of notices none",
  async (url) => {
    const alice = await join(url, "alice", 1);
    const said = Array.from({ length: 150 }, (_, number) => chat("alice", `message ${number}`));
    for (const number of said.keys()) alice.say(`message ${number}`);
    await alice.expect(...said);
    const bob = await join(url, "bob", 2, said.slice(-100));
    await alice.expect(system("bob joined"), userCount(2));
    await nothingElse(alice, bob);
  },
);

check(
  "authoritative_username",
  "the name is the connection's, whatever a payload claims",
  async (url) => {
    const alice = await join(url, "alice", 1);
    alice.ws.send('{"type":"chatMessage","payload":{"username":"mallory","message":"It is me"}}');
    await alice.expect(chat("alice", "It is me"));
  },
);

check("any_text", "any text comes back: quotes, line ends, other scripts", async (url) => {
  const alice = await join(url, "alice", 1);
  for (const [message, escaped] of [
    ['"quoted" \\ back', String.raw`\"quoted\" \\ back`],
    ["two\nlines\tand a tab\r\n", String.raw`two\nlines\tand a tab\r\n`],
    ["Zoë, Ελένη, 小明, 😀, e\u0301", "Zoë, Ελένη, 小明, 😀, e\u0301"],
    ["a / b", "a / b"],
  ]) {
    alice.say(message);
    await alice.expect(chat("alice", escaped));
  }
});

check("blank_name", "a blank name, or none, becomes Anon_HHmmss", async (url) => {
  let count = 0;
  for (const query of ["", "?username=", "?username=+%20", "?username=%E2%80%8B%00"]) {
    const anon = open(url, query);
    assert.match(
      await anon.receive(),
      /^{"type":"system","payload":{"text":"Anon_([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9] joined"}}$/,
    );
    await anon.expect(userCount(++count));
  }
});

// Each of these in the URL is announced as that.
async function namesBecome(url, pairs) {
  let count = 0;
  for (const [query, name] of pairs) {
    const client = open(url, `?username=${query}`);
    await client.expect(system(`${name} joined`), userCount(++count));
  }
}

check(
  "names",
  "names are percent-decoded, `+` is a space, and JSON escapes what it must",
  (url) =>
    namesBecome(url, [
      ["alice", "alice"],
      ["Mary+Ann", "Mary Ann"],
      ["Mary%20Ann", "Mary Ann"],
      ["1%2B1", "1+1"],
      ["Zoë", "Zoë"], // encoded by the client
      [encodeURIComponent("小明 😀"), "小明 😀"],
      ["b%FFb", "b\ufffdb"], // what is not UTF-8 is replaced
      ["%22al%5Cice%22", String.raw`\"al\\ice\"`],
    ]),
);

check("name_stripping", "a name loses what is invisible, then the space around it", (url) =>
  namesBecome(url, [
    ["++alice++", "alice"],
    ["%00al%1Bice%7F%C2%85", "alice"], // control characters
    [encodeURIComponent("\u202eal\u202cice\u2066\u2069"), "alice"], // bidirectional overrides
    [encodeURIComponent("\u200bal\u200c\u200dice\u2060\ufeff"), "alice"], // of no width
    [encodeURIComponent("\u202e alice \u200b"), "alice"],
  ]),
);

check(
  "private_errors",
  "what is wrong with a message is told to its sender alone, who may go on",
  async (url) => {
    const [alice, bob] = await pair(url);
    for (const [wrong, text] of [
      ['{"type":"chatMessage","payload":{"message":""}}', "message is empty"],
      [
        `{"type":"chatMessage","payload":{"message":"${"x".repeat(5120)}"}}`,
        "message is 5120 bytes, the limit is 4096",
      ],
      ["hello", "not JSON: expected value at line 1 column 1"],
      ['{"type":"nope"}', String.raw`unknown type \"nope\"`],
    ]) {
      alice.ws.send(wrong);
      await alice.expect(system(text));
      await nothingElse(alice, bob);
    }
  },
);

check("binary", "a binary frame is answered with Close 1003", async (url) => {
  const alice = await join(url, "alice", 1);
  alice.ws.send(Buffer.from('{"type":"chatMessage","payload":{"message":"Hello!"}}'));
  await alice.expect("Close 1003");
});

check("not_utf8", "text that is not UTF-8 is answered with Close 1007", async (url) => {
  const alice = await join(url, "alice", 1);
  alice.ws.send(Buffer.from([0x22, 0xc3, 0x28, 0x22]), { binary: false });
  await alice.expect("Close 1007");
});

check(
  "too_big",
  "a message of 16384 bytes is read, one byte more is answered with Close 1009",
  async (url) => {
    const alice = await join(url, "alice", 1);
    const spaces = " ".repeat(16384 - 2);
    alice.ws.send(`{}${spaces}`);
    assert.match(await alice.receive(), /^{"type":"system","payload":{"text":"[^\n]+"}}$/);
    alice.ws.send(`{}${spaces} `);
    await alice.expect("Close 1009");
  },
);

check("too_big_in_fragments", "the limit is the whole message's", async (url) => {
  const alice = await join(url, "alice", 1);
  for (let fragment = 0; fragment < 3; fragment++)
    alice.ws.send(" ".repeat(8000), { fin: fragment === 2 });
  await alice.expect("Close 1009");
});

check("close_handshake", "a Close is answered with its own code", async (url) => {
  for (const code of [1000, 3000, 4999]) {
    const client = open(url, "?username=alice");
    await client.expect(system("alice joined"));
    client.ws.close(code, "Good bye");
    let last = await client.receive();
    while (last.startsWith("{")) last = await client.receive(); // sent before the Close arrived
    equal(last, `Close ${code}`);
  }
});

check("going_away", "a server that is told to stop says Close 1001 to all", async (url) => {
  if (!SERVER_PID) throw new Error("nobody has said whom to send SIGTERM");
  const [alice, bob] = await pair(url);
  process.kill(SERVER_PID, "SIGTERM");
  await alice.expect("Close 1001");
  await bob.expect("Close 1001");
});

check(
  "fragments",
  "a message may come in fragments, cut anywhere, with a ping between them",
  async (url) => {
    const alice = await join(url, "alice", 1);
    const whole = Buffer.from('{"type":"chatMessage","payload":{"message":"€ 小明 😀"}}');
    for (const position of whole.keys()) {
      const fin = position === whole.length - 1;
      alice.ws.send(whole.subarray(position, position + 1), { binary: false, fin });
      if (position === whole.indexOf("€")) {
        alice.ws.ping("between"); // within a character
        await alice.expect(`pong ${Buffer.from("between").toString("hex")}`);
      }
    }
    await alice.expect(chat("alice", "€ 小明 😀"));
  },
);

check("ping", "a ping is answered by a pong with the same payload; a pong by nothing", async (url) => {
  const alice = await join(url, "alice", 1);
  for (const payload of ["", "x", "y".repeat(125)]) {
    alice.ws.ping(payload);
    await alice.expect(`pong ${Buffer.from(payload).toString("hex")}`);
  }
  alice.ws.pong("nobody asked");
  await nothingElse(alice);
});

check("no_subprotocol", "a subprotocol that the server does not know is not selected", async (url) => {
  const client = open(url, "?username=alice", ["nope.v9", "soap"]);
  await client.expect("Error: Server sent no subprotocol"); // `ws` wants one, and gives up
  equal(client.response.statusCode, 101);
  equal(client.response.headers["sec-websocket-protocol"], undefined);
});

check("no_compression", "permessage-deflate is offered and not selected", async (url) => {
  const client = open(url, "?username=alice", [], { perMessageDeflate: true });
  await client.expect(system("alice joined"), userCount(1));
  equal(client.ws.extensions, "");
  equal(client.response.headers["sec-websocket-extensions"], undefined);
  client.say("x".repeat(4096));
  await client.expect(chat("alice", "x".repeat(4096)));
});

check("http", "plain HTTP: a page, a health check, and refusals that say why", async (url) => {
  const page = await request(url, "GET", "/");
  equal(page.status, 200);
  assert.match(page.headers["content-type"], /^text\/html\b/);
  assert.match(page.body, /<html/i);

  equal((await request(url, "GET", "/health")).status, 200);
  equal((await request(url, "GET", "/nope")).status, 404);

  const posted = await request(url, "POST", "/");
  equal(posted.status, 405);
  assert.match(posted.headers.allow ?? "", /\bGET\b/);

  const plain = await request(url, "GET", "/chat"); // no upgrade asked for
  equal(plain.status, 426);
  equal(plain.headers.upgrade, "websocket");
});

// ------------------------------------------------------------------ the start

process.exitCode = 1; // until a check has come to its end

async function main([url, name]) {
  if (url === "--list") {
    for (const [each, { title }] of Object.entries(checks)) console.log(`${each}\t${title}`);
    return 0;
  }
  if (!Object.hasOwn(checks, name)) {
    console.error("usage: node with_ws.cjs --list | URL CHECK");
    return 2;
  }
  try {
    await checks[name].run(url);
    return 0;
  } catch (failure) {
    console.log(`${failure.name}: ${failure.message}`);
    return 1;
  } finally {
    for (const { ws } of clients) ws.terminate();
  }
}

main(process.argv.slice(2)).then((status) => (process.exitCode = status));
