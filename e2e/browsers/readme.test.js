// @ts-check
// Owns the README's lines of JavaScript: they run in each browser exactly as they stand there.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";

import { BROWSERS, Browsers } from "./support/browser.js";
import { Server } from "../support/server.js";
import { until } from "../support/until.js";

const browsers = new Browsers(after);

/** The README's block of JavaScript, for a server at `origin`. @param {string} origin */
async function readmeScript(origin) {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const block = /```js\n(.*?)```/s.exec(readme)?.[1];
  assert.ok(block, "the README lost its JavaScript");
  assert.equal(block.trim().split("\n").length, 3, "the README promises three lines");
  return block.replaceAll("http://127.0.0.1:8080", origin);
}

for (const name of BROWSERS) {
  test(`the README's three lines post and follow in ${name}`, async (t) => {
    const server = await Server.start(t);
    const page = await browsers.page(t, name);
    /** @type {string[]} */
    const printed = [];
    page.on("console", (message) => message.type() === "log" && printed.push(message.text()));
    await page.goto(`${server.origin}/healthz`);
    const script = await readmeScript(server.origin);
    await page.evaluate((text) => new Function(text)(), script);
    await until("the post to be printed", async () => printed.some((line) => line.endsWith("hello from a page")));
    const [event] = await server.logged("walls/lobby");
    assert.deepEqual(printed, [`${event?.id} hello from a page`]);
  });
}
