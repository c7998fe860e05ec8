// @ts-check
// Following an Eventwall hub from pages: EventSource with the ladder, the hub's own signals, one line for all
// pages that share it, and a choice of what a hidden page does.

import { EventSource } from "./eventsource.js";
import { Ladder } from "./ladder.js";
import { gapIn, PREFIX, sharedBy } from "./line.js";
import { lead, Sharing } from "./sharing.js";

export { EventSource };
export { Decoder } from "./decoder.js";

/**
 * @typedef {import("./ladder.js").Options & Choices} Options
 * @typedef {object} Choices
 * @property {boolean | string} [share] one line for all pages of this origin that want it so; a text names
 *   those who do it together, which must hold the same rights. In Node, and where it cannot be done, it does nothing
 * @property {string | URL} [worker] a script of this page's origin for the SharedWorker that holds the line, which
 *   has to import this module; the hub's own `/eventwall.js`, if it is of this origin
 * @property {number} [hidden] milliseconds after which a hidden page gives its line up until it is seen again;
 *   without it the line is kept
 *
 * @typedef {import("./ladder.js").Outcome} Outcome
 * @typedef {import("./relay.js").Frame} Frame
 * @typedef {import("./relay.js").Status} Status
 * @typedef {{ after: string, resumed: string, through?: string, reason: "expired" | "replaced" | "unknown" }} Gap
 */

/**
 * `eventwall:gap` has a {@link Gap} as its `detail`: events are lost to this follower. `eventwall:live` says
 * that what follows is new.
 */
export class Eventwall extends Ladder {
  /** @type {Sharing | undefined} */
  #sharing;
  /** It will say when the past ends. */
  #awaitsLive = false;
  /** For {@link Sharing}: whether the hub has spoken since the line began. */
  _confirmed = false;
  /** For {@link Sharing}. @type {Options["token"]} */
  _token;
  /** For {@link Sharing}: the line of its own goes on from its cursor. */
  _resume = () => {};

  /** @param {string | URL} url @param {Options} [options] */
  constructor(url, options = {}) {
    super(url, options);
    const { share, worker, hidden, ...plain } = options;
    if (!globalThis.document) return;
    this._token = plain.token;
    const line = share && sharedBy(this.url, share, plain);
    const script = worker ?? this.url.replace(/\/(topics|events)\b.*/, "/eventwall.js");
    if (line) this.#sharing = new Sharing(...line, script, this);
    if (hidden !== undefined) this.#restWhenHidden(hidden);
  }

  /** Whether its events come over a line that pages share. */
  get shared() {
    return Boolean(this.#sharing?._shared);
  }

  close() {
    super.close();
    this.#sharing?.leave();
    this.#sharing = undefined;
  }

  restart() {
    this.#sharing?.leave();
    super.restart();
  }

  /** @override */
  _wake() {
    this.#sharing?.wake();
    super._wake();
  }

  /** @override @param {boolean} rests */
  _rest(rests) {
    super._rest(rests);
    if (rests) this.#sharing?.leave();
  }

  /** @param {number} after milliseconds */
  #restWhenHidden(after) {
    /** @type {any} */
    let timer;
    const look = () => {
      clearTimeout(timer);
      const { hidden } = document;
      timer = setTimeout(() => this._rest(hidden), hidden ? after : 0);
    };
    addEventListener("visibilitychange", look, { signal: this._page.signal });
    look();
  }

  /**
   * For {@link Sharing}: the line of its own ends, and others speak in its place.
   * @param {boolean} live who are past all that was
   */
  _park(live) {
    this._ready ??= new Promise((resume) => {
      this._resume = () => resume((this._ready = undefined));
    });
    this._renew();
    if (live) this._take({ type: "eventwall:live", data: "", lastEventId: this._cursor }, true);
  }

  /** For {@link Sharing}. @param {Status} status */
  _mirror(status) {
    const { readyState, state, nextTry } = this;
    // One that only begins is no trouble.
    if (readyState === 2 || (!status.readyState && !status.reason)) return;
    if (!status.readyState) this.#awaitsLive = true;
    Object.assign(this, status);
    if (state !== this.state || nextTry !== this.nextTry) this._tell("state");
    if (readyState !== this.readyState) this._tell(this.readyState ? "open" : "error");
  }

  /** For {@link Sharing}. @param {Frame} frame @param {boolean} mine */
  _take(frame, mine) {
    if (frame.type === "eventwall:live" && !this.#awaitsLive) return;
    // One without an id is told with the last, as on any line.
    const lastEventId = frame.bare ? this.lastEventId : frame.lastEventId;
    if (!mine) this._cursor = lastEventId;
    else if (this.readyState !== 2) this.#tell({ ...frame, lastEventId }, new URL(this.url).origin);
  }

  /** @override @param {string} target @param {boolean} beside */
  _url(target, beside) {
    if (!beside) this.#awaitsLive = Boolean(this._cursor) || this._asksWhere;
    return super._url(target, beside);
  }

  /** @override @param {Outcome} outcome */
  _goesOn(outcome) {
    this._confirmed = false;
    return super._goesOn(outcome);
  }

  /** @override @param {Frame} frame @param {string} origin */
  _deliver(frame, origin) {
    this._confirmed = true;
    this.#tell(frame, origin);
    this.#sharing?.advance();
  }

  /** @param {Frame} frame @param {string} origin */
  #tell({ bare: _, ...frame }, origin) {
    if (frame.type === "eventwall:live") this.#awaitsLive = false;
    super._deliver(frame.type === "eventwall:gap" ? { ...frame, detail: gapIn(frame) } : frame, origin);
  }
}

// Run as a SharedWorker, it holds the line that the worker is named after.
const { name } = /** @type {any} */ (globalThis);
if ("onconnect" in globalThis && name.startsWith(PREFIX)) void lead(name);
