// @ts-check
// Owns that the browser client gets past networks that hold streams back, in Node, too.

import { describe, test } from "node:test";

import { Eventwall } from "../../web/client/eventwall.js";
import * as buffering from "../support/buffering.js";
import { climb, OPTIONS } from "../support/ladder.js";

/** @param {string} _origin @param {string} url */
async function open(_origin, url) {
  const source = new Eventwall(url, OPTIONS);
  const seen = { data: /** @type {string[]} */ ([]), errors: 0 };
  source.onmessage = ({ data }) => seen.data.push(data);
  source.onerror = () => (seen.errors += 1);
  return { look: () => ({ ...seen, polling: source.polling }), close: () => source.close() };
}

describe("down to polling and up again, in Node", { concurrency: 2 }, () => {
  test("through a proxy that holds every byte until the end", (t) => climb(t, buffering.holding, open));
  test("through nginx that buffers and compresses", (t) => climb(t, buffering.nginx, open));
});
