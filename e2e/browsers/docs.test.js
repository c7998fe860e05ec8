// @ts-check
// Owns the examples of docs/clients.md for pages: they run in each browser exactly as they stand there.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { after, describe, test } from "node:test";

import { examples } from "../support/docs.js";
import { Server } from "../support/server.js";
import { until } from "../support/until.js";
import { BROWSERS, Browsers } from "./support/browser.js";

/** @typedef {import("../support/server.js").Owner} Owner */

const browsers = new Browsers(after);
const LOBBY = "walls/lobby";
const SAID = "hello from the docs";

/** What the examples load by these names. @type {Record<string, string>} */
const SCRIPTS = {
  "event-source-polyfill.js": "event-source-polyfill/src/eventsource.js",
  "eventsource-polyfill.js": "eventsource-polyfill/dist/eventsource.js",
  "htmx.js": "htmx.org/dist/htmx.js",
  "sse.js": "htmx-ext-sse/sse.js",
  "jquery.js": "jquery/dist/jquery.js",
  "fetch-event-source/index": "@microsoft/fetch-event-source/lib/esm/index.js",
  "fetch-event-source/fetch": "@microsoft/fetch-event-source/lib/esm/fetch.js",
  "fetch-event-source/parse": "@microsoft/fetch-event-source/lib/esm/parse.js",
};
/** In place of a bundler. */
const IMPORTS = '<script type="importmap">{"imports":{"@microsoft/fetch-event-source":"/fetch-event-source/index"}}</script>';

/**
 * A site with the examples as its pages, /0, /1 and so on.
 * @param {Owner} owner
 * @param {() => string[]} pages
 */
async function serve(owner, pages) {
  const require = createRequire(import.meta.url);
  const site = createServer(({ url = "" }, answer) => {
    const script = SCRIPTS[url.slice(1)];
    const type = script ? "text/javascript" : "text/html; charset=utf-8";
    answer.setHeader("Content-Type", type);
    answer.end(script ? readFileSync(require.resolve(script)) : `<!doctype html>${IMPORTS}${pages()[Number(url.slice(1))] ?? ""}`);
  });
  await once(site.listen(0, "127.0.0.1"), "listening");
  owner.after(async () => {
    site.closeAllConnections();
    await once(site.close(), "close");
  });
  const address = site.address();
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : address}`;
}

describe("the examples for pages follow", { concurrency: BROWSERS.length }, () => {
  for (const name of BROWSERS) {
    test(`in ${name}`, async (t) => {
      /** @type {{ heading: string, text: string }[]} */
      let blocks = [];
      const site = await serve(t, () => blocks.map(({ text }) => text));
      const server = await Server.start(t, ["--cors-origin", site]);
      blocks = await examples("html", server.origin);
      const id = await server.publish(LOBBY, SAID);
      for (const [index, { heading }] of blocks.entries()) {
        await t.test(heading, async (t) => shows(await browsers.page(t, name), `${site}/${index}`, heading, id));
      }
    });
  }
});

/**
 * The example at `url` shows the event, on its page or on the console.
 * @param {import("puppeteer-core").Page} page
 * @param {string} url
 * @param {string} heading
 * @param {string} id
 */
async function shows(page, url, heading, id) {
  /** @type {string[]} */
  const printed = [];
  page.on("console", (message) => printed.push(message.text()));
  if (heading === "eventsource-polyfill") await page.evaluateOnNewDocument("delete window.EventSource");
  await page.goto(url);
  await until(`${heading} to show the event`, async () => {
    return printed.includes(`${id} ${SAID}`) || (await page.evaluate("document.body.innerText")) === SAID;
  });
}
