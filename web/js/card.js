// @ts-check
// Owns turning one post into one article, as the server does with the same template; must never treat a post's
// words as anything but text.

import { avatarOf } from "./avatar.js";
import { stamp } from "./clock.js";
import { cloneOf, part } from "./dom.js";
import { may } from "./page.js";
import { writeRich } from "./rich.js";
import { say } from "./words.js";

/** @typedef {import("./post.js").Post} Post */

/**
 * @param {Post} post
 * @returns {HTMLElement}
 */
export function cardOf(post) {
  const card = cloneOf("post-template");
  card.id = `post-${post.id}`;
  card.dataset.id = post.id;
  card.dataset.kind = post.kind;
  if (post.mine) card.dataset.raw = post.raw;
  showKind(card, post);
  showAuthor(card, post);
  stamp(part(card, "time", HTMLTimeElement), post.time);
  write(card, ".post-text", post.text, writeRich);
  write(card, ".post-place", post.place);
  write(card, ".post-location", post.location, inner);
  nameIt(card, post.id);
  return card;
}

/** The card of that post, if it is in the list. @param {Element} list @param {string} id */
export function cardIn(list, id) {
  return /** @type {HTMLElement | null} */ (list.querySelector(`.post[data-id="${CSS.escape(id)}"]`));
}

/** A card that the server made is brought to life. @param {HTMLElement} card */
export function adopt(card) {
  const time = card.querySelector("time");
  if (time instanceof HTMLTimeElement) stamp(time, time.dateTime);
  offerTools(card, card.dataset.raw !== undefined);
}

/** What its author may do to it. @param {HTMLElement} card @param {boolean} mine */
function offerTools(card, mine) {
  const tools = card.querySelector(".post-tools");
  if (!(tools instanceof HTMLElement)) return;
  if (mine && may.has("post")) tools.hidden = false;
  else tools.remove();
}

/**
 * @param {HTMLElement} card
 * @param {Post} post
 */
function showKind(card, { kind, mine, trusted, edited }) {
  part(card, ".post-kind use", Element).setAttribute("href", `#glyph-${kind}`);
  part(card, ".post-kind-word", Element).textContent = say(`kind.${kind}`);
  if (!mine) part(card, ".you", Element).remove();
  offerTools(card, mine);
  if (!trusted) part(card, ".api", Element).remove();
  if (!edited) part(card, ".edited", Element).remove();
}

/**
 * @param {HTMLElement} card
 * @param {Post} post
 */
function showAuthor(card, { author, through }) {
  const { letters, hue } = avatarOf(author ?? "");
  const avatar = part(card, ".post-avatar", HTMLElement);
  avatar.textContent = letters;
  avatar.dataset.hue = String(hue);
  write(card, ".post-author", author);
  write(card, ".post-through", through, inner);
}

/** @param {Element} home @param {string} words */
const plainly = (home, words) => (home.textContent = words);

/** @param {Element} home @param {string} words */
const inner = (home, words) => (part(home, "bdi", Element).textContent = words);

/**
 * Writes the words where they belong, or takes away the place for them.
 * @param {HTMLElement} card
 * @param {string} selector
 * @param {string | undefined} words
 * @param {(home: Element, words: string) => unknown} [how]
 */
function write(card, selector, words, how = plainly) {
  const home = part(card, selector, Element);
  if (words === undefined) home.remove();
  else how(home, words);
}

/**
 * A feed's articles are named and described by what is in them.
 * @param {HTMLElement} card @param {string} id
 */
function nameIt(card, id) {
  for (const [name, selector] of [["kind", ".post-kind"], ["author", ".post-author"], ["words", ".post-text, .post-place"]]) {
    const found = card.querySelector(String(selector));
    if (found) found.id = `${name}-${id}`;
  }
  card.setAttribute("aria-labelledby", `kind-${id} author-${id}`);
  card.setAttribute("aria-describedby", `words-${id}`);
}
