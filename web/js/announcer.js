// @ts-check
// Owns what screen readers hear about arriving posts: a count now and then, never each post.

import { byId } from "./dom.js";
import { sayCount } from "./words.js";

const PAUSE = 5_000;

export class Announcer {
  #region = byId("announcer", HTMLElement);
  #count = 0;
  #timer = 0;

  /** @param {number} posts */
  arrived(posts) {
    if (!posts) return;
    this.#count += posts;
    this.#timer ||= setTimeout(() => this.#speak(), PAUSE);
  }

  #speak() {
    this.#region.textContent = sayCount("new", this.#count);
    this.#count = 0;
    this.#timer = 0;
  }
}
