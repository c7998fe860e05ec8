// @ts-check
// Owns a browser's stock EventSource on a blank page: it records what arrives and how often the
// line broke; reconnecting is left to the browser alone.

import { until } from "../../support/until.js";

/**
 * @typedef {import("puppeteer-core").Page} Page
 * @typedef {import("../../support/server.js").Server} Server
 * @typedef {{ id: string, data: string }} Arrival
 * @typedef {{ source: EventSource, arrivals: Arrival[], controls: string[], breaks: number }} Record
 */

export class Follower {
  #page;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
  }

  /**
   * Begins to follow, and waits for the first word: from then on nothing may be missed.
   * @param {Page} page
   * @param {Server} server
   * @param {string} target such as `/topics/numbers`
   */
  static async follow(page, server, target) {
    await page.goto(`${server.origin}/healthz`);
    await page.evaluate((url) => {
      const source = new EventSource(url);
      /** @type {Record} */
      const record = { source, arrivals: [], controls: [], breaks: 0 };
      source.onmessage = ({ data, lastEventId }) => record.arrivals.push({ id: lastEventId, data });
      source.onerror = () => (record.breaks += 1);
      for (const name of ["eventwall:tick", "eventwall:live", "eventwall:gap"]) {
        source.addEventListener(name, () => record.controls.push(name));
      }
      Object.assign(window, { record });
    }, target);
    const follower = new Follower(page);
    await until("the stream's first tick", async () => (await follower.controls()).includes("eventwall:tick"));
    return follower;
  }

  /** Events, in the order of their arrival. */
  arrivals() {
    return this.#page.evaluate(() => /** @type {{ record: Record }} */ (/** @type {unknown} */ (window)).record.arrivals);
  }

  async data() {
    return (await this.arrivals()).map(({ data }) => data);
  }

  /** Names of the hub's own events that came. */
  controls() {
    return this.#page.evaluate(() => /** @type {{ record: Record }} */ (/** @type {unknown} */ (window)).record.controls);
  }

  /** How often the line broke or could not be had. */
  breaks() {
    return this.#page.evaluate(() => /** @type {{ record: Record }} */ (/** @type {unknown} */ (window)).record.breaks);
  }

  /** Whether the line is up. */
  connected() {
    return this.#page.evaluate(
      () => /** @type {{ record: Record }} */ (/** @type {unknown} */ (window)).record.source.readyState === EventSource.OPEN,
    );
  }
}
