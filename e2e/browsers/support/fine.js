// @ts-check
// Owns what makes a page fit for everybody: axe finds nothing wrong, and nothing sticks out, on a
// phone and on a desk.

import assert from "node:assert/strict";

import axe from "axe-core";

import { until, untilEqual } from "../../support/until.js";

/** @typedef {import("puppeteer-core").Page} Page */

const SIZES = [
  { width: 320, height: 640 },
  { width: 1280, height: 860 },
];

/**
 * @param {Page} page
 * @param {string} when
 */
export async function assertFine(page, when) {
  for (const size of SIZES) {
    await page.setViewport(size);
    await untilEqual(() => page.evaluate(() => innerWidth), size.width);
    // Nothing fades in while colours are measured.
    await until("animations to end", () => page.evaluate(() => document.getAnimations().length === 0));
    assert.deepEqual(await violations(page), [], `${when}, ${size.width} pixels wide`);
    assert.equal(await overflow(page), 0, `${when}: nothing sticks out at ${size.width} pixels`);
  }
}

/**
 * What axe finds wrong, in words.
 * @param {Page} page
 * @returns {Promise<string[]>}
 */
export async function violations(page) {
  const known = await page.evaluate(() => "axe" in window);
  if (!known) await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const { axe } = /** @type {{ axe: typeof import("axe-core") }} */ (/** @type {unknown} */ (window));
    const found = await axe.run(document, { resultTypes: ["violations"] });
    if (found.passes.length === 0) return ["axe looked at nothing"];
    return found.violations.flatMap(({ id, help, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${help}\n${html}\n${failureSummary}`),
    );
  });
}

/**
 * How many pixels the page is wider than its window.
 * @param {Page} page
 */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
