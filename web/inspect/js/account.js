// @ts-check
// Owns the account of one break of the line: where it was left, and what came on resuming until
// the hub said `live`. Never touches the page, and never guesses what it was not told.

/**
 * @typedef {import("./frame.js").Frame} Frame
 * @typedef {import("./frame.js").Gap} Gap
 */

/** Why the line broke, if the reader cut it. */
export const BY_HAND = "cut by hand";

export class Account {
  /** Attempts that failed. */
  failures = 0;
  /** When the first frame came again; 0 until then. */
  backAt = 0;
  /** When the hub said that replay is over; 0 until then. */
  liveAt = 0;
  /** Another break came before that. */
  broken = false;
  replayed = 0;
  first = "";
  last = "";
  /** @type {Gap | undefined} */
  gap;
  /** Events that were not beyond what had come before: there must never be any. */
  again = 0;
  #position;

  /**
   * @param {string} why
   * @param {string} cursor the last id there was
   * @param {number} at
   */
  constructor(why, cursor, at) {
    this.why = why;
    this.cursor = cursor;
    this.at = at;
    this.#position = positionOf(cursor);
  }

  /** Whether nothing has come yet. */
  get waiting() {
    return this.backAt === 0 && !this.broken;
  }

  /** Whether nothing more belongs to it. */
  get over() {
    return this.liveAt > 0 || this.broken;
  }

  /** An attempt to come back failed, or was given up. @param {string} why */
  failed(why) {
    if (why === BY_HAND) this.why += `, then ${why}`;
    else this.failures += 1;
  }

  /** The line broke again. */
  brokeAgain() {
    this.broken = !this.over;
  }

  /** @param {Frame} frame */
  take(frame) {
    if (this.over || frame.kind === "line" || frame.kind === "retry") return;
    this.backAt ||= frame.at;
    if (frame.kind === "live") this.liveAt = frame.at;
    if (frame.kind === "gap") this.#lose(frame);
    if (frame.kind === "event") this.#replay(frame.id);
  }

  /** @param {string} id */
  #replay(id) {
    this.replayed += 1;
    this.first ||= id;
    this.last = id;
    const position = positionOf(id);
    if (position <= this.#position) this.again += 1;
    this.#position = position;
  }

  /** @param {Frame} frame */
  #lose({ gap, id }) {
    this.gap = gap;
    // Another log may count from the beginning again.
    this.#position = positionOf(id);
  }
}

/** An id is an epoch and a position. @param {string} id */
const positionOf = (id) => Number(id.slice(id.lastIndexOf("-") + 1)) || 0;
