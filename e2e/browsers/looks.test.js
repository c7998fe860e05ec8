// @ts-check
// Owns that the wall looks as its pictures say, but for so many pixels; and that a page weighs no more than it may.
// Where it is to look otherwise: `npm run screenshots`, and look at each of them.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { Server } from "../support/server.js";
import { Browsers } from "./support/browser.js";
import { fill, PICTURES, take } from "./support/pictures.js";
import { WallPage } from "./support/wall.js";

const browsers = new Browsers(after);
const IMAGES = fileURLToPath(new URL("../../docs/images/", import.meta.url));
/** Of all pixels: letters may be drawn a little otherwise by another version of the browser. */
const MOST_PIXELS = 0.01;
/** What a page with 50 posts may weigh, compressed, without pictures. */
const HEAVIEST = 100 * 1024;

test("the wall looks as in its pictures", async (t) => {
  const server = await Server.start(t);
  const page = await browsers.page(t, "chromium", "light", "window");
  await fill(page, server);
  const blank = await browsers.page(t, "chromium", "light", "window");
  for (const picture of PICTURES.filter(({ compared }) => compared)) {
    const taken = Buffer.from(await take(page, server, picture));
    const kept = await readFile(`${IMAGES}${picture.file}.png`);
    const code = await page.evaluate(codeArea);
    const part = await blank.evaluate(differing, kept.toString("base64"), taken.toString("base64"), code);
    t.diagnostic(`${picture.file}: ${(100 * part).toFixed(3)} % of the pixels differ`);
    if (part <= MOST_PIXELS) continue;
    const seen = path.join(tmpdir(), `eventwall-${picture.file}.png`);
    await writeFile(seen, taken);
    assert.fail(`${picture.file}.png looks otherwise in ${(100 * part).toFixed(1)} % of its pixels; see ${seen}`);
  }
});

test("a page of 50 posts is light", async (t) => {
  const server = await Server.start(t);
  for (let i = 0; i < 60; i += 1) await server.publish("walls/lobby", `{"from":"Guest ${i}","msg":"Post ${i} of a wall that is quite full by now."}`);
  const page = await browsers.page(t, "chromium");
  /** @type {Promise<number>[]} */
  const weights = [];
  page.on("response", (response) => {
    const type = response.headers()["content-type"] ?? "";
    if (/html|javascript|css/.test(type)) weights.push(response.buffer().then((body) => gzipSync(body).length));
  });
  await WallPage.open(page, server);
  const weight = (await Promise.all(weights)).reduce((sum, one) => sum + one, 0);
  t.diagnostic(`${weights.length} files, ${(weight / 1024).toFixed(1)} KiB`);
  assert.ok(weights.length > 10 && weight < HEAVIEST, `${weight} bytes`);
});

/** Runs in the page: where the code is, which is of another address each time. @returns {number[]} */
function codeArea() {
  const { left = 0, top = 0, right = 0, bottom = 0 } = document.querySelector("svg.code")?.getBoundingClientRect() ?? {};
  return [left, top, right, bottom].map((edge) => edge * devicePixelRatio);
}

/**
 * Runs in the page: which part of the pixels differs to the eye; all, if the sizes do.
 * @param {string} kept @param {string} taken as base64
 * @param {number[]} area what is not looked at
 */
async function differing(kept, taken, [left = 0, top = 0, right = 0, bottom = 0]) {
  const pixels = async (/** @type {string} */ png) => {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height);
  };
  const [one, two] = [await pixels(kept), await pixels(taken)];
  if (one.width !== two.width || one.height !== two.height) return 1;
  let differ = 0;
  for (let at = 0; at < one.data.length; at += 4) {
    const [x, y] = [(at / 4) % one.width, Math.floor(at / 4 / one.width)];
    if (x >= left && x < right && y >= top && y < bottom) continue;
    const far = [0, 1, 2].some((channel) => Math.abs(Number(one.data[at + channel]) - Number(two.data[at + channel])) > 48);
    if (far) differ += 1;
  }
  return differ / (one.data.length / 4);
}
