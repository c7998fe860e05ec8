// @ts-check
// Owns which pictures there are of the wall, and taking each the same way every time: the same posts, the same
// words, no clock, no port. Used for the documents, and to notice when something looks otherwise.

import { readFile } from "node:fs/promises";

import { until } from "../../support/until.js";
import { WallPage } from "./wall.js";

/**
 * @typedef {import("puppeteer-core").Page} Page
 * @typedef {import("puppeteer-core").Viewport} Viewport
 * @typedef {import("../../support/server.js").Server} Server
 * @typedef {import("./browser.js").Scheme} Scheme
 * @typedef {{ file: string, view: "wall" | "screen" | "embed" | "poster" | "nothing", scheme: Scheme, viewport: Viewport, compared?: boolean }} Picture
 */

const SAMPLES = new URL("../../../crates/wall/samples/lobby.sse", import.meta.url);
const LAPTOP = { width: 1280, height: 860, deviceScaleFactor: 1 };
const PHONE = { width: 360, height: 780, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const PROJECTOR = { width: 1600, height: 900, deviceScaleFactor: 1 };

/** @type {Picture[]} */
export const PICTURES = [
  { file: "wall-light", view: "wall", scheme: "light", viewport: LAPTOP, compared: true },
  { file: "wall-dark", view: "wall", scheme: "dark", viewport: LAPTOP, compared: true },
  { file: "wall-phone", view: "wall", scheme: "light", viewport: PHONE, compared: true },
  { file: "wall-phone-dark", view: "wall", scheme: "dark", viewport: PHONE },
  { file: "screen-light", view: "screen", scheme: "light", viewport: PROJECTOR },
  { file: "screen-dark", view: "screen", scheme: "dark", viewport: PROJECTOR, compared: true },
  { file: "embed", view: "embed", scheme: "light", viewport: { width: 420, height: 600, deviceScaleFactor: 2 }, compared: true },
  { file: "embed-dark", view: "embed", scheme: "dark", viewport: { width: 420, height: 600, deviceScaleFactor: 2 } },
  { file: "poster", view: "poster", scheme: "light", viewport: { width: 800, height: 1000, deviceScaleFactor: 1 }, compared: true },
  { file: "nothing", view: "nothing", scheme: "light", viewport: { width: 800, height: 480, deviceScaleFactor: 1 } },
  { file: "nothing-phone-dark", view: "nothing", scheme: "dark", viewport: PHONE, compared: true },
];

/** The posts of all pictures: samples, and some by visitors. @param {Page} page @param {Server} server */
export async function fill(page, server) {
  for (const { data, event } of await samples()) await server.publish("walls/lobby", data, event);
  const wall = await WallPage.open(page, server);
  await wall.post({ name: "Window seat", msg: "Two browsers, one wall, and they agree. Try pulling the plug.", location: "Hall A" });
  await server.post("lobby", { kind: "checkin", name: "Help point", place: "Foyer, left of the stairs" });
  await server.post("lobby", { kind: "status", name: "Front row", msg: "All of it is `curl -d hello` away: https://example.org/walls" });
  await server.post("lobby", { kind: "status", name: "Early bird", msg: "Plug pulled. Still here. ☕", location: "Roof terrace" });
  await wall.post({ kind: "forward", through: "the help point", msg: "A left-behind umbrella would like to meet its owner.", location: "" });
}

/** The blocks of the samples file. */
async function samples() {
  const blocks = (await readFile(SAMPLES, "utf8")).split(/\n{2,}/);
  return blocks.flatMap((block) => {
    const field = (/** @type {string} */ name) => new RegExp(`^${name}: ?(.*)$`, "m").exec(block)?.[1];
    const data = field("data");
    return data === undefined ? [] : [{ data, event: field("event") }];
  });
}

/** @param {Page} page @param {Server} server @param {Picture} picture @returns {Promise<Uint8Array>} a PNG */
export async function take(page, server, { view, scheme, viewport }) {
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: scheme },
    { name: "prefers-reduced-motion", value: "reduce" },
  ]);
  await page.setViewport(viewport);
  await page.goto(`${server.origin}/walls/lobby${view === "wall" ? "" : `/${view}`}`);
  if (view === "wall") await new WallPage(page).untilState("live");
  if (view !== "poster" && view !== "nothing") await until("all posts", async () => (await page.$$("#posts > .post")).length >= 20);
  await page.evaluate(settle);
  // Nothing shows itself to a pointer that nobody moved there.
  await page.mouse.move(viewport.width - 1, viewport.height - 1);
  return page.screenshot();
}

/** Runs in the page: what differs from run to run is said as in a brochure. */
async function settle() {
  for (const time of document.querySelectorAll(".post time")) time.textContent = "just now";
  for (const place of document.querySelectorAll(".address")) place.textContent = "wall.example";
  for (const note of document.querySelectorAll(".here")) note.remove();
  const clock = document.querySelector("#clock");
  if (clock) clock.textContent = "20:15";
  const counts = document.querySelector("#counts");
  if (counts) counts.textContent = "29 posts";
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  await document.fonts.ready;
}
