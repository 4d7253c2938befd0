// What the page remembers. Storage can be missing or full (private windows, strict
// settings): the page then forgets, it never fails.

// Looked up at each use: the first touch of a storage is slow, and some refuse even that.
function memory(storage) {
  return {
    get(key, otherwise = null) {
      try {
        const text = window[storage].getItem('hallway.' + key);
        return text === null ? otherwise : JSON.parse(text);
      } catch {
        return otherwise;
      }
    },
    set(key, value) {
      try {
        window[storage].setItem('hallway.' + key, JSON.stringify(value));
      } catch { /* forgotten, as said above */ }
    },
  };
}

/** For this browser: the name, the rooms, the token, whether to notify. */
export const lasting = memory('localStorage');

/** For this tab: unsent messages. Two tabs that shared them would both send them. */
export const perTab = memory('sessionStorage');
