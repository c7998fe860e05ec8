// @ts-check
// Owns a post's words in their parts: plain text, links, code. Pure but for its last function, and the same as
// `text.rs` of the wall: both are held to web/vectors/text.json.

/** @typedef {{ is: "text" | "link" | "code" | "block", text: string }} Part */

const FENCE = "```";
/** Characters that end a sentence rather than a link. */
const AFTER_LINKS = /[.,;:!?'"’”»)\]}…]+$/;
const LINK = /^https?:\/\/[^\s\p{Cc}<>"`]+/u;
const CODE = /^`([^`\n]+)`/;
/** So few pictures alone are shown large. */
const PICTURES = /^[\u200D\u20E3\u2190-\u2BFF\u3030\uFE0F\u{1F000}-\u{1FAFF}]{1,8}$/u;

/** @param {string} text @returns {Part[]} */
export function partsOf(text) {
  const lines = text.split("\n");
  /** @type {Part[]} */
  const parts = [];
  /** @type {string[]} */
  let plain = [];
  let ends = true;
  for (let at = 0; at < lines.length; at += 1) {
    const fence = ends && lines[at]?.startsWith(FENCE);
    const end = fence ? lines.indexOf(FENCE, at + 1) : -1;
    // Without an end for this one there is none for any.
    if (fence && end < 0) ends = false;
    if (end < 0) {
      plain.push(lines[at] ?? "");
      continue;
    }
    parts.push(...inline(plain.join("\n")), { is: "block", text: lines.slice(at + 1, end).join("\n") });
    plain = [];
    at = end;
  }
  return [...parts, ...inline(plain.join("\n"))];
}

/** @param {string} text @returns {Part[]} */
function inline(text) {
  /** @type {Part[]} */
  const parts = [];
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    const found = special(text, at);
    if (!found) continue;
    if (from < at) parts.push({ is: "text", text: text.slice(from, at) });
    parts.push(found.part);
    from = at + found.length;
    at = from - 1;
  }
  if (from < text.length) parts.push({ is: "text", text: text.slice(from) });
  return parts;
}

/**
 * What begins here, if it is no plain text.
 * @param {string} text @param {number} at
 * @returns {{ part: Part, length: number } | undefined}
 */
function special(text, at) {
  if (text[at] === "`") {
    const [whole = "", code] = CODE.exec(text.slice(at)) ?? [];
    return code ? { part: { is: "code", text: code }, length: whole.length } : undefined;
  }
  if (text[at] !== "h" || /[\p{Alphabetic}\p{N}]$/u.test(text.slice(Math.max(0, at - 2), at))) return undefined;
  const link = LINK.exec(text.slice(at))?.[0].replace(AFTER_LINKS, "") ?? "";
  return /^https?:\/\/./.test(link) ? { part: { is: "link", text: link }, length: link.length } : undefined;
}

/** Whether a text is nothing but a few pictures. @param {string} text */
export const isPictures = (text) => PICTURES.test(text);

/** @type {Record<Part["is"], string>} */
const ELEMENTS = { text: "", link: "a", code: "code", block: "code" };

/**
 * Writes a post's words into an element: as text, whatever they are.
 * @param {Element} home @param {string} text
 */
export function writeRich(home, text) {
  home.classList.toggle("pictures", isPictures(text));
  home.replaceChildren(...partsOf(text).map(nodeOf));
}

/** @param {Part} part @returns {Node} */
function nodeOf({ is, text }) {
  if (is === "text") return document.createTextNode(text);
  const element = document.createElement(ELEMENTS[is]);
  element.textContent = text;
  if (is === "block") element.className = "block";
  if (element instanceof HTMLAnchorElement) Object.assign(element, { href: text, rel: "noopener nofollow ugc", target: "_blank" });
  return element;
}
