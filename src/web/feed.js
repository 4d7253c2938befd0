// The conversation: which part of it is in the document, and where the reader stands in it.
//
// All entries are kept in memory up to a limit; the document holds a window of them, so
// that thousands of messages cost no more than a few hundred. Entries are drawn once per
// frame, however many arrived in it.

import { messageRow, pendingRow, dayName, daySeparator, el } from './message.js';
import { foldPresence, presenceRow } from './people.js';

const IN_DOCUMENT = 300;
// A reader who is further up is not disturbed by trimming above; below, the document
// grows to this and then waits for them to come down.
const IN_DOCUMENT_AWAY = 600;
const IN_MEMORY = 5000;
const STEP = 200;
const GROUP_GAP = 3 * 60 * 1000;
const GROUP_LENGTH = 20;
// This close to the end counts as being there, in pixels.
const NEAR_END = 60;
const TOO_MANY_TO_READ = 8; // in one frame

export function createFeed({ scroller, list, pending, empty, earlier, pill, onAct }) {
  let entries = [];
  let first = 0; // the window is entries[first..last)
  let last = 0;
  let unsent = [];
  let arrivals = 0; // since the last drawing
  let unread = 0; // arrived below while the reader was further up
  let pinned = true; // the reader is at the end and stays there
  let scheduled = false;
  let quiet = true; // a replay is running: shown, not read aloud
  let ready = false; // the server has said what there is, so that empty means empty
  let pendingChanged = false;
  let speaking = 0; // timer

  // -- drawing

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    // A hidden page gets no frames; it must not pile up all evening either.
    if (document.hidden) setTimeout(draw, 250);
    else requestAnimationFrame(draw);
  }

  function draw() {
    scheduled = false;
    if (!pinned) unread += arrivals;
    arrivals = 0;
    trimMemory();
    if (pinned && entries.length - last > IN_DOCUMENT) rebuild(entries.length - IN_DOCUMENT, entries.length);
    const limit = pinned ? entries.length : Math.max(last, first + IN_DOCUMENT_AWAY);
    const end = Math.min(entries.length, limit);
    if (quiet || end - last > TOO_MANY_TO_READ) hush();
    appendUntil(end, !quiet);
    if (pinned) trimAbove();
    if (pendingChanged) drawPending();
    empty.hidden = !ready || entries.length > 0 || unsent.length > 0;
    earlier.hidden = first === 0;
    showPill();
    if (pinned) toEnd();
  }

  // A screen reader reads what is added to the log; what is added in bulk must not be read.
  // It looks a moment later, so the voice comes back later still.
  function hush() {
    list.setAttribute('aria-live', 'off');
    clearTimeout(speaking);
    speaking = setTimeout(() => list.setAttribute('aria-live', 'polite'), 1000);
  }

  function drawPending() {
    pendingChanged = false;
    const focused = pending.contains(document.activeElement) && document.activeElement.id;
    pending.replaceChildren(...unsent.map((item) => pendingRow(item, onAct)));
    if (focused) (document.getElementById(focused) || scroller).focus();
  }

  /** What stands before an entry decides how it looks: day, group. */
  function rowsOf(entry, previous) {
    if (entry.kind === 'presence') return [presenceRow(entry)];
    if (entry.kind === 'gap') return [el('p', { className: 'note gap' }, entry.text)];
    const newDay = !previous || !previous.date || previous.date.toDateString() !== entry.date.toDateString();
    entry.run = !newDay && continues(entry, previous) ? previous.run + 1 : 1;
    const row = messageRow(entry, entry.run === 1);
    if (!newDay) return [row];
    list.querySelectorAll('.day').forEach((node) => { node.textContent = dayName(node.date); });
    return [daySeparator(entry.date), row];
  }

  function continues(entry, previous) {
    return previous.kind === 'message' && previous.username === entry.username && previous.own === entry.own
      && entry.date - previous.date < GROUP_GAP && previous.run < GROUP_LENGTH;
  }

  /** `fresh` ones have just been said and may move in. */
  function appendUntil(end, fresh = false) {
    const rows = document.createDocumentFragment();
    for (; last < end; last += 1) {
      const entry = entries[last];
      entry.rows = rowsOf(entry, last > first ? entries[last - 1] : null);
      if (fresh) entry.rows.forEach((row) => row.classList.add('fresh'));
      rows.append(...entry.rows);
    }
    list.append(rows);
  }

  function rebuild(from, to) {
    hush();
    list.replaceChildren();
    first = last = from;
    appendUntil(to);
  }

  // Trims in steps, and up to the head of a group, so that no message loses its author.
  function trimAbove() {
    if (last - first < IN_DOCUMENT + STEP) return;
    let keep = last - IN_DOCUMENT;
    while (keep > first && entries[keep].run > 1) keep -= 1;
    for (; first < keep; first += 1) {
      entries[first].rows.forEach((row) => row.remove());
      entries[first].rows = null;
    }
  }

  function trimMemory() {
    const surplus = Math.min(entries.length - IN_MEMORY, first);
    if (surplus < STEP) return;
    entries = entries.slice(surplus);
    first -= surplus;
    last -= surplus;
  }

  // -- where the reader stands

  function toEnd() {
    scroller.scrollTop = scroller.scrollHeight;
  }

  function nearEnd() {
    return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_END;
  }

  function onScroll() {
    // Who follows the conversation gets what has just arrived with the next drawing.
    if (!pinned && nearEnd() && last < entries.length) return showLater();
    pinned = nearEnd();
    if (pinned) unread = 0;
    showPill();
  }

  // The reader came down to the end of the document, but not of the conversation.
  function showLater() {
    hush();
    const [seen] = entries[last - 1].rows.slice(-1);
    const top = () => seen.getBoundingClientRect().top;
    const before = top();
    appendUntil(Math.min(entries.length, last + STEP));
    trimAbove();
    // By what is seen: heights are rounded. Trimming may have moved the reader by itself.
    scroller.scrollTop += top() - before;
  }

  function showEarlier() {
    const fromEnd = scroller.scrollHeight - scroller.scrollTop;
    rebuild(Math.max(0, first - STEP), last);
    pinned = false;
    earlier.hidden = first === 0;
    if (earlier.hidden) scroller.focus(); // the button had the focus, and is gone
    scroller.scrollTop = scroller.scrollHeight - fromEnd;
  }

  function showLatest() {
    pinned = true;
    unread = 0;
    if (last < entries.length) rebuild(Math.max(0, entries.length - IN_DOCUMENT), entries.length);
    showPill();
    toEnd();
  }

  function showPill() {
    pill.hidden = pinned || unread === 0;
    pill.textContent = `${unread} new ${unread === 1 ? 'message' : 'messages'} ↓`;
  }

  scroller.addEventListener('scroll', onScroll, { passive: true });
  earlier.addEventListener('click', showEarlier);
  pill.addEventListener('click', () => {
    showLatest();
    scroller.focus(); // the pill had the focus, and is gone
  });
  // The keyboard of a phone and a growing input change the height: stay at the end.
  new ResizeObserver(() => pinned && toEnd()).observe(scroller);

  return {
    showLatest,
    clear() {
      entries = [];
      unsent = [];
      unread = 0;
      pinned = quiet = pendingChanged = true;
      ready = false;
      rebuild(0, 0);
      schedule();
    },
    /** While quiet (a replay), entries are shown but not read aloud. */
    setQuiet(value) {
      quiet = value;
      ready = ready || !value;
      schedule();
    },
    /** `entry` has kind 'message' (id, username, text, date, own) or 'gap' (text). */
    add(entry) {
      if (!entry.date) entry.date = lastDate();
      entries.push(entry);
      if (entry.kind === 'message' && !entry.own) arrivals += 1;
      schedule();
    },
    /** Somebody came (`step` 1) or went (-1). */
    presence(name, step) {
      const latest = entries[entries.length - 1];
      if (!latest || latest.kind !== 'presence') {
        entries.push({ kind: 'presence', changes: new Map([[name, step]]), date: lastDate() });
        return schedule();
      }
      foldPresence(latest, name, step);
      if (!latest.rows) return;
      const row = presenceRow(latest);
      latest.rows[0].replaceWith(row);
      latest.rows = [row];
    },
    setPending(items) {
      unsent = items;
      pendingChanged = true;
      schedule();
    },
  };

  // What is not a message belongs to the day of the message before it, if there is one.
  function lastDate() {
    return entries.length ? entries[entries.length - 1].date : null;
  }
}
