// The WebSocket: opening it, coming back when it breaks, and finding out why it was refused.
//
// A connection is always in one phase, told to `onState`:
//   connecting   a socket is being opened
//   live         the server has said welcome
//   waiting      broken; the next try is at `retryAt`, the cause is `reason`
//   stopped      broken; only a person can mend it (token, refusal)

const FIRST_DELAY = 1000;
const LONGEST_DELAY = 30000;
const OPEN_TIMEOUT = 10000;
const PROBE_TIMEOUT = 5000;
// A connection that lived shorter than this does not reset the delay: a server that
// welcomes and drops in a loop must not be hammered.
const STABLE_AFTER = 5000;

/**
 * `query()` gives the parameters of the next try, so that each one resumes from the
 * newest message; `onLost(code)` is told of every end of a live socket, before `onState`.
 */
export function createConnection({ query, onFrame, onLost, onState }) {
  let socket = null;
  let timer = 0;
  let failures = 0;
  let liveSince = 0;
  let state = { phase: 'stopped' };

  function enter(phase, more = {}) {
    state = { phase, ...more };
    onState(state);
  }

  // Callbacks of an abandoned socket must not be heard: closing a dead one takes the
  // browser many seconds, and by then another is open.
  function abandon() {
    clearTimeout(timer);
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    socket = null;
  }

  function open() {
    abandon();
    enter('connecting');
    const url = new URL('chat?' + query(), location.href);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    socket = new WebSocket(url.href, 'hallway.v2');
    socket.onmessage = (event) => receive(event.data);
    socket.onclose = (event) => ended(event.code);
    timer = setTimeout(ended, OPEN_TIMEOUT);
  }

  function receive(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return; // a server of the future may send what is not for us
    }
    if (frame.type === 'welcome') {
      clearTimeout(timer);
      liveSince = Date.now();
      enter('live');
    }
    onFrame(frame);
  }

  function ended(code = 0) {
    const wasLive = state.phase === 'live';
    abandon();
    if (!wasLive) return diagnose();
    if (Date.now() - liveSince > STABLE_AFTER) failures = 0;
    onLost(code);
    wait(code === 1001 ? 'draining' : 'lost');
  }

  function wait(reason, atLeast = 0) {
    const full = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** failures);
    failures += 1;
    // Jitter: a hundred pages that lost the server together must not return together.
    const delay = Math.max(atLeast, full * (0.5 + Math.random() / 2));
    timer = setTimeout(open, delay);
    enter('waiting', { reason, retryAt: Date.now() + delay });
  }

  // A browser does not tell a page why an upgrade was refused. The same address without
  // the upgrade gives the same refusal, and that can be read: `code` says why.
  async function diagnose() {
    const mine = state;
    const { status, code, text, retryAfter } = await probe('chat?' + query());
    if (state !== mine) return; // retried or stopped by hand in the meantime
    switch (status) {
      case 401: return enter('stopped', { reason: 'token' });
      case 429: return wait(code || 'address', retryAfter);
      case 503: return wait(code || 'network', retryAfter); // without a code it is a proxy's
      // 426 asks for the upgrade: all is well but the socket did not come through. Once may
      // be bad luck, again is something between us and the server.
      case 426: return wait(failures > 1 ? 'blocked' : 'network');
      case 0: case 502: case 504: return wait('network'); // no answer, or a proxy that got none
      default: return enter('stopped', { reason: 'refused', text });
    }
  }

  return {
    open,
    /** Try again at once, because something changed: the network is back, a person asked. */
    retry() {
      if (state.phase === 'waiting' || state.phase === 'stopped') open();
    },
    /** Treats the socket as dead although the browser has not noticed. */
    drop() {
      if (state.phase === 'live') ended();
    },
    close() {
      abandon();
      state = { phase: 'stopped' };
    },
    send(frame) {
      if (state.phase === 'live') socket.send(JSON.stringify(frame));
    },
  };
}

async function probe(path) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), PROBE_TIMEOUT);
  try {
    const answer = await fetch(path, { cache: 'no-store', signal: abort.signal });
    const text = (await answer.text()).trim().slice(0, 200);
    const { status, headers } = answer;
    return { status, text, code: headers.get('Hallway-Code'), retryAfter: 1000 * headers.get('Retry-After') || 0 };
  } catch {
    return { status: 0 };
  } finally {
    clearTimeout(timer);
  }
}
