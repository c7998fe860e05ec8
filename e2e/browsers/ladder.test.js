// @ts-check
// Owns that the browser client gets past networks that hold streams back, in both browsers.

import { after, describe, test } from "node:test";

import * as buffering from "../support/buffering.js";
import { climb, OPTIONS } from "../support/ladder.js";
import { BROWSERS, Browsers } from "./support/browser.js";

/** @typedef {import("../support/ladder.js").Seen} Seen */

const browsers = new Browsers(after);

describe("down to polling and up again", { concurrency: BROWSERS.length }, () => {
  for (const name of BROWSERS) {
    const open = (/** @type {import("node:test").TestContext} */ t) => async (/** @type {string} */ origin, /** @type {string} */ url) => {
      const page = await browsers.page(t, name, "light", "window");
      await page.goto(`${origin}/healthz`);
      await page.evaluate(follow, url, OPTIONS);
      return {
        look: () => /** @type {Promise<Seen>} */ (page.evaluate("({ ...seen, polling: source.polling })")),
        close: () => /** @type {Promise<void>} */ (page.evaluate("source.close()")),
      };
    };
    test(`through a proxy that holds every byte until the end, in ${name}`, (t) => climb(t, buffering.holding, open(t)));
    test(`through nginx that buffers and compresses, in ${name}`, (t) => climb(t, buffering.nginx, open(t)));
  }
});

/**
 * Runs in the page, with the module as the hub serves it.
 * @param {string} url
 * @param {object} options
 */
async function follow(url, options) {
  const { Eventwall } = await import(/** @type {string} */ ("/eventwall.js"));
  const source = new Eventwall(url, options);
  const seen = { data: /** @type {string[]} */ ([]), errors: 0 };
  source.onmessage = (/** @type {MessageEvent} */ { data }) => seen.data.push(data);
  source.onerror = () => (seen.errors += 1);
  Object.assign(window, { source, seen });
}
