// @ts-check
// Owns the button for older posts; never loads two pages at once.

import { byId, say, setBusy } from "./dom.js";

/** @typedef {import("./wire.js").HistoryPage} HistoryPage */

export class Older {
  #button = byId("older", HTMLButtonElement);
  #note = byId("older-note", HTMLElement);
  #load;
  #loading = false;

  /** @param {() => Promise<HistoryPage>} load fetches and shows the next page */
  constructor(load) {
    this.#load = load;
    this.#button.addEventListener("click", () => void this.#next());
  }

  /** @param {boolean} more whether there is anything older to load */
  offer(more) {
    this.#button.hidden = !more;
    say(this.#note, more ? "" : "These are all the posts.");
  }

  async #next() {
    if (this.#loading) return;
    this.#busy(true);
    try {
      const { events, more } = await this.#load();
      this.offer(more);
      if (more) say(this.#note, `${events.length} older posts loaded`);
    } catch {
      say(this.#note, "The older posts could not be loaded. Press the button to try again.");
    } finally {
      this.#busy(false);
    }
  }

  /** @param {boolean} loading */
  #busy(loading) {
    this.#loading = loading;
    setBusy(this.#button, loading);
    this.#button.textContent = loading ? "Loading…" : "Older posts";
  }
}
