// @ts-check
// Owns following one query, from opening its line to leaving it: what comes goes to the parts that
// count and show it. Never touches the page itself.

import { Account, BY_HAND } from "./account.js";
import { Connection } from "./connection.js";
import { frameOf, lineFrame } from "./frame.js";
import { streamUrl } from "./query.js";
import { Tally } from "./tally.js";
import { span } from "./words.js";

/**
 * @typedef {import("./connection.js").State} State
 * @typedef {object} Parts
 * @property {import("./list.js").FrameList} list
 * @property {import("./breaks.js").Breaks} breaks
 * @property {(state: State, nextTry?: number) => void} onState
 * @property {(words: string) => void} onRefused
 */

export class Session {
  tally = new Tally();
  heardAt = 0;
  #parts;
  #connection;
  /** @type {Account | undefined} */
  #account;

  /**
   * @param {import("./query.js").Query} query
   * @param {Parts} parts
   */
  constructor(query, parts) {
    this.#parts = parts;
    this.#connection = new Connection(streamUrl(query), {
      onState: (state, nextTry) => this.#state(state, nextTry),
      onItem: (item) => this.#item(item),
      onBytes: (bytes) => this.tally.bytes(bytes, Date.now()),
      onEnd: (words, wait) => this.#ended(words, wait),
    });
    this.#connection.open();
  }

  get cursor() {
    return this.#connection.cursor;
  }

  /** Whether the line is down until somebody resumes it. */
  get down() {
    return this.#connection.down;
  }

  leave() {
    this.#connection.close();
  }

  cut() {
    this.#connection.close();
    this.#say(BY_HAND, this.cursor);
    this.#broke(BY_HAND);
    this.#parts.onState("cut");
  }

  resume() {
    this.#connection.open();
  }

  /** @param {State} state @param {number} [nextTry] */
  #state(state, nextTry) {
    const { asked } = this.#connection;
    if (state === "live") this.#say(asked ? "open again, asked to go on after" : "open", asked);
    this.#parts.onState(state, nextTry);
  }

  /** @param {import("./sse.js").Item} item */
  #item(item) {
    const frame = frameOf(item, Date.now());
    this.heardAt = frame.at;
    if (frame.kind === "event" || frame.kind === "ephemeral") this.tally.event(frame, frame.at);
    this.#parts.list.add(frame);
    if (!this.#account || this.#account.over) return;
    const { waiting } = this.#account;
    this.#account.take(frame);
    if (waiting || this.#account.over) this.#parts.breaks.draw();
  }

  /** @param {string} words @param {number} [wait] */
  #ended(words, wait) {
    this.#say(wait === undefined ? words : `${words}; next try in ${span(wait)}`, this.cursor);
    if (wait === undefined) this.#parts.onRefused(words);
    // Before the first line there is nothing that could break.
    else if (this.heardAt > 0) this.#broke(words);
  }

  /** @param {string} why */
  #broke(why) {
    const { breaks } = this.#parts;
    if (this.#account?.waiting) {
      this.#account.failed(why);
      return breaks.draw();
    }
    this.#account?.brokeAgain();
    breaks.draw();
    this.#account = new Account(why, this.cursor, Date.now());
    breaks.add(this.#account);
  }

  /** @param {string} words @param {string} id */
  #say(words, id) {
    this.#parts.list.add(lineFrame(words, Date.now(), id));
  }
}
