// Which screen is shown: the conversation, the question for a name or a token, or what went
// wrong. What is not shown is hidden, so that neither Tab nor a screen reader finds it.

const $ = (id) => document.getElementById(id);

// What a person can be told about a connection that is not there: title, explanation.
const REASONS = {
  lost: ['The connection is lost', ''],
  network: ['The server cannot be reached', 'Is this device on the right network?'],
  draining: ['The server is restarting', 'It should be back in a moment.'],
  full: ['The hallway is full', 'You get in as soon as somebody leaves.'],
  rooms: ['There are too many rooms', 'A new one has to wait until another is left. The lobby is always open.'],
  busy: ['Too many connections from here', 'Closing other tabs may help.'],
  blocked: ['Something is in the way', `The server answers, but the chat does not come through. If there is a proxy, it must pass WebSockets on, and the server may need the option --origin ${location.origin}.`],
  policy: ['The server closed the connection', 'It said: '],
  refused: ['The server refuses to let you in', 'It said: '],
};

/** Title and text for a state of the connection. */
export function explain({ reason, text }) {
  const [title, explanation] = REASONS[reason] || REASONS.network;
  const quotes = explanation.endsWith(': ');
  return { title, text: quotes ? `${explanation}“${text || '…'}”.` : explanation };
}

function onSubmit(form, action) {
  form.onsubmit = (event) => {
    event.preventDefault();
    action();
  };
}

/** Focuses after the next frame: at once, it would lay the page out before it is complete. */
export function focusSoon(node) {
  requestAnimationFrame(() => setTimeout(() => node.focus()));
}

/** Shows one of the three parts of the card, or with null the conversation. */
function show(part) {
  $('screen').hidden = part === null;
  $('chat').hidden = part !== null;
  // Where one cannot go in, the door is shut.
  $('screen-door').classList.toggle('shut', part !== 'name-form');
  for (const id of ['name-form', 'token-form', 'problem']) $(id).hidden = id !== part;
}

export const showChat = () => show(null);
export const chatIsShown = () => !$('chat').hidden;

/** Asks for a name; `onDone(name)`, or `onDone(null)` where it was left as it is. */
export function askName({ name, room, cancellable, onDone }) {
  show('name-form');
  $('name').value = name;
  $('name-room').textContent = room;
  $('name-cancel').hidden = !cancellable;
  onSubmit($('name-form'), () => onDone($('name').value.trim()));
  $('name-cancel').onclick = () => onDone(null);
  $('name-form').onkeydown = (event) => {
    if (event.key === 'Escape' && cancellable) onDone(null);
  };
  focusSoon($('name'));
}

export function askToken({ wrong, onDone }) {
  if (!$('token-form').hidden) return; // being typed into
  show('token-form');
  $('token-text').textContent = wrong ? 'The server did not take that token.' : 'Whoever runs this server can give you the token.';
  $('token').value = '';
  onSubmit($('token-form'), () => onDone($('token').value.trim()));
  $('token').focus();
}

export function showProblem({ title, text, lobby, onRetry }) {
  const news = $('problem').hidden || $('problem-title').textContent !== title;
  show('problem');
  $('problem-title').textContent = title;
  $('problem-text').textContent = text;
  $('problem-lobby').hidden = !lobby;
  $('problem-retry').onclick = onRetry;
  if (news) $('problem-title').focus(); // read aloud, and Tab goes on to the button
}

/** The side, which on phones is a page of its own that opens and closes. */
export function createSide() {
  const isOpen = () => $('chat').classList.contains('side-open');
  function set(open) {
    $('chat').classList.toggle('side-open', open);
    $('side-open').setAttribute('aria-expanded', String(open));
  }
  function closeByHand() {
    if (!isOpen()) return;
    set(false);
    $('side-open').focus();
  }
  $('side-open').addEventListener('click', () => {
    set(true);
    $('side-close').focus();
  });
  $('side-close').addEventListener('click', closeByHand);
  $('side').addEventListener('keydown', (event) => event.key === 'Escape' && closeByHand());
  return { close: () => set(false) };
}
