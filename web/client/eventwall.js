// @ts-check
// Following an Eventwall hub: EventSource with the hub's own signals, and a ladder for networks that hold a
// stream back: stream, then long-polling from the same cursor, and up again once a stream gets through.

import { EventSource } from "./eventsource.js";

export { EventSource };
export { Decoder } from "./decoder.js";

/**
 * @typedef {import("./eventsource.js").Options & Ladder} Options
 * @typedef {object} Ladder
 * @property {number} [mute] milliseconds after which a stream without a byte is held back; 6,000
 * @property {number} [poll] seconds that a poll waits for events; 20
 * @property {number} [climb] milliseconds until a stream is tried again beside polling, doubled each time in
 *   vain; 30,000
 *
 * @typedef {import("./eventsource.js").Outcome} Outcome
 * @typedef {{ after: string, resumed: string, reason: "expired" | "replaced" | "unknown" }} Gap
 */

// A poll that waits may take so much longer.
const GRACE = 10_000;
const LONGEST_CLIMB = 600_000;

/**
 * `eventwall:gap` has a {@link Gap} as its `detail`: events are lost to this follower. `eventwall:live` says
 * that what follows is new.
 */
export class Eventwall extends EventSource {
  #ladder;
  #polling = false;
  #climbed = false;
  /** Lines in a row on which nothing came any more. */
  #silences = 0;
  #climb;
  #timer = 0;

  /** @param {string | URL} url @param {Options} [options] */
  constructor(url, options = {}) {
    super(url, options);
    const { mute = 6_000, poll = 20, climb = 30_000 } = options;
    this.#ladder = { mute, poll, climb };
    this.#climb = climb;
  }

  /** Whether it polls, since streams do not get through. */
  get polling() {
    return this.#polling;
  }

  close() {
    clearTimeout(this.#timer);
    super.close();
  }

  /** @override @param {string} target */
  _url(target) {
    if (!this.#polling) return target;
    const url = new URL(target);
    url.searchParams.set("wait", String(this.#ladder.poll));
    return url.href;
  }

  /** @override */
  get _patience() {
    return this.#polling ? 1_000 * this.#ladder.poll + GRACE : this.#ladder.mute;
  }

  /** @override @param {Outcome} outcome */
  _goesOn({ clean, heard, silent }) {
    if (this.#polling) return Boolean(clean);
    const climbed = this.#climbed;
    this.#climbed = false;
    if (climbed) return true;
    this.#silences = silent ? this.#silences + 1 : 0;
    if (!silent) this.#climb = this.#ladder.climb;
    // One that has spoken may have died by itself; if the next one does, too, it is held back.
    if (!silent || (heard && this.#silences < 2)) return false;
    this.#polling = true;
    this.#climbLater();
    return true;
  }

  /** @override @param {Event} event */
  dispatchEvent(event) {
    if (event.type === "eventwall:gap" && event instanceof MessageEvent) {
      Object.assign(event, { detail: JSON.parse(event.data) });
    }
    return super.dispatchEvent(event);
  }

  #climbLater() {
    this.#timer = Number(setTimeout(() => void this.#tryToClimb(), this.#climb));
    this.#climb = Math.min(LONGEST_CLIMB, 2 * this.#climb);
  }

  /** A stream beside the poll: if it speaks in time, it will do. Its events are not its own to deliver. */
  async #tryToClimb() {
    const line = new AbortController();
    const timer = setTimeout(() => line.abort(), this.#ladder.mute);
    try {
      const response = await this._request(line.signal);
      const { value } = (await response.body?.getReader().read()) ?? {};
      if (response.status === 200 && value) this.#polling = false;
    } catch {
      // Not yet.
    }
    clearTimeout(timer);
    line.abort();
    if (this.readyState === 2) return;
    if (this.#polling) return this.#climbLater();
    this.#climbed = true;
    this.restart();
  }
}
