// Who is here, who is typing, and the quiet line about who came and went.

import { el, door, named } from './message.js';

const TYPING_LASTS = 5000;

/** `isMe(name)` says who reads this; `onCount(count)` is told how many are here. */
export function createPeople({ list, typingLine, isMe, onCount }) {
  // Names can repeat: two connections of one person, or two people called Kim.
  let names = [];
  let count = 0;
  let scheduled = false;
  const typing = new Map(); // name -> timer

  // Once a frame: two hundred who come at once must not cost two hundred lists of two hundred.
  function changed() {
    onCount(count);
    if (!scheduled) requestAnimationFrame(draw);
    scheduled = true;
  }

  function draw() {
    scheduled = false;
    const tally = new Map();
    for (const name of names) tally.set(name, (tally.get(name) || 0) + 1);
    const sorted = [...tally].sort((a, b) => a[0].localeCompare(b[0]));
    list.replaceChildren(...sorted.map(([name, times]) => person(name, times, isMe(name))));
    if (count > names.length) list.append(el('li', { className: 'dim' }, names.length ? `and ${count - names.length} more` : 'Too many to list.'));
  }

  function showTyping() {
    const who = [...typing.keys()];
    if (!who.length) return typingLine.replaceChildren();
    const text = who.length > 2 ? ['Several people are typing…'] : [...joinNames(who), who.length > 1 ? ' are typing…' : ' is typing…'];
    typingLine.replaceChildren(...text);
  }

  function stopTyping(name) {
    clearTimeout(typing.get(name));
    typing.delete(name);
    showTyping();
  }

  function nobodyTypes() {
    typing.forEach(clearTimeout);
    typing.clear();
    showTyping();
  }

  return {
    // `null` where the room is large; the count comes later.
    reset(present) {
      names = [...present || []];
      count = names.length;
      nobodyTypes();
      changed();
    },
    // The server's count is the truth. A newcomer may be in `welcome.users` already, and a
    // server may leave names out where a room is large; the count says which it is.
    joined(name, total) {
      if (names.length < total) names.push(name);
      count = total;
      changed();
    },
    left(name, total) {
      const at = names.indexOf(name);
      if (at >= 0 && names.length > total) names.splice(at, 1);
      count = total;
      stopTyping(name);
      changed();
    },
    counted(total) {
      count = total;
      changed();
    },
    types(name) {
      clearTimeout(typing.get(name));
      typing.set(name, setTimeout(stopTyping, TYPING_LASTS, name));
      showTyping();
    },
    stopTyping,
    nobodyTypes,
  };
}

function person(name, times, me) {
  const item = el('li', {}, door(name), named(name, 'me-name'));
  const more = [me ? 'you' : '', times > 1 ? `×${times}` : ''].join(' ').trim();
  if (more) item.append(el('span', { className: 'hint' }, more));
  return item;
}

/** Names as nodes for a sentence: "a", "a and b", "a, b and 3 others". */
function joinNames(names) {
  const shown = names.slice(0, names.length > 3 ? 2 : 3).map((name) => named(name));
  const rest = names.length - shown.length;
  const last = rest ? `${rest} others` : shown.length > 1 ? shown.pop() : null;
  const nodes = shown.flatMap((node, i) => (i ? [', ', node] : [node]));
  return last ? [...nodes, ' and ', last] : nodes;
}

/**
 * Folds arrivals and departures between two messages into one entry of the conversation.
 * Whoever came and went, or went and came back, drops out of it.
 */
export function foldPresence(entry, name, step) {
  const change = (entry.changes.get(name) || 0) + step;
  if (change) entry.changes.set(name, change);
  else entry.changes.delete(name);
}

export function presenceRow(entry) {
  const by = (sign) => [...entry.changes].filter(([, change]) => change * sign > 0).map(([name]) => name);
  const came = by(1);
  const went = by(-1);
  const row = el('p', { className: 'note' });
  if (came.length) row.append(...joinNames(came), ' joined');
  if (came.length && went.length) row.append(' · ');
  if (went.length) row.append(...joinNames(went), ' left');
  row.hidden = !entry.changes.size;
  row.setAttribute('aria-live', 'off'); // quiet for those who listen, too
  return row;
}
