// One person's stay in one room: what the messages of the protocol's version 2 mean, and how a stay
// survives any number of connections. No document in here; `on` is told what happened.

import { createConnection } from './connection.js';
import { createOutbox } from './outbox.js';

// Who waits for an echo and hears nothing for so long has a connection that is dead without knowing
// it (a phone that changed its network): better a new one, which resumes. A server that reads slowly,
// because we sent much at once, takes less.
const ECHO_TIMEOUT = 30000;
// More than a server's longest history, so that a whole replay meets only ids known here.
const IDS_KEPT = 12000;

/** Names are shown and compared by what they look like: composed, all white space a space. */
const look = (name) => name.normalize('NFC').replace(/\s+/g, ' ');

export function createSession({ room, name, token, memory, on }) {
  let me = look(name);
  let epoch = null;
  let position = null; // { epoch, id } of the newest message seen
  let asked = null; // the position that the current connection was asked to resume from
  let replay = null; // while it runs: { messages, lastId, resumed }
  let broken = null; // a replay that its connection did not survive
  let welcomed = false; // on the current connection
  let watchdog = 0;
  const seen = new Set(); // ids of this epoch

  const outbox = createOutbox({ memory, key: 'outbox.' + room, onChange: on.unsent });
  const connection = createConnection({ query, onFrame: receive, onLost: lost, onState: on.state });

  function query() {
    const parameters = new URLSearchParams({ username: me, room });
    asked = position && position.id !== null ? position : null;
    if (asked) {
      parameters.set('since', asked.id);
      parameters.set('epoch', asked.epoch);
    }
    if (token) parameters.set('token', token);
    return parameters.toString();
  }

  const handlers = {
    welcome(payload) {
      const resumed = Boolean(asked) && asked.epoch === payload.epoch && payload.complete;
      if (position && position.epoch !== payload.epoch) on.gap('The server has restarted. Older messages may be missing here.');
      else if (asked && !resumed) on.gap('You were away for a long time. Some messages are missing here.');
      if (payload.epoch !== epoch) seen.clear();
      if (!position || payload.epoch !== epoch) position = { epoch: payload.epoch, id: null };
      ({ epoch, username: me } = payload);
      welcomed = true;
      on.replaying(true);
      on.welcome(payload);
      // Evidence for the outbox must not be lost with a replay that broke half-way.
      const before = resumed && broken ? broken : { messages: [], resumed };
      replay = { messages: before.messages, resumed: resumed && before.resumed, lastId: payload.lastId };
      if (payload.lastId === position.id) endReplay();
    },

    chatMessage(payload) {
      const { id, ref, username } = payload;
      position = { epoch, id };
      if (ref) outbox.acknowledge(ref, position);
      if (replay) replay.messages.push(payload);
      // Only our own echo carries a `ref`; in a replay the name has to do.
      const own = replay ? username === me : Boolean(ref);
      if (isNew(id)) on.message({ kind: 'message', id, username, own, text: payload.message, date: new Date(payload.time) }, !replay);
      if (replay && id === replay.lastId) endReplay();
    },

    userJoined: ({ username, count }) => on.joined(username, count),
    userLeft: ({ username, count }) => on.left(username, count),
    userCount: ({ count }) => on.counted(count),
    typing: ({ username }) => on.typing(username),

    error({ ref, text }) {
      if (ref) outbox.refuse(ref, `Not sent: ${text}.`);
      on.problem(ref ? `Not sent: ${text}` : text);
    },
  };

  function receive(frame) {
    // Whatever is not a message says that the replay is over, also one that was shorter
    // than `lastId` promised (a server that keeps no history).
    if (replay && frame.type !== 'chatMessage') endReplay();
    const handle = handlers[frame.type];
    const payload = frame.payload || {};
    if (payload.username) payload.username = look(payload.username);
    if (payload.users) payload.users = payload.users.map(look);
    if (handle) handle(payload);
    watch();
  }

  function isNew(id) {
    if (seen.has(id)) return false;
    seen.add(id);
    if (seen.size > IDS_KEPT) seen.delete(seen.values().next().value);
    return true;
  }

  function endReplay() {
    const { messages, resumed } = replay;
    replay = broken = null;
    outbox.settle(messages, epoch, resumed);
    on.replaying(false);
    flush();
  }

  function flush() {
    if (!welcomed || replay) return;
    outbox.flush(connection.send, me, position);
    if (!watchdog) watch();
  }

  function watch() {
    clearTimeout(watchdog);
    watchdog = welcomed && outbox.waits() ? setTimeout(connection.drop, ECHO_TIMEOUT) : 0;
  }

  function lost(code) {
    welcomed = false;
    broken = replay || broken;
    replay = null;
    outbox.lost(code === 1001);
    watch();
  }

  on.unsent(outbox.items);
  connection.open();

  return {
    isMe: (username) => username === me,
    retry: connection.retry,
    drop: connection.drop,
    say(text) {
      outbox.add(text);
      flush();
    },
    /** What a button at an unsent message does: 'again' or 'discard'. */
    act(what, ref) {
      outbox[what](ref);
      flush();
    },
    typing() {
      if (welcomed && !replay) connection.send({ type: 'typing' });
    },
    close() {
      clearTimeout(watchdog);
      connection.close();
      outbox.lost(false);
    },
  };
}
