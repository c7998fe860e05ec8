// @ts-check
// Owns the words for the connection's state; never decides what the state is.

import { byId, say } from "./dom.js";

/** What each state is called, where nobody says otherwise. @type {Record<string, string>} */
const WORDS = {
  connecting: "connecting…",
  live: "live",
  reconnecting: "reconnecting…",
  stale: "silent — checking the line",
  offline: "offline",
};
/** @param {number} seconds */
const NEXT = (seconds) => `next try in ${seconds} s`;

export class Status {
  #box = byId("connection", HTMLElement);
  #word = byId("connection-word", HTMLElement);
  #next = byId("connection-next", HTMLElement);
  #words;
  #state = "connecting";
  #nextTry = 0;
  #ticker = 0;

  #sayNext;

  /**
   * @param {Record<string, string>} [more] words for states, in a page's own language or of its own
   * @param {(seconds: number) => string} [next] says when the next try is
   */
  constructor(more = {}, next = NEXT) {
    this.#words = { ...WORDS, ...more };
    this.#sayNext = next;
    for (const name of ["online", "offline"]) addEventListener(name, () => this.#draw());
    this.#draw();
  }

  /**
   * @param {string} state
   * @param {number} [nextTry] when the next try is due, if that is known
   */
  show(state, nextTry = 0) {
    this.#state = state;
    this.#nextTry = nextTry;
    clearInterval(this.#ticker);
    if (nextTry) this.#ticker = setInterval(() => this.#countDown(), 1000);
    this.#draw();
  }

  #draw() {
    // A line that is not up while the device has no network has one cause worth naming.
    const state = this.#state !== "live" && !navigator.onLine ? "offline" : this.#state;
    this.#box.dataset.state = state;
    say(this.#word, this.#words[state] ?? state);
    this.#countDown();
  }

  // Hidden from screen readers: a count spoken every second would be shouting.
  #countDown() {
    const seconds = Math.ceil((this.#nextTry - Date.now()) / 1000);
    this.#next.hidden = seconds <= 0;
    if (seconds > 0) say(this.#next, this.#sayNext(seconds));
  }
}
