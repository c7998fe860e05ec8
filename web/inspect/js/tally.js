// @ts-check
// Owns the counts over everything that came: in all, and of each topic. Never touches the page, and
// remembers a bounded number of topics.

import { Meter } from "./meter.js";

/**
 * @typedef {import("./frame.js").Frame} Frame
 * @typedef {{ topic: string, count: number, perSecond: number, id: string, time: string }} TopicRow
 * @typedef {{ count: number, meter: Meter, id: string, time: string }} Seen
 */

/** Topics that are counted; of more, those that were silent for the longest are forgotten. */
export const TRACKED = 1000;
/** Seconds that a rate is the mean of. */
const RATE = 5;
/** Seconds that the line of the last minute shows. */
const MINUTE = 60;

export class Tally {
  events = 0;
  forgotten = 0;
  #rate = new Meter(MINUTE + 1);
  #bytes = new Meter(RATE + 1);
  /** Least recently heard of first. @type {Map<string, Seen>} */
  #topics = new Map();

  /** @param {number} count @param {number} now */
  bytes(count, now) {
    this.#bytes.add(count, now);
  }

  /** @param {Frame} frame of an event @param {number} now */
  event({ topic = "", id, time }, now) {
    this.events += 1;
    this.#rate.add(1, now);
    const seen = this.#topics.get(topic) ?? { count: 0, meter: new Meter(RATE + 1), id: "", time: "" };
    seen.count += 1;
    seen.meter.add(1, now);
    seen.id = id || seen.id;
    seen.time = time ?? new Date(now).toISOString();
    this.#topics.delete(topic);
    this.#topics.set(topic, seen);
    if (this.#topics.size > TRACKED) this.#forget();
  }

  #forget() {
    for (const topic of this.#topics.keys()) {
      this.#topics.delete(topic);
      this.forgotten += 1;
      return;
    }
  }

  /** How many topics were seen and are remembered. */
  get topicCount() {
    return this.#topics.size;
  }

  /** @param {number} now */
  rates(now) {
    const lastMinute = this.#rate.counts(now).slice(0, MINUTE);
    return { events: this.#rate.perSecond(RATE, now), bytes: this.#bytes.perSecond(RATE, now), lastMinute };
  }

  /**
   * The topics heard of last, by name, so that rows stay where they are.
   * @param {number} most
   * @param {number} now
   * @returns {TopicRow[]}
   */
  topics(most, now) {
    const rows = [...this.#topics].slice(-most).map(([topic, { count, meter, id, time }]) => ({
      topic, count, perSecond: meter.perSecond(RATE, now), id, time,
    }));
    return rows.sort((one, other) => (one.topic < other.topic ? -1 : 1));
  }
}
