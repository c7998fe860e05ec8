// @ts-check
// Owns the list of what is shown, newest first; must never hold more than its limit for long.

import { adopt, cardIn, cardOf } from "./card.js";
import { dividerOf } from "./divider.js";

/**
 * @typedef {{ post: import("./post.js").Post, gap?: undefined }} PostEntry
 * @typedef {{ gap: import("./wire.js").Gap, post?: undefined }} GapEntry
 * @typedef {PostEntry | GapEntry} Entry
 */

/** How many entries the page keeps, shown or waiting to be shown. */
export const LIMIT = 10_000;

export class Feed {
  #list;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** Takes over what the server put there. @returns {string[]} ids */
  adopt() {
    const cards = /** @type {NodeListOf<HTMLElement>} */ (this.#list.querySelectorAll(".post"));
    for (const card of cards) adopt(card);
    this.#describe();
    return [...cards].map(idOf);
  }

  /** @param {import("./post.js").Post} post in place of what it was */
  replace(post) {
    const card = cardIn(this.#list, post.id);
    if (!card) return;
    const focused = card.contains(document.activeElement);
    const next = cardOf(post);
    next.setAttribute("tabindex", card.getAttribute("tabindex") ?? "-1");
    card.replaceWith(next);
    if (focused) next.focus({ preventScroll: true });
  }

  /** @param {string} id */
  remove(id) {
    const card = cardIn(this.#list, id);
    // Whoever was in it goes on with its neighbour.
    const neighbour = card?.nextElementSibling ?? card?.previousElementSibling;
    if (card?.contains(document.activeElement) && neighbour instanceof HTMLElement) neighbour.focus({ preventScroll: true });
    card?.remove();
    this.#describe();
  }

  /** When a post was made, as far as it is shown. @param {string} id */
  timeOf(id) {
    return cardIn(this.#list, id)?.querySelector("time")?.dateTime;
  }

  /**
   * Puts newer entries on top and lets the oldest go.
   * @param {Entry[]} entries oldest first
   * @returns {string[]} ids of posts no longer shown
   */
  prepend(entries) {
    const elements = entries.map((entry) => elementOf(entry, true)).reverse();
    this.#list.prepend(...elements);
    this.#describe();
    return this.#trim();
  }

  /**
   * Puts older entries below. A reader who asked for these gets them, limit or not:
   * the next newer post brings the list back to its limit.
   * @param {Entry[]} entries oldest first
   */
  append(entries) {
    this.#list.append(...entries.map((entry) => elementOf(entry, false)).reverse());
    this.#describe();
  }

  get empty() {
    return !this.#list.querySelector(".post");
  }

  /** The id of the oldest post shown. */
  get oldest() {
    const posts = this.#list.querySelectorAll(".post");
    return idOf(posts[posts.length - 1]);
  }

  // A feed without a single article would be no feed.
  #describe() {
    this.#list.setAttribute("role", this.empty ? "group" : "feed");
    this.#list.setAttribute("aria-busy", "false");
  }

  /** @returns {string[]} */
  #trim() {
    const gone = [...this.#list.children].slice(LIMIT);
    for (const element of gone) element.remove();
    return gone.map(idOf).filter((id) => id !== "");
  }
}

/** @param {Element | undefined} element */
function idOf(element) {
  return element instanceof HTMLElement ? (element.dataset.id ?? "") : "";
}

/**
 * @param {Entry} entry
 * @param {boolean} fresh whether it arrived while the reader was here
 */
function elementOf(entry, fresh) {
  const element = entry.post ? cardOf(entry.post) : dividerOf(entry.gap);
  element.classList.toggle("fresh", fresh);
  return element;
}
