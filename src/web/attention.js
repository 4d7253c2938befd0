// When nobody looks: the number in the title, the dot on the icon, and notifications for
// those who asked for them.

const DOT = '<circle cx="25" cy="7" r="7" fill="#d6452b" stroke="#fff"/></svg>';

export function createAttention({ icon, button, memory }) {
  const plainIcon = icon.href;
  let dottedIcon = plainIcon; // until the picture has been fetched
  let unread = 0;
  let title = document.title;

  // Browsers without Notification (and pages without HTTPS, where it is not allowed)
  // do not get to see the switch.
  const possible = 'Notification' in window && window.isSecureContext;
  const wanted = () => possible && memory.get('notify', false) && Notification.permission === 'granted';

  const away = () => document.hidden || !document.hasFocus();

  function show() {
    document.title = unread ? `(${unread}) ${title}` : title;
    const picture = unread ? dottedIcon : plainIcon;
    if (icon.href !== picture) icon.href = picture; // set again, it would be fetched again
    button.setAttribute('aria-checked', String(wanted()));
  }

  async function makeDot() {
    try {
      const picture = await (await fetch(plainIcon)).text();
      dottedIcon = 'data:image/svg+xml,' + encodeURIComponent(picture.replace('</svg>', DOT));
      show();
    } catch { /* the title has to do */ }
  }

  async function toggle() {
    const on = !wanted();
    if (on) await Notification.requestPermission();
    memory.set('notify', on);
    show();
    if (on && !wanted()) button.textContent = 'Notifications are blocked in the browser';
  }

  function notify(username, text) {
    if (!wanted()) return;
    try {
      // One tag: a busy room replaces its notification and does not stack them.
      const note = new Notification(username, { body: text.slice(0, 200), tag: title, icon: 'icon.png' });
      note.onclick = () => window.focus();
    } catch { /* Android allows them from a service worker only */ }
  }

  function seen() {
    if (away() || !unread) return;
    unread = 0;
    show();
  }

  button.hidden = !possible;
  button.addEventListener('click', toggle);
  document.addEventListener('visibilitychange', seen);
  window.addEventListener('focus', seen);

  return {
    setTitle(text) {
      title = text;
      show();
    },
    /** Somebody else said something. */
    message(username, text) {
      if (!away()) return;
      if (!unread && dottedIcon === plainIcon) makeDot();
      unread += 1;
      show();
      notify(username, text);
    },
  };
}
