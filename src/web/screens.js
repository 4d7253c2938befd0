// Which screen is shown: the conversation, the question for a name or a token, or what went
// wrong. What is not shown is hidden, so that neither Tab nor a screen reader finds it.

const $ = (id) => document.getElementById(id);

// What a person can be told about a connection that is not there: title, explanation. Some of
// the keys are the server's own codes (Hallway-Code).
const REASONS = {
  lost: ['The connection was lost', ''],
  network: ['The server cannot be reached', 'Is this device on the right network?'],
  draining: ['The server is restarting', 'It should be back soon.'],
  full: ['The server is full', 'You can join when somebody else leaves.'],
  rooms: ['There are too many rooms', 'You can open a new room when another one is empty. The lobby is always open.'],
  address: ['Too many connections from your network', 'Closing other tabs may help.'],
  joins: ['Too many visits from your network', 'The page tries again in a moment.'],
  memory: ['The server is short of memory', 'The page tries again in a moment.'],
  blocked: ['The chat connection is blocked', `The server answers, but the chat connection does not open. If there is a proxy, it must forward WebSockets. The server may also need the option --origin ${location.origin}.`],
  refused: ['The server refused the connection', ''],
};

/** Title and text for a state of the connection; `text` is what the server said. */
export function explain({ reason, text }) {
  const [title, explanation] = REASONS[reason] || REASONS.network;
  return { title, text: text ? `The server says: “${text}”.` : explanation };
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
  // The door is shut while nobody can join.
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
  $('token-text').textContent = wrong ? 'The server did not accept this token.' : 'Ask the person who runs this server for the token.';
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
