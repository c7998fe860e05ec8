// @ts-check
// Owns the posts of an embedded wall, newest first, and those that wait while it is held still. It never talks to the
// network.

import { cardIn, cardOf } from "./card.js";
import { byId } from "./dom.js";

/** @typedef {import("./post.js").Post} Post */

/** Posts that it shows, or keeps waiting, at most. */
const MOST = 60;

export class Strip {
  #list;
  #hold;
  /** Oldest first. @type {Post[]} */
  #waiting = [];

  /** @param {HTMLElement} list @param {import("./hold.js").Hold} hold */
  constructor(list, hold) {
    this.#list = list;
    this.#hold = hold;
    hold.addEventListener("end", () => this.#waiting.splice(0).forEach((post) => this.#put(post)));
  }

  /** @param {Post} post */
  add(post) {
    if (this.timeOf(post.id) !== undefined) return;
    if (this.#hold.on) this.#waiting = [...this.#waiting, post].slice(-MOST);
    else this.#put(post);
  }

  /** @param {Post} post in place of what it was */
  replace(post) {
    this.#waiting = this.#waiting.map((other) => (other.id === post.id ? post : other));
    cardIn(this.#list, post.id)?.replaceWith(cardOf(post));
  }

  /** @param {string} id */
  remove(id) {
    this.#waiting = this.#waiting.filter((post) => post.id !== id);
    cardIn(this.#list, id)?.remove();
  }

  /** When a post was made, if it is here. @param {string} id */
  timeOf(id) {
    return this.#waiting.find((post) => post.id === id)?.time ?? cardIn(this.#list, id)?.querySelector("time")?.dateTime;
  }

  /** @param {Post} post */
  #put(post) {
    this.#list.prepend(cardOf(post));
    for (const old of [...this.#list.children].slice(MOST)) old.remove();
    byId("nothing", HTMLElement).hidden = true;
  }
}
