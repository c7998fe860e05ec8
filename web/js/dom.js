// @ts-check
// Owns finding and cloning elements; must never build markup out of text.

/**
 * An element the page cannot work without: a missing one fails here, at the start.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  return part(document, `#${id}`, type);
}

/**
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T}
 */
export function part(root, selector, type) {
  const found = root.querySelector(selector);
  if (found instanceof type) return found;
  throw new Error(`The page lacks ${selector}`);
}

/**
 * A fresh copy of a template's only element.
 * @param {string} id
 */
export function cloneOf(id) {
  const { content } = byId(id, HTMLTemplateElement);
  const copy = document.importNode(content, true).firstElementChild;
  if (copy instanceof HTMLElement) return copy;
  throw new Error(`The template ${id} is empty`);
}

/**
 * Sets text only when it differs, so that live regions stay quiet.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Says in a note beside a control how it went.
 * @param {Element} note
 * @param {string} words
 * @param {boolean} [bad]
 */
export function tell(note, words, bad = false) {
  say(note, words);
  note.classList.toggle("bad", bad);
}

/**
 * Shows that a button's work goes on. Not `disabled`: that would take the focus away from whoever
 * pressed it.
 * @param {Element} button
 * @param {boolean} busy
 */
export function setBusy(button, busy) {
  button.setAttribute("aria-disabled", String(busy));
}
