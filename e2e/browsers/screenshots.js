// @ts-check
// Owns the pictures in docs/images: a wall with sample posts, taken the same way every time.

import { mkdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { Browsers } from "./support/browser.js";
import { Server } from "../support/server.js";
import { until } from "../support/until.js";
import { WallPage } from "./support/wall.js";

/** @typedef {import("./support/browser.js").Scheme} Scheme */

const IMAGES = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const SAMPLES = new URL("../../crates/wall/samples/lobby.sse", import.meta.url);
const LAPTOP = { width: 1280, height: 860, deviceScaleFactor: 1 };
const PHONE = { width: 390, height: 844, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** @type {{ file: string, scheme: Scheme, viewport: import("puppeteer-core").Viewport }[]} */
const PICTURES = [
  { file: "wall-light.png", scheme: "light", viewport: LAPTOP },
  { file: "wall-dark.png", scheme: "dark", viewport: LAPTOP },
  { file: "wall-phone.png", scheme: "light", viewport: PHONE },
];

/** The blocks of the samples file. */
async function samples() {
  const blocks = (await readFile(SAMPLES, "utf8")).split(/\n{2,}/);
  return blocks.flatMap((block) => {
    const field = (/** @type {string} */ name) => new RegExp(`^${name}: ?(.*)$`, "m").exec(block)?.[1];
    const data = field("data");
    return data === undefined ? [] : [{ data, event: field("event") }];
  });
}

/**
 * A few posts by visitors: some by the one who looks, some by others.
 * @param {WallPage} wall
 * @param {Server} server
 */
async function fill(wall, server) {
  await wall.post({ name: "Window seat", msg: "Two browsers, one wall, and they agree. Try pulling the plug.", location: "Hall A" });
  await server.post("lobby", { kind: "checkin", name: "Help point", place: "Foyer, left of the stairs" });
  await server.post("lobby", { kind: "status", name: "Early bird", msg: "Plug pulled. Still here. ☕", location: "Roof terrace" });
  await wall.post({ kind: "forward", through: "the help point", msg: "A left-behind umbrella would like to meet its owner.", location: "" });
}

/** @param {import("../support/server.js").Owner} owner */
async function takeAll(owner) {
  const browsers = new Browsers((clean) => owner.after(clean));
  const server = await Server.start(owner);
  const posts = await samples();
  for (const { data, event } of posts) await server.publish("walls/lobby", data, event);
  const page = await browsers.page(owner, "chromium");
  const wall = await WallPage.open(page, server);
  await fill(wall, server);
  await mkdir(IMAGES, { recursive: true });
  for (const { file, scheme, viewport } of PICTURES) {
    await page.emulateMediaFeatures([
      { name: "prefers-color-scheme", value: scheme },
      { name: "prefers-reduced-motion", value: "reduce" },
    ]);
    await page.setViewport(viewport);
    await page.reload();
    await wall.untilState("live");
    await until("all posts", async () => (await wall.posts()).length === posts.length + 4);
    await page.evaluate(() => document.fonts.ready.then(() => undefined));
    await page.screenshot({ path: `${IMAGES}${file}` });
  }
}

/** @type {(() => Promise<void>)[]} */
const cleaning = [];
try {
  await takeAll({ after: (clean) => cleaning.unshift(clean) });
} finally {
  for (const clean of cleaning) await clean();
}
