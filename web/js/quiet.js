// @ts-check
// Owns the one mark that a screen without network shows, and not before it has lasted; never a word of alarm.

import { byId } from "./dom.js";

/** What is over sooner nobody needs to know. */
const PATIENCE = 4_000;

export class Quiet {
  #mark = byId("quiet", HTMLElement);
  #timer = 0;

  /** @param {boolean} live */
  show(live) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (live) this.#mark.hidden = true;
    else this.#timer = setTimeout(() => (this.#mark.hidden = false), PATIENCE);
  }
}
