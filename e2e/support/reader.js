// @ts-check
// Owns one client over a whole story. When it has given up, a new one is opened with the last id in
// the URL, as a page would do it; so what is lost or doubled is lost or doubled by the two of them.

import { isControl } from "./client.js";
import { LONGER, until } from "./until.js";

/**
 * @typedef {import("./client.js").Arrival} Arrival
 * @typedef {import("./client.js").Client} Client
 * @typedef {import("./client.js").Following} Following
 * @typedef {import("./server.js").Owner} Owner
 */

/** No client waits for so long between two tries. */
const PATIENCE = 40_000;

export class Reader {
  client;
  /** How often it was opened again. */
  reopened = 0;
  #owner;
  #url;
  #headers;
  #following;
  /** What came before it was opened again. @type {Arrival[]} */
  #before = [];

  /**
   * @param {Owner} owner
   * @param {Client} client
   * @param {string} url
   * @param {Record<string, string> | undefined} headers
   * @param {Following} following
   */
  constructor(owner, client, url, headers, following) {
    this.#owner = owner;
    this.client = client;
    this.#url = url;
    this.#headers = headers;
    this.#following = following;
    owner.after(async () => this.#following.close());
  }

  /**
   * @param {Owner} owner
   * @param {Client} client
   * @param {string} url
   * @param {Record<string, string>} [headers]
   */
  static async open(owner, client, url, headers) {
    return new Reader(owner, client, url, headers, await client.open(owner, url, headers));
  }

  /** What it has come to, over all times that it was opened. */
  async look() {
    const { arrivals, breaks, over } = await this.#following.look();
    return { arrivals: [...this.#before, ...arrivals], breaks, over };
  }

  /** Events that were published, in the order of their arrival. */
  async events() {
    return (await this.look()).arrivals.filter((arrival) => !isControl(arrival));
  }

  /** The hub's own events of one kind. @param {string} name */
  async controls(name) {
    return (await this.look()).arrivals.filter(({ event }) => event === name);
  }

  /**
   * Waits for an event, by its data.
   * @param {string} data
   */
  async untilHeard(data) {
    const shown = this.client.reads ? this.client.reads(data) : data;
    await until(`${this.client.name} to hear ${JSON.stringify(data.slice(0, 40))}`, async () => {
      const { arrivals, over } = await this.look();
      if (arrivals.some((arrival) => arrival.data === shown && !isControl(arrival))) return true;
      if (over) await this.#reopen();
      return false;
    }, PATIENCE, LONGER);
  }

  /** @param {string} name */
  async untilControl(name) {
    await until(`${this.client.name} to see ${name}`, async () => (await this.controls(name)).length > 0, PATIENCE, LONGER);
  }

  /**
   * Waits until it has failed more often than so many times, or for ever.
   * @param {number} times
   */
  async untilFailed(times) {
    await until(`${this.client.name} to fail`, async () => {
      const { breaks, over } = await this.look();
      return over || breaks > times;
    }, PATIENCE, LONGER);
  }

  async #reopen() {
    this.#before = (await this.look()).arrivals;
    this.reopened += 1;
    const url = new URL(this.#url);
    const last = this.#before.at(-1)?.id;
    if (last) url.searchParams.set("lastEventId", last);
    await this.#following.close();
    this.#following = await this.client.open(this.#owner, url.href, this.#headers);
  }
}
