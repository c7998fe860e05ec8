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
/** Who asks where to begin, begins there again. */
export const STARTS = ["last", "after", "since", "lastEventId"];
/** What is still open after so many milliseconds is a stream. */
const OPEN_FOR = 300;

export class Ladder extends EventSource {
  #rungs;
  /** Whether it polls, since streams do not get through. */
  polling = false;
  #climbed = false;
  /** Lines in a row that fell silent right after their beginning. */
  #silences = 0;
  #climb;
  /** @type {any} */
  #timer;
  #probe = new AbortController();
  #began = Date.now();
  /** Where the line began. */
  #from = "";

  /** @param {string | URL} url @param {Options} [options] */
  constructor(url, options = {}) {
    super(url, options);
    const { mute = 6_000, poll = 20, climb = 30_000 } = options;
    this.#rungs = { mute, poll, climb };
    this.#climb = climb;
  }

  close() {
    clearTimeout(this.#timer);
    this.#probe.abort();
    super.close();
  }

  /** @override @param {string} target @param {boolean} beside */
  _url(target, beside) {
    if (!beside) {
      this.#from = this.lastEventId;
      this.#climbed = false;
    }
    const [url, own] = [new URL(target), new URL(this.url).searchParams];
    const query = url.searchParams;
    // A redirect may have kept what was added here.
    if (query.has("wait") && !own.has("wait")) query.delete("wait");
    if (beside || !this.polling) return url.href;
    this.#climbLater();
    query.set("wait", String(this.#rungs.poll));
    // A stream that was held back began at its own now: so does what comes instead.
    if (!this.#from && !STARTS.some((name) => own.has(name))) {
      query.set("since", `${Math.ceil((Date.now() - this.#began) / 1_000) + 1}s`);
    }
    return url.href;
  }

  /** @override */
  get _patience() {
    return this.polling ? 1_000 * this.#rungs.poll + GRACE : this.#rungs.mute;
  }

  /** @override @param {Outcome} outcome */
  _goesOn({ clean, heard, silent, lived = 0 }) {
    if (this.#climbed) return true;
    if (this.polling) {
      // Who is told to come back later has waited for nothing, and got nothing.
      return Boolean(clean && heard) && (this.lastEventId !== this.#from || lived > 1_000);
    }
    // A line that was alive for a while may die by itself.
    const held = silent && lived < this.#rungs.mute;
    this.#silences = held ? this.#silences + 1 : 0;
    if (!held) this.#climb = this.#rungs.climb;
    if (!held || (heard && this.#silences < 2)) return false;
    this.polling = true;
    this.#silences = 0;
    return true;
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
    const late = setTimeout(() => line.abort(), this.#rungs.mute);
    const { signal } = line;
    if (await this.#getsThrough(signal, () => clearTimeout(late)).catch(() => false)) {
      this.polling = false;
      this.#climbed = true;
    }
    clearTimeout(late);
    line.abort();
    // Until here there is no other.
    this.#timer = 0;
    if (this.readyState === 2 || this._ready) return;
    if (this.#climbed) this.restart();
    else this.#climbLater();
  }

  /** @param {AbortSignal} signal @param {() => void} inTime called once it has spoken */
  async #getsThrough(signal, inTime) {
    /** @type {Promise<never>} */
    const over = new Promise((_, reject) => signal.addEventListener("abort", reject));
    over.catch(() => {});
    const response = await Promise.race([this._request(signal, true), over]);
    const reader = response.body?.getReader();
    const first = await Promise.race([reader?.read(), over]);
    if (response.status !== 200 || !first?.value) return false;
    inTime();
    // An answer that ends at once gets through everything.
    const open = new Promise((resolve) => setTimeout(resolve, OPEN_FOR, true));
    return Promise.race([open, reader?.read().then(({ done }) => !done), over]);
  }
}
