// The input at the bottom: it grows with the text, counts near the limit, and says when
// somebody types.

const TYPING_EVERY = 3000;
// The counter is of interest only when less than this is left.
const SHOW_LEFT = 300;

/**
 * Calls `onSend(text)`, and `onTyping()` at most once in a few seconds. `memory` keeps what has
 * been begun in each room, over a change of room and a reload.
 */
export function createComposer({ form, input, counter, memory, onSend, onTyping }) {
  const encoder = new TextEncoder();
  let limit = 4096; // bytes, until the server says its own
  let lastTyping = 0;
  let draft = ''; // the key of this room's

  // Bytes, because that is what the server counts; one character has one to four of them.
  const left = () => limit - encoder.encode(input.value.trim()).length;

  function grow() {
    input.style.height = 'auto';
    input.style.height = `${input.scrollHeight + 2}px`; // and its border
    input.style.overflowY = input.scrollHeight > 190 ? 'auto' : 'hidden';
  }

  function count() {
    const rest = left();
    counter.classList.toggle('over', rest < 0);
    if (rest < 0) counter.textContent = `Too long by ${-rest}`;
    else counter.textContent = rest < SHOW_LEFT ? `${rest} left` : '';
    input.setAttribute('aria-invalid', String(rest < 0));
  }

  function changed() {
    memory.set(draft, input.value);
    grow();
    count();
    const now = Date.now();
    if (!input.value.trim() || now - lastTyping < TYPING_EVERY) return;
    lastTyping = now;
    onTyping();
  }

  function submit() {
    const text = input.value.trim();
    if (!text || left() < 0) return;
    put('');
    memory.set(draft, '');
    lastTyping = 0;
    onSend(text);
  }

  function put(text) {
    input.value = text;
    grow();
    count();
  }

  input.addEventListener('input', changed);
  input.addEventListener('keydown', (event) => {
    // While an input method composes, Enter chooses a candidate; 229 is what Safari says then.
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== 'Enter' || event.shiftKey || composing) return;
    event.preventDefault();
    submit();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
    input.focus(); // also after a tap on the button: the phone's keyboard stays
  });

  return {
    focus: () => input.focus(),
    enter(room) {
      draft = 'draft.' + room;
      put(memory.get(draft, ''));
    },
    setLimit(bytes) {
      limit = bytes;
      count();
    },
  };
}
