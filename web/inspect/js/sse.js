// @ts-check
// Owns turning lines into what a stream says, as the HTML standard's "interpreting an event
// stream" asks: events, and also the comments and times that stock EventSource keeps to itself.
// Must never fail, whatever comes, nor hold more than one event.

import { Lines } from "./lines.js";

/**
 * @typedef {{ kind: "event", event: string, data: string, id: string, topic: string | undefined }} EventItem
 *   `id` is the last event id in force
 * @typedef {EventItem | { kind: "retry", ms: number } | { kind: "comment", text: string } | { kind: "oversized" }} Item
 */

/** An event larger than this, in UTF-16 units, is skipped whole. */
const LARGEST = 16 * 1024 * 1024;
// The standard names no limit; times beyond 64 bits are taken for nonsense.
const LONGEST_RETRY = 2 ** 64;

const KEPT = new Set(["data", "event", "id", "topic"]);

/**
 * @typedef {{ data: string[], event: string, topic: string | undefined, id: string, size: number, oversized: boolean }} Block
 * @param {string} id what is in force already
 * @returns {Block}
 */
const fresh = (id) => ({ data: [], event: "", topic: undefined, id, size: 0, oversized: false });

export class Decoder {
  #lines;
  #block;
  #lastEventId;
  #limit;
  /** @type {Item[]} */
  #items = [];

  /**
   * @param {string} [lastEventId] as if a stream had sent it
   * @param {number} [limit]
   */
  constructor(lastEventId = "", limit = LARGEST) {
    this.#limit = limit;
    this.#lastEventId = lastEventId;
    this.#block = fresh(lastEventId);
    this.#lines = this.#newLines();
  }

  /** What to send as `Last-Event-ID`; empty if nothing is to be sent. */
  get lastEventId() {
    return this.#lastEventId;
  }

  /** The connection has ended: what was unfinished is void, and the next bytes begin a stream. */
  reconnected() {
    this.#block = fresh(this.#lastEventId);
    this.#lines = this.#newLines();
  }

  /**
   * @param {Uint8Array} chunk
   * @returns {Item[]} what it completed
   */
  feed(chunk) {
    this.#items = [];
    this.#lines.feed(chunk);
    return this.#items;
  }

  #newLines() {
    return new Lines(this.#limit, (line, cut) => this.#line(line, cut));
  }

  /** @param {string} line @param {boolean} cut */
  #line(line, cut) {
    if (line === "" && !cut) return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return void this.#items.push({ kind: "comment", text: line.slice(1) });
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (KEPT.has(name)) this.#weigh(line.length, cut);
    this.#field(name, value);
  }

  /** @param {number} length @param {boolean} cut */
  #weigh(length, cut) {
    const block = this.#block;
    block.size += length;
    if (!cut && block.size <= this.#limit) return;
    block.oversized = true;
    block.data = [];
  }

  /** @param {string} name @param {string} value */
  #field(name, value) {
    const block = this.#block;
    if (name === "retry") return this.#retry(value);
    if (block.oversized) return;
    if (name === "data") block.data.push(value);
    else if (name === "event") block.event = value;
    else if (name === "topic") block.topic = value;
    else if (name === "id" && !value.includes("\0")) block.id = value;
  }

  /** @param {string} value */
  #retry(value) {
    const ms = Number(value);
    if (/^[0-9]+$/.test(value) && ms <= LONGEST_RETRY) this.#items.push({ kind: "retry", ms });
  }

  // The blank line. An id counts from here on, also in a block that yields no event.
  #dispatch() {
    const { data, event, topic, id, oversized } = this.#block;
    if (!oversized) this.#lastEventId = id;
    this.#block = fresh(this.#lastEventId);
    if (oversized) this.#items.push({ kind: "oversized" });
    if (oversized || data.length === 0) return;
    this.#items.push({ kind: "event", event: event || "message", data: data.join("\n"), id, topic });
  }
}
