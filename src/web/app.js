// Where everything is put together: the address says which room, the session says what
// happens in it, and the parts of the page show it.

import { createAttention } from './attention.js';
import { createComposer } from './composer.js';
import { createFeed } from './feed.js';
import { el, door } from './message.js';
import { createPeople } from './people.js';
import { askName, askToken, chatIsShown, createSide, explain, focusSoon, showChat, showProblem } from './screens.js';
import { createSession } from './session.js';

const $ = (id) => document.getElementById(id);
const LOBBY = 'lobby';
const TITLE = document.title; // which whoever runs the server can set
const ROOMS_REMEMBERED = 8;
// Names of this machine, which others cannot use to come here.
const LOOPBACK = /^(localhost|127\..*|\[::1\])$/;

let session = null;
let room = LOBBY;
let arrived = false; // has the server let us into this room at least once?
let everLive = false;
let state = { phase: 'stopped' };
let ticking = 0;

// -- what the page remembers

// Storage can be missing or full (private windows, strict settings): the page then forgets. It is
// looked up at each use: the first touch is slow, and some refuse even that.
const memory = (storage) => ({
  get(key, otherwise = null) {
    try {
      const text = window[storage].getItem('hallway.' + key);
      return text === null ? otherwise : JSON.parse(text);
    } catch {
      return otherwise;
    }
  },
  set(key, value) {
    try {
      window[storage].setItem('hallway.' + key, JSON.stringify(value));
    } catch { /* forgotten */ }
  },
});
const lasting = memory('localStorage'); // the name, the rooms, the token, whether to notify
const perTab = memory('sessionStorage'); // unsent messages: two tabs that shared them would both send them

// -- the parts

const feed = createFeed({
  scroller: $('scroller'), list: $('feed'), pending: $('pending'), empty: $('empty'), earlier: $('earlier'), pill: $('pill'),
  onAct(what, ref) {
    session.act(what, ref);
    composer.focus(); // the button had the focus, and is gone
  },
});
const people = createPeople({ list: $('people'), typingLine: $('typing'), isMe: (name) => session.isMe(name), onCount: showCount });
const attention = createAttention({ icon: $('icon'), button: $('notify'), memory: lasting });
const side = createSide();
const composer = createComposer({
  form: $('composer'), input: $('text'), counter: $('counter'), memory: perTab,
  onSend(text) {
    session.say(text);
    feed.showLatest();
  },
  onTyping: () => session.typing(),
});

// -- what the session tells

const on = {
  state: showState,
  unsent: (items) => feed.setPending(items),
  replaying: (running) => feed.setQuiet(running),
  gap: (text) => feed.add({ kind: 'gap', text }),
  problem: announce,
  welcome({ username, users, limits }) {
    people.reset(users);
    composer.setLimit(limits.textBytes);
    $('name').maxLength = limits.usernameChars;
    $('me-name').textContent = username;
    $('me-door').replaceWith(Object.assign(door(username), { id: 'me-door' }));
  },
  message(entry, live) {
    feed.add(entry);
    people.stopTyping(entry.username);
    if (live && !entry.own) attention.message(entry.username, entry.text);
  },
  joined(name, count) {
    people.joined(name, count);
    if (!session.isMe(name)) feed.presence(name, 1);
  },
  left(name, count) {
    people.left(name, count);
    if (!session.isMe(name)) feed.presence(name, -1);
  },
  counted: people.counted,
  typing(name) {
    if (!session.isMe(name)) people.types(name);
  },
};

function showCount(count) {
  $('count').textContent = $('count-side').textContent = count;
}

function announce(text) {
  $('announce').textContent = text;
}

// -- the connection, as people see it

function showState(next) {
  state = next;
  $('chat').classList.toggle('live', state.phase === 'live');
  clearInterval(ticking);
  if (state.phase === 'live') return showLive();
  people.nobodyTypes(); // as far as one can know
  if (state.phase === 'connecting') return showConnecting();
  if (state.reason === 'token') return showToken();
  const reason = explain(state);
  if (arrived) showStatus(reason);
  else showProblem({ ...reason, lobby: room !== LOBBY, onRetry: () => session.retry() });
  ticking = setInterval(tick, 1000);
  tick();
}

function showLive() {
  $('status').hidden = true;
  if (!chatIsShown()) {
    showChat();
    composer.focus();
  }
  if (everLive) announce('Connected.');
  arrived = everLive = true;
}

function showConnecting() {
  $('status-text').textContent = 'Connecting…';
  $('status-retry').hidden = true;
  countdown('Trying…');
}

function showStatus({ title, text }) {
  const news = `${title}. ${state.phase === 'waiting' ? 'What you write is kept and sent later.' : text}`;
  if ($('status').hidden) announce(news);
  $('status').hidden = false;
  $('status-text').textContent = news;
  $('status-retry').hidden = false;
}

function tick() {
  const seconds = Math.max(1, Math.ceil((state.retryAt - Date.now()) / 1000));
  countdown(state.phase === 'waiting' ? `Next try in ${seconds} s.` : '');
}

function countdown(text) {
  $('status-wait').textContent = $('problem-wait').textContent = text;
}

function showToken() {
  askToken({
    wrong: Boolean(lasting.get('token')),
    onDone(token) {
      lasting.set('token', token);
      enter();
    },
  });
}

// -- names and rooms

/** `#room`, or `?room=` for links made by hand. */
function roomInAddress() {
  const hash = location.hash.slice(1);
  try {
    return decodeURIComponent(hash).trim() || new URLSearchParams(location.search).get('room') || LOBBY;
  } catch {
    return hash; // a stray percent sign
  }
}

const addressOf = (name) => '#' + encodeURIComponent(name);

function showRooms() {
  const others = lasting.get('rooms', []).filter((name) => name !== room && name !== LOBBY);
  const known = room === LOBBY ? others : [room, ...others];
  lasting.set('rooms', known.slice(0, ROOMS_REMEMBERED));
  $('rooms').replaceChildren(...[LOBBY, ...known].map((name) => {
    const link = el('a', { href: addressOf(name) }, el('bdi', {}, name));
    if (name === room) link.setAttribute('aria-current', 'page');
    return el('li', {}, link);
  }));
}

/** Leaves where we are and enters the room in the address. */
function enter() {
  if (session) session.close();
  room = roomInAddress();
  arrived = false;
  $('room-name').textContent = room;
  attention.setTitle(`${room} · ${TITLE}`);
  feed.clear();
  composer.enter(room);
  people.reset([]);
  side.close();
  showRooms();
  $('invite').hidden = LOOPBACK.test(location.hostname);
  $('address').textContent = location.host + (room === LOBBY ? '' : '/' + addressOf(room));
  showChat();
  session = createSession({ room, name: lasting.get('name', ''), token: lasting.get('token', ''), memory: perTab, on });
  focusSoon($('text'));
}

function rename(cancellable) {
  askName({
    name: lasting.get('name', ''), room: roomInAddress(), cancellable,
    onDone(name) {
      const same = name === null || (cancellable && name === lasting.get('name'));
      if (name !== null) lasting.set('name', name);
      if (!same) return enter();
      side.close();
      showChat();
      composer.focus();
    },
  });
}

/** A link can carry the token; it is taken out of the address, which people pass on. */
function takeTokenFromAddress() {
  const query = new URLSearchParams(location.search);
  if (!query.has('token')) return;
  lasting.set('token', query.get('token'));
  query.delete('token');
  const rest = query.toString();
  history.replaceState(null, '', location.pathname + (rest && '?' + rest) + location.hash);
}

$('rename').addEventListener('click', () => rename(true));
$('room-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const name = $('room').value.trim();
  $('room').value = '';
  if (name && name !== room) location.hash = addressOf(name);
});
$('status-retry').addEventListener('click', () => {
  session.retry();
  composer.focus();
});
// A link to the room one is in changes no address: close the side all the same.
$('rooms').addEventListener('click', (event) => event.target.closest('a') && side.close());
window.addEventListener('hashchange', () => session && roomInAddress() !== room && enter());
window.addEventListener('online', () => session && session.retry());
// The socket of a network that is gone notices it minutes later.
window.addEventListener('offline', () => session && session.drop());
document.addEventListener('visibilitychange', () => {
  if (session && !document.hidden && state.phase === 'waiting') session.retry();
});

takeTokenFromAddress();
if (lasting.get('name') === null) rename(false);
else enter();
