// @ts-check
// Owns that the browser client keeps every rule in both browsers, and what the browsers' own EventSource does
// by the same rules: where it does otherwise, that is known and stands with the rule.

import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { judge } from "../support/ruled.js";
import { RULES } from "../support/rules.js";
import { telling } from "../support/telling.js";
import { BROWSERS, Browsers } from "./support/browser.js";
import { Pages } from "./support/page-client.js";

/**
 * @typedef {import("../support/rules.js").Rule} Rule
 * @typedef {import("../support/rules.js").Told} Told
 * @typedef {import("./support/browser.js").Name} Name
 */

const browsers = new Browsers(after);

describe("the rules of event streams", { concurrency: BROWSERS.length }, () => {
  for (const name of BROWSERS) describe(`in ${name}`, { concurrency: 3 }, () => rules(new Pages(browsers, name)));
});

/** @param {Pages} pages */
function rules(pages) {
  for (const rule of RULES) {
    test(`ours, ${rule.rule}: ${rule.title}`, (t) => put(t, rule, pages, "/eventsource.js"));
    // What has options is ours alone.
    if (!rule.options) test(`its own, ${rule.rule}: ${rule.title}`, (t) => putToNative(t, rule, pages));
  }
}

/**
 * @param {import("node:test").TestContext} t
 * @param {Rule} rule
 * @param {Pages} pages
 */
async function putToNative(t, rule, pages) {
  const judged = put(t, rule, pages, "");
  if (!rule.differs?.includes(pages.name)) return judged;
  const otherwise = (/** @type {Error} */ error) => error.name === "AssertionError" || error.message.startsWith("Waited");
  await assert.rejects(judged, otherwise, `${pages.name} keeps this rule by now: say so in docs/clients.md`);
}

/**
 * @param {import("node:test").TestContext} t
 * @param {Rule} rule
 * @param {Pages} pages
 * @param {string} module of the client; none: the browser's own
 */
function put(t, rule, pages, module) {
  return judge(t, rule, async (server) => {
    const page = await pages.take();
    await page.goto(server.origin);
    await page.evaluate(`window.telling = ${telling}`);
    await page.evaluate(begin, module, `${server.origin}/stream`, rule.options);
    return {
      look: () => /** @type {Promise<Told>} */ (page.evaluate("told.look()")),
      close: async () => {
        await page.evaluate("told.close()");
        pages.giveBack(page);
      },
    };
  });
}

/**
 * Runs in the page.
 * @param {string} module
 * @param {string} url
 * @param {object | undefined} options
 */
async function begin(module, url, options) {
  const { EventSource: Ours } = module ? await import(module) : { EventSource };
  const { telling } = /** @type {{ telling: typeof import("../support/telling.js").telling }} */ (/** @type {unknown} */ (window));
  Object.assign(window, { told: telling(Ours, url, options) });
}
