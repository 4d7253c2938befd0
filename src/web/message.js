// How one entry of the conversation looks. Whatever people wrote enters the document as
// text nodes only: there is no innerHTML in this page, so nothing they write can be markup.

/** Makes an element; `props` are properties, strings among the children become text. */
export function el(tag, props = {}, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
}

const COLOURS = 12;

/** Gives `node` the colour of a name: made from the name, so the same on every device. */
function coloured(node, name) {
  let hash = 2166136261; // FNV-1a
  for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
  node.style.setProperty('--name', `var(--c${(hash >>> 0) % COLOURS})`);
  return node;
}

/** The badge of a person: a door in their colour with their initial on it. */
export function door(name) {
  const initial = (name.match(/[\p{L}\p{N}\p{Extended_Pictographic}]/u) || ['·'])[0].toUpperCase();
  const node = el('span', { className: 'door' }, initial);
  node.setAttribute('aria-hidden', 'true');
  return coloured(node, name);
}

const LINK = /https?:\/\/[^\s<>"\\]+/gi;

/** The length of `url` without the punctuation of its sentence, found in one pass. */
function trimmedLength(url) {
  const count = (char) => url.split(char).length;
  let unopened = count(')') - count('(');
  let end = url.length;
  for (; end > 0; end -= 1) {
    const last = url[end - 1];
    if (last === ')' ? unopened-- < 1 : !'.,;:!?\'*_~]}'.includes(last)) break;
  }
  return end;
}

/** `text` as text nodes and links. */
export function linked(text) {
  const parts = [];
  let done = 0;
  for (const match of text.matchAll(LINK)) {
    const url = match[0].slice(0, trimmedLength(match[0]));
    const href = plain(url);
    if (!href) continue;
    parts.push(text.slice(done, match.index), el('a', { href, dir: 'ltr', target: '_blank', rel: 'noopener noreferrer nofollow' }, href));
    done = match.index + url.length;
  }
  parts.push(text.slice(done));
  return parts.filter((part) => part !== '');
}

/**
 * What a link to `url` shows, which is where it leads: the host as the browser asks for it, in
 * ASCII, and the rest as written, escaped where it is not seen. Null with a name before an `@`,
 * which is there to be mistaken for the host.
 */
function plain(url) {
  try {
    const { protocol, host, username, password } = new URL(url);
    if (username || password) return null;
    return url.replace(/\w+:\/+[^/?#]*/, () => `${protocol}//${host}`).replace(/[\p{C}\p{DI}\u2800]/gu, encodeURIComponent);
  } catch {
    return null;
  }
}

// Scripts that may stand together ("highly restrictive" in UTS 39); those not listed count as one.
const SCRIPTS = ['Latn Hani Hira Kana', 'Latn Hani Bopo', 'Latn Hani Hang', ...'Arab Armn Cyrl Deva Geor Grek Hebr Thai'.split(' ')];
const only = (scripts, not = '') => new RegExp(`^[${not}${scripts.replace(/\w+/g, '\\p{sc=$&}')}]*$`, 'u');

function isMixed(name) {
  const letters = name.replace(/[\p{sc=Zyyy}\p{sc=Zinh}]/gu, ''); // common and inherited
  return !SCRIPTS.some((some) => only(some).test(letters)) && !only(SCRIPTS.join(' '), '^').test(letters);
}

/** A name, isolated, and marked where it mixes scripts, as imitations do. */
export function named(name, className = '') {
  const node = el('bdi', { className }, name);
  if (isMixed(name)) node.append(' ', el('span', { className: 'mixed', title: 'Letters of different alphabets look alike' }, 'mixed alphabets'));
  return node;
}

// Formatters are slow to make, so each is made once, and only when it is needed.
const formatters = {};
function format(kind, options, date) {
  formatters[kind] = formatters[kind] || new Intl.DateTimeFormat(undefined, options);
  return formatters[kind].format(date);
}
export const clock = (date) => format('clock', { hour: '2-digit', minute: '2-digit' }, date);

/** "Today", "Yesterday", or the date, with the year only where it is another one. */
export function dayName(date, now = new Date()) {
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (date.toDateString() === now.toDateString()) return 'Today';
  if (date.toDateString() === yesterday.toDateString()) return 'Yesterday';
  const options = { weekday: 'long', day: 'numeric', month: 'long' };
  return date.getFullYear() === now.getFullYear()
    ? format('day', options, date)
    : format('year', { ...options, year: 'numeric' }, date);
}

/** Carries its date, because "Today" does not stay true. */
export const daySeparator = (date) => el('p', { className: 'day', date }, dayName(date));

/** A message; the first of its group carries door, name and time for those that follow. */
export function messageRow(item, first) {
  const row = el('div', { className: `msg${item.own ? ' own' : ''}${first ? ' first' : ''}` });
  if (first) {
    const time = el('time', { dateTime: item.date.toISOString() }, clock(item.date));
    const head = el('div', { className: 'head' }, coloured(named(item.username, 'name'), item.username), time);
    if (!item.own) row.append(door(item.username));
    row.append(head);
  } else {
    // Those who see know whose it is from where it stands; those who listen are told.
    row.append(el('span', { className: 'vh' }, `${item.username}: `));
    row.title = clock(item.date);
  }
  row.append(el('div', { className: 'text', dir: 'auto' }, ...linked(item.text)));
  return row;
}

const STATES = { queued: 'Waiting for the connection', sent: 'Sending…' };

/** An own message that the server does not have yet; `act(what, ref)` takes the buttons. */
export function pendingRow(item, act) {
  const stuck = item.state === 'failed' || item.state === 'unsure';
  const state = el('div', { className: 'state' }, el('span', {}, stuck ? item.why : STATES[item.state]));
  if (stuck) {
    const button = (label, what) => el('button', { type: 'button', className: 'quiet', id: `${what}-${item.ref}`, onclick: () => act(what, item.ref) }, label);
    state.append(button('Send again', 'again'), button('Discard', 'discard'));
  }
  const row = el('div', { className: `msg own first ${stuck ? 'failed' : 'waiting'}` });
  row.append(el('div', { className: 'text', dir: 'auto' }, ...linked(item.text)), state);
  row.dataset.state = item.state;
  return row;
}
