// @ts-check
// Owns turning one post into one article; must never treat a post's words as anything but text.

import { stamp } from "./clock.js";
import { cloneOf, part } from "./dom.js";

/** @typedef {import("./post.js").Post} Post */

/** @type {Record<import("./post.js").Kind, string>} */
const WORDS = { status: "Status", checkin: "Check-in", forward: "Forward", direct: "Direct" };

let made = 0;

/**
 * @param {Post} post
 * @returns {HTMLElement}
 */
export function cardOf(post) {
  const card = cloneOf("post-template");
  card.dataset.id = post.id;
  card.dataset.kind = post.kind;
  showKind(card, post);
  stamp(part(card, "time", HTMLTimeElement), post.time);
  write(card, ".post-text", post.text);
  write(card, ".post-place", post.place);
  write(card, ".post-author", post.author);
  write(card, ".post-through", post.through, "bdi");
  write(card, ".post-location", post.location, "bdi");
  if (!post.author) part(card, ".post-by", Element).remove();
  nameIt(card);
  return card;
}

/**
 * @param {HTMLElement} card
 * @param {Post} post
 */
function showKind(card, { kind, mine, trusted }) {
  part(card, ".post-kind use", Element).setAttribute("href", `#glyph-${kind}`);
  part(card, ".post-kind-word", Element).textContent = WORDS[kind];
  if (!mine) part(card, ".you", Element).remove();
  if (!trusted) part(card, ".api", Element).remove();
}

/**
 * Writes the words where they belong, or takes away the place for them.
 * @param {HTMLElement} card
 * @param {string} selector
 * @param {string | undefined} words
 * @param {string} [inner]
 */
function write(card, selector, words, inner) {
  const home = part(card, selector, Element);
  if (words === undefined) return home.remove();
  (inner ? part(home, inner, Element) : home).textContent = words;
}

/**
 * A feed's articles are named and described by what is in them.
 * @param {HTMLElement} card
 */
function nameIt(card) {
  const number = (made += 1);
  /** @param {string} selectors */
  const ids = (selectors) => {
    const parts = [...card.querySelectorAll(selectors)];
    for (const part of parts) part.id = `card-${number}-${part.className}`;
    return parts.map((part) => part.id).join(" ");
  };
  card.setAttribute("aria-labelledby", ids(".post-kind-word, .post-author"));
  card.setAttribute("aria-describedby", ids(".post-text, .post-place"));
}
