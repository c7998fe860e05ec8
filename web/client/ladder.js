// @ts-check
// EventSource with a ladder for networks that hold a stream back: stream, then long-polling from the same
// cursor, and up again once a stream gets through. It knows of one line only.

import { EventSource } from "./eventsource.js";

/**
 * @typedef {import("./eventsource.js").Options & Rungs} Options
 * @typedef {object} Rungs
 * @property {number} [mute] milliseconds after which a stream without a byte is held back; 6,000
 * @property {number} [poll] seconds that a poll waits for events; 20
 * @property {number} [climb] milliseconds until a stream is tried again beside polling, doubled each time in
 *   vain; 30,000
 *
 * @typedef {import("./eventsource.js").Outcome} Outcome
 */

// A poll that waits may take so much longer.
const GRACE = 10_000;
const LONGEST_CLIMB = 600_000;
/** Parameters that ask where to begin. */
export const STARTS = ["last", "after", "since", "lastEventId"];
/** What is still open after so many milliseconds is a stream. */
const OPEN_FOR = 300;

export class Ladder extends EventSource {
  #mute;
  #poll;
  #firstClimb;
  /** Whether it polls, since streams do not get through. */
  polling = false;
  /** Lines in a row that fell silent right after their beginning. */
  #silences = 0;
  #climb;
  /** @type {any} */
  #timer;
  /** @type {AbortController | undefined} */
  #probe;
  #began = Date.now();
  /** Where the line began. */
  #from = "";

  /** @param {string | URL} url @param {Options} [options] */
  constructor(url, options = {}) {
    super(url, options);
    const { mute = 6_000, poll = 20, climb = 30_000 } = options;
    this.#mute = mute;
    this.#poll = poll;
    this.#climb = this.#firstClimb = climb;
  }

  close() {
    clearTimeout(this.#timer);
    this.#probe?.abort();
    super.close();
  }

  /** @override @param {string} target @param {boolean} beside */
  _url(target, beside) {
    if (!beside) this.#from = this.lastEventId;
    const [url, own] = [new URL(target), new URL(this.url).searchParams];
    const query = url.searchParams;
    // A redirect may have kept what was added here.
    if (query.has("wait") && !own.has("wait")) query.delete("wait");
    if (beside || !this.polling) return url.href;
    this.#climbLater();
    query.set("wait", String(this.#poll));
    // A stream that was held back began at its own now: so does what comes instead.
    if (!this.#from && !this._asksWhere) {
      query.set("since", `${Math.ceil((Date.now() - this.#began) / 1_000) + 1}s`);
    }
    return url.href;
  }

  /** @protected whether it asks where to begin, and so begins there again */
  get _asksWhere() {
    return STARTS.some((name) => new URL(this.url).searchParams.has(name));
  }

  /** @override */
  get _patience() {
    return this.polling ? 1_000 * this.#poll + GRACE : this.#mute;
  }

  /** @override @param {Outcome} outcome */
  _goesOn({ quiet, clean, heard, silent, lived = 0 }) {
    if (quiet) return true;
    if (this.polling) {
      // Who is told to come back later has waited for nothing, and got nothing.
      return Boolean(clean && heard) && (this.lastEventId !== this.#from || lived > 1_000);
    }
    // A line that was alive for a while may die by itself.
    if (!silent || lived >= this.#mute) {
      this.#silences = 0;
      this.#climb = this.#firstClimb;
      return false;
    }
    if ((this.#silences += 1) < 2 && heard) return false;
    this.#silences = 0;
    return (this.polling = true);
  }

  #climbLater() {
    this.#timer ||= setTimeout(() => this.#tryToClimb(), this.#climb);
  }

  /** A stream beside the poll: if it speaks in time, and goes on, it will do. Its events are not delivered. */
  async #tryToClimb() {
    this.#climb = Math.min(LONGEST_CLIMB, 2 * this.#climb);
    // Who leaves it to others has nothing to climb from.
    if (this._ready) return void (this.#timer = 0);
    const line = (this.#probe = new AbortController());
    const { signal } = line;
    const late = setTimeout(() => line.abort(), this.#mute);
    /** @type {Promise<never>} */
    const over = new Promise((_, reject) => signal.addEventListener("abort", reject));
    const through = await Promise.race([this.#getsThrough(signal, late), over]).catch(() => false);
    clearTimeout(late);
    line.abort();
    // Until here there is no other.
    this.#timer = 0;
    if (this.readyState === 2 || this._ready) return;
    if (!through) return this.#climbLater();
    this.polling = false;
    this._renew();
  }

  /** @param {AbortSignal} signal @param {any} late a timer, stopped once it has spoken */
  async #getsThrough(signal, late) {
    const { status, body } = await this._request(signal, true);
    const reader = body?.getReader();
    const first = await reader?.read();
    if (status !== 200 || !first?.value) return false;
    clearTimeout(late);
    // An answer that ends at once gets through everything.
    const open = new Promise((resolve) => setTimeout(resolve, OPEN_FOR, true));
    return Promise.race([open, reader?.read().then(({ done }) => !done)]);
  }
}
