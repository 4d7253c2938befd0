// Messages on their way out: kept until the server is known to have them.
//
// Each carries a `ref`, which comes back on the sender's own echo. While the connection
// lives the echo settles everything. The hard case is a connection that breaks between a
// message and its echo: did it arrive? The rule, in order of certainty:
//
//   1. After Close 1001 (going away): the server sends every echo it owes before it says so.
//      What has no echo was not taken, and is sent again.
//   2. After any other end, the replay on resuming is the evidence. A connection keeps its
//      order, so our messages in it, compared by name and text with ours in the order we
//      sent them, are the ones that arrived. The rest is sent again.
//   3. Where the replay proves nothing (another epoch, or it does not reach back far enough)
//      the page does not guess: the message is marked `unsure`, and its author decides.
//
// `mark` is the point in the history up to which our own messages are accounted for; the
// evidence is what comes after it. What the rule cannot see: another who uses the same name
// and says the same words in that moment, and bytes that a network still delivers on the old
// connection when the new one is open.
//
// States: queued (no connection yet), sent (no echo yet), failed (and why), unsure.

// A message whose sending ends the connection again and again must not do so for ever.
const MAX_TRIES = 4;

/** `memory` has get and set and outlives the page; `onChange` is called after each change. */
export function createOutbox({ memory, key, onChange }) {
  const { items, mark: restored } = memory.get(key, { items: [], mark: null });
  let mark = restored;
  const prefix = Math.random().toString(36).slice(2, 10);
  let counter = 0;

  function changed() {
    memory.set(key, { items, mark });
    onChange(items);
  }
  const find = (ref) => items.find((item) => item.ref === ref);
  const inFlight = () => items.filter((item) => item.state === 'sent');

  function remove(item) {
    const at = items.indexOf(item);
    if (at >= 0) items.splice(at, 1);
  }

  function requeue(item) {
    item.state = item.tries < MAX_TRIES ? 'queued' : 'failed';
    item.why = 'The connection was lost each time this message was sent.';
  }

  /** Rule 2: of `sent`, what `evidence` shows to have arrived. Both are in order. */
  function arrived(sent, evidence) {
    const found = [];
    let next = 0;
    for (const message of evidence) {
      const at = sent.findIndex((item, i) => i >= next && item.as === message.username && item.text === message.message);
      if (at < 0) continue;
      found.push(sent[at]);
      next = at + 1;
    }
    return found;
  }

  return {
    items,
    add(text) {
      counter += 1;
      items.push({ ref: `${prefix}-${counter}`, text, state: 'queued', tries: 0 });
      changed();
    },

    /** Hands everything queued to `send(frame)`; `as` is our name, `position` the newest id. */
    flush(send, as, position) {
      const queued = items.filter((item) => item.state === 'queued');
      if (!queued.length) return;
      if (!inFlight().length) mark = position;
      for (const item of queued) {
        Object.assign(item, { state: 'sent', as, tries: item.tries + 1 });
        send({ type: 'chatMessage', payload: { message: item.text, ref: item.ref } });
      }
      changed();
    },

    /** The echo: the server has it, at `position`. */
    acknowledge(ref, position) {
      const item = find(ref);
      if (!item) return;
      mark = position;
      remove(item);
      changed();
    },

    refuse(ref, why) {
      const item = find(ref);
      if (!item) return;
      Object.assign(item, { state: 'failed', why });
      changed();
    },

    /** The connection has ended; `complete` where all echoes are known to have come (rule 1). */
    lost(complete) {
      if (complete) inFlight().forEach(requeue);
      changed();
    },

    /**
     * The replay has ended. `replay` are its messages, `resumed` says that it holds all that
     * came after the last message this tab has seen.
     */
    settle(replay, epoch, resumed) {
      const sent = inFlight();
      if (!sent.length) return;
      const sameEpoch = mark && mark.epoch === epoch;
      const at = sameEpoch ? replay.findIndex((message) => message.id === mark.id) : -1;
      const certain = sameEpoch && (resumed || at >= 0 || mark.id === null);
      const evidence = resumed ? replay : replay.slice(at + 1);
      const found = sameEpoch ? arrived(sent, evidence) : [];
      found.forEach(remove);
      for (const item of sent) {
        if (found.includes(item)) continue;
        if (certain) requeue(item);
        else Object.assign(item, { state: 'unsure', why: 'The connection was lost. The message may have arrived.' });
      }
      changed();
    },

    again(ref) {
      const item = find(ref);
      if (!item) return;
      // To the end: it is said now, and `flush` sends in the order of the list.
      remove(item);
      items.push(Object.assign(item, { state: 'queued', tries: 0 }));
      changed();
    },

    discard(ref) {
      remove(find(ref));
      changed();
    },

    /** Whether a message waits for its echo. */
    waits: () => inFlight().length > 0,
  };
}
