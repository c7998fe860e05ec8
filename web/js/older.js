// @ts-check
// Owns the button for older posts; never loads two pages at once.

import { byId, say, setBusy } from "./dom.js";
import { say as words } from "./words.js";

/** @typedef {import("./wire.js").HistoryPage} HistoryPage */

/** How far ahead of the reader the next page is fetched. */
const AHEAD = "600px";
/** Milliseconds until who is still near is served again. */
const AFTER_FAILURE = 5_000;

export class Older {
  #button = byId("older", HTMLButtonElement);
  #note = byId("older-note", HTMLElement);
  #load;
  #loading = false;
  #near;

  /** @param {() => Promise<HistoryPage>} load fetches and shows the next page */
  constructor(load) {
    this.#load = load;
    this.#button.addEventListener("click", () => void this.#next());
    // Who scrolls there need not press it.
    this.#near = new IntersectionObserver(([seen]) => seen?.isIntersecting && void this.#next(), { rootMargin: AHEAD });
    this.#near.observe(this.#button);
  }

  /** @param {boolean} more whether there is anything older to load */
  offer(more) {
    this.#button.hidden = !more;
    say(this.#note, more ? "" : words("older.all"));
  }

  async #next() {
    if (this.#loading || this.#button.hidden) return;
    this.#busy(true);
    try {
      const { events, more } = await this.#load();
      this.offer(more);
      this.#look();
      if (more) say(this.#note, words("older.loaded", { count: events.length }));
    } catch {
      say(this.#note, words("older.failed"));
      setTimeout(() => this.#look(), AFTER_FAILURE);
    } finally {
      this.#busy(false);
    }
  }

  /** It tells of what changes only: whoever is still near goes on. */
  #look() {
    this.#near.unobserve(this.#button);
    this.#near.observe(this.#button);
  }

  /** @param {boolean} loading */
  #busy(loading) {
    this.#loading = loading;
    setBusy(this.#button, loading);
    this.#button.textContent = words(loading ? "older.loading" : "older");
  }
}
