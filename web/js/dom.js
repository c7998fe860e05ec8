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
