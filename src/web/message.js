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

// Only http and https become links. Direction overrides end a link: with them inside, what
// it shows and where it goes could differ.
const LINK = /https?:\/\/[^\s<>"\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gi;

/** The length of `url` without the punctuation of the sentence it stands in. */
function trimmedLength(url) {
  let end = url.length;
  while (end > 0) {
    const last = url[end - 1];
    const count = (char) => url.slice(0, end).split(char).length;
    const unopened = last === ')' && count(')') > count('(');
    if (!unopened && !'.,;:!?\'*_~]}'.includes(last)) break;
    end -= 1;
  }
  return end;
}

/** `text` as text nodes and links. */
export function linked(text) {
  const parts = [];
  let done = 0;
  for (const match of text.matchAll(LINK)) {
    const url = match[0].slice(0, trimmedLength(match[0]));
    if (!isPlain(url)) continue;
    parts.push(text.slice(done, match.index), el('a', { href: url, target: '_blank', rel: 'noopener noreferrer nofollow' }, url));
    done = match.index + url.length;
  }
  parts.push(text.slice(done));
  return parts.filter((part) => part !== '');
}

/** Whether `text` is an address without a name before an `@`, which is there to be mistaken for the host. */
function isPlain(text) {
  try {
    const { hostname, username, password } = new URL(text);
    return Boolean(hostname) && !username && !password;
  } catch {
    return false;
  }
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
    const head = el('div', { className: 'head' }, coloured(el('bdi', { className: 'name' }, item.username), item.username), time);
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
