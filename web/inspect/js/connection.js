// @ts-check
// Owns the line to the hub: keeping it, coming back where it left off, and being cut by hand. It
// must never call the line live before an event of that very line has come. Stock EventSource
// would do most of it, but hides what is to be inspected.

import { Backoff } from "../../js/backoff.js";
import { nap } from "../../js/nap.js";
import { Decoder } from "./sse.js";
import { readStream } from "./stream.js";

/**
 * @typedef {import("./sse.js").Item} Item
 * @typedef {"connecting" | "live" | "reconnecting" | "cut" | "refused"} State
 * @typedef {object} Hooks
 * @property {(state: State, nextTry?: number) => void} onState
 * @property {(item: Item) => void} onItem
 * @property {(bytes: number) => void} onBytes
 * @property {(words: string, wait?: number) => void} onEnd it ended, or could not be had
 */

/** Until the server names a time. */
const RETRY = 1_000;
/** A `retry: 0` must not make a hot loop. */
const SHORTEST = 200;
const LONGEST = 60_000;

export class Connection {
  #url;
  #hooks;
  #decoder = new Decoder();
  #backoff = new Backoff();
  #retry = RETRY;
  /** This attempt brought something. */
  #heard = false;
  #live = false;
  #asked = "";
  #life = new AbortController();

  /** @param {string} url @param {Hooks} hooks */
  constructor(url, hooks) {
    this.#url = url;
    this.#hooks = hooks;
  }

  /** The last id there was: where the line goes on. */
  get cursor() {
    return this.#decoder.lastEventId;
  }

  /** The id from which this line was asked to go on; empty if it began as its URL says. */
  get asked() {
    return this.#asked;
  }

  /** Whether nobody keeps the line: it was cut, or refused. */
  get down() {
    return this.#life.signal.aborted;
  }

  /** Opens the line, after the last id if there was one, and keeps it from then on. */
  open() {
    this.close();
    this.#life = new AbortController();
    void this.#keep(this.#life.signal);
  }

  /** Nothing comes any more, and no hook is called. */
  close() {
    this.#life.abort();
    this.#decoder.reconnected();
  }

  /** @param {AbortSignal} life */
  async #keep(life) {
    this.#hooks.onState("connecting");
    while (!life.aborted) {
      this.#heard = this.#live = false;
      const end = await this.#once(life);
      if (life.aborted) return;
      this.#decoder.reconnected();
      if (end.final) return this.#refused(end.words);
      const wait = Math.max(this.#nextWait(), end.wait);
      this.#hooks.onEnd(end.words, wait);
      this.#hooks.onState("reconnecting", Date.now() + wait);
      await nap(wait, life);
    }
  }

  /** @param {AbortSignal} life @returns {Promise<import("./stream.js").End>} */
  async #once(life) {
    this.#asked = this.cursor;
    const stream = readStream(this.#url, this.#asked, life);
    for (;;) {
      const { value, done } = await stream.next();
      if (done) return value;
      if (!life.aborted) this.#take(value);
    }
  }

  /** @param {Uint8Array} chunk */
  #take(chunk) {
    this.#heard = true;
    this.#hooks.onBytes(chunk.length);
    for (const item of this.#decoder.feed(chunk)) {
      if (item.kind === "retry") this.#retry = Math.min(Math.max(item.ms, SHORTEST), LONGEST);
      if (item.kind === "event") this.#speak();
      this.#hooks.onItem(item);
    }
  }

  #speak() {
    if (!this.#live) this.#hooks.onState("live");
    this.#live = true;
  }

  // The server's time after a line that lived, a little apart from everybody else's; else ever longer.
  #nextWait() {
    if (!this.#heard) return this.#backoff.next();
    this.#backoff.reset();
    return Math.round(this.#retry * (0.9 + 0.2 * Math.random()));
  }

  /** @param {string} words */
  #refused(words) {
    this.#life.abort();
    this.#hooks.onEnd(words);
    this.#hooks.onState("refused");
  }
}
