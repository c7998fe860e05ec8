// @ts-check
// Owns publishing numbers one after another until the server goes away; knows which were acknowledged.

import { until } from "./until.js";

/** @typedef {import("./server.js").Server} Server */

export class Publisher {
  /** Numbers that the server said it had taken. @type {string[]} */
  acknowledged = [];
  #server;
  #topic;
  #next = 1;
  #going = Promise.resolve();

  /**
   * @param {Server} server
   * @param {string} topic
   */
  constructor(server, topic) {
    this.#server = server;
    this.#topic = topic;
  }

  /** Publishes without a pause until a request fails. */
  begin() {
    this.#going = this.#untilRefused();
  }

  /** Waits for the failure that ends it. */
  async ended() {
    await this.#going;
  }

  /** @param {number} count how many more are to be acknowledged first */
  async untilAcknowledged(count) {
    const goal = this.acknowledged.length + count;
    await until(`${count} more acknowledgements`, () => this.acknowledged.length >= goal);
  }

  /**
   * Publishes so many, each of which has to succeed.
   * @param {number} count
   */
  async publish(count) {
    for (let i = 0; i < count; i += 1) await this.#one();
  }

  async #untilRefused() {
    try {
      for (;;) await this.#one();
    } catch {
      // The number that failed may be in the log or not; it is not published again.
    }
  }

  async #one() {
    const number = String(this.#next++);
    await this.#server.publish(this.#topic, number);
    this.acknowledged.push(number);
  }
}
