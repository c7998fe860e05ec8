// @ts-check
// Owns entries waiting while the reader is further down, and the button counting them.

import { byId } from "./dom.js";
import { LIMIT } from "./feed.js";
import { sayCount } from "./words.js";

/** @typedef {import("./feed.js").Entry} Entry */

export class Held {
  #button = byId("new-posts", HTMLButtonElement);
  /** @type {Entry[]} */
  #entries = [];
  #posts = 0;

  /** @param {() => void} onAsk called when the reader asks to see them */
  constructor(onAsk) {
    this.#button.addEventListener("click", onAsk);
  }

  get empty() {
    return this.#entries.length === 0;
  }

  /**
   * @param {Entry[]} entries oldest first
   * @returns {string[]} ids of posts dropped: a full list of held ones will replace all that is shown
   */
  push(entries) {
    this.#entries.push(...entries);
    this.#posts += entries.filter((entry) => entry.post).length;
    const dropped = this.#entries.splice(0, Math.max(0, this.#entries.length - LIMIT));
    this.#draw();
    return dropped.flatMap((entry) => (entry.post ? [entry.post.id] : []));
  }

  /** @param {import("./post.js").Post} post in place of what it was */
  replace(post) {
    this.#entries = this.#entries.map((entry) => (entry.post?.id === post.id ? { post } : entry));
  }

  /** @param {string} id */
  remove(id) {
    this.#entries = this.#entries.filter((entry) => entry.post?.id !== id);
    this.#posts = this.#entries.filter((entry) => entry.post).length;
    this.#draw();
  }

  /** @param {string} id */
  timeOf(id) {
    return this.#entries.find((entry) => entry.post?.id === id)?.post?.time;
  }

  /** Hands over what was held, oldest first. */
  take() {
    const entries = this.#entries;
    this.#entries = [];
    this.#posts = 0;
    this.#draw();
    return entries;
  }

  // A gap alone is no post: it waits without a button.
  #draw() {
    this.#button.hidden = this.#posts === 0;
    this.#button.textContent = sayCount("new", this.#posts);
  }
}
