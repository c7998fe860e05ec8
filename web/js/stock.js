// @ts-check
// Owns the stream where the hub's own client cannot be had: the browser's EventSource, noticing that it is
// dead, going on from the cursor. It must never call the line live before a frame of that very line has arrived.

import { Backoff } from "./backoff.js";
import { CHANGES, tellChange } from "./change.js";
import { nap } from "./nap.js";

/**
 * @typedef {import("./connection.js").Hooks} Hooks
 * @typedef {import("./connection.js").State} State
 */

// The hub ticks every 15 s of quiet: two ticks missed, and some grace.
const SILENCE = 35_000;

export class Stock {
  /** @type {EventSource | null} */
  #source = null;
  /** @type {State} */
  #state = "connecting";
  #cursor;
  #hooks;
  #backoff = new Backoff();
  #watchdog = 0;
  #heard = 0;

  /**
   * @param {string} cursor where the history page ended
   * @param {Hooks} hooks
   */
  constructor(cursor, hooks) {
    this.#cursor = cursor;
    this.#hooks = hooks;
    this.#open("connecting");
    this.#watchSurroundings();
  }

  /** @param {State} state what to call the line until it has spoken */
  #open(state) {
    this.#close();
    this.#report(state);
    const source = new EventSource(this.#hooks.url(this.#cursor));
    this.#source = source;
    this.#listen(source);
    this.#heardSomething();
  }

  #close() {
    clearTimeout(this.#watchdog);
    this.#source?.close();
    this.#source = null;
  }

  /** @param {EventSource} source */
  #listen(source) {
    /** @param {string} name @param {(data: string) => void} use */
    const on = (name, use) =>
      source.addEventListener(name, (frame) => {
        if (source !== this.#source) return;
        this.#frame(frame.lastEventId);
        use(frame.data);
      });
    for (const name of this.#hooks.events) on(name, this.#hooks.onEvent);
    for (const name of CHANGES) on(name, (data) => tellChange(name, data, this.#hooks.onChange));
    on("eventwall:gap", this.#hooks.onGap);
    for (const name of ["eventwall:tick", "eventwall:live"]) on(name, () => {});
    source.addEventListener("error", () => source === this.#source && this.#failed(source));
  }

  /** @param {string} id */
  #frame(id) {
    this.#cursor = id || this.#cursor;
    this.#backoff.reset();
    this.#heardSomething();
    if (this.#state !== "live") this.#report("live");
  }

  #heardSomething() {
    this.#heard = Date.now();
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#silent(), SILENCE);
  }

  /** @param {EventSource} source */
  #failed(source) {
    // While CONNECTING the browser is already trying again, with its Last-Event-ID.
    if (source.readyState === EventSource.CONNECTING) this.#report("reconnecting");
    else void this.#retry();
  }

  async #retry() {
    this.#close();
    const wait = this.#backoff.next();
    this.#report("reconnecting", Date.now() + wait);
    await nap(wait);
    this.#open("reconnecting");
  }

  // Silence on a line already known to be down is no news.
  #silent() {
    this.#open(this.#state === "reconnecting" ? "reconnecting" : "stale");
  }

  #watchSurroundings() {
    // Without a source a nap is under way, and it wakes by itself.
    addEventListener("offline", () => this.#source && void this.#retry());
    addEventListener("online", () => this.#source && this.#state !== "live" && this.#open(this.#state));
    addEventListener("pageshow", (event) => event.persisted && this.#source && this.#silent());
    document.addEventListener("visibilitychange", () => this.#lookAgain());
  }

  // Timers sleep with the machine: a reader coming back must not wait for them.
  #lookAgain() {
    const silent = Date.now() - this.#heard > SILENCE;
    const shaky = silent || this.#state !== "live";
    if (document.visibilityState === "visible" && this.#source && shaky) this.#silent();
  }

  /** @param {State} state @param {number} [nextTry] */
  #report(state, nextTry) {
    this.#state = state;
    this.#hooks.onState(state, nextTry);
  }
}
