// @ts-check
// Owns an evening at the wall: ten visitors in both browsers and two screens, who post, change and take back, while
// the network goes for some and the server is killed twice. At its end every page shows the same wall, and that
// is what the server says the wall is. On one node, and on two over NATS.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Nats } from "../support/nats.js";
import { Server } from "../support/server.js";
import { until, untilEqual } from "../support/until.js";
import { Browsers } from "./support/browser.js";
import { WallPage } from "./support/wall.js";

/** @typedef {{ id: string, text: string }} Line */

const browsers = new Browsers(after);
const WALL = "party";
/** @type {("chromium" | "firefox")[]} */
const VISITORS = ["chromium", "chromium", "chromium", "chromium", "chromium", "chromium", "firefox", "firefox", "firefox", "firefox"];
const ROUNDS = 4;

test("on one node", (t) => evening(t, [], 1));

test("on two nodes over NATS", async (t) => {
  const nats = await Nats.start(t);
  await evening(t, ["--store", `nats://127.0.0.1:${nats.port}/evening`], 2);
});

/**
 * @param {import("node:test").TestContext} t
 * @param {string[]} settings
 * @param {number} count of nodes
 */
async function evening(t, settings, count) {
  /** @type {Server[]} */
  const nodes = [];
  while (nodes.length < count) nodes.push(await Server.start(t, settings));
  const node = (/** @type {number} */ n) => /** @type {Server} */ (nodes[n % count]);
  /** @type {WallPage[]} */
  const visitors = [];
  for (const [n, name] of VISITORS.entries()) {
    visitors.push(await WallPage.open(await browsers.page(t, name, "light", "window"), node(n), WALL));
  }
  const screens = [await browsers.page(t, "chromium", "dark", "window"), await browsers.page(t, "firefox", "light", "window")];
  for (const [n, page] of screens.entries()) await page.goto(`${node(n).origin}/walls/${WALL}/screen`);

  for (let round = 0; round < ROUNDS; round += 1) {
    const cut = round % 2 === 1 ? visitors[round] : undefined;
    await cut?.page.setOfflineMode(true);
    await Promise.all(visitors.map((visitor, n) => visitor.write(`round ${round} of visitor ${n}`)));
    if (round === 1 || round === 2) {
      await node(round).kill();
      await Promise.all(visitors.map((visitor, n) => visitor.write(`round ${round}, in the dark, of visitor ${n}`)));
      await node(round).restart();
    }
    await cut?.page.setOfflineMode(false);
    for (const visitor of visitors) await untilEqual(() => visitor.pending(), [], "everything to be sent", 60_000);
    await visitors[round]?.change(`round ${round} of visitor ${round}`, `thought again in round ${round}`);
    await visitors[round + 4]?.takeBack(`round ${round} of visitor ${round + 4}`);
  }

  const expected = VISITORS.length * (ROUNDS + 2) - ROUNDS;
  const said = await until("the server to have all", async () => {
    const lines = await wallOf(node(0));
    return lines.length === expected ? lines : undefined;
  });
  assert.equal(new Set(said.map(({ text }) => text)).size, expected, "each once");
  for (let round = 0; round < ROUNDS; round += 1) {
    assert.ok(said.some(({ text }) => text === `thought again in round ${round}`));
    assert.ok(!said.some(({ text }) => text === `round ${round} of visitor ${round + 4}`));
  }
  for (const server of nodes) assert.deepEqual(await wallOf(server), said);
  for (const [n, visitor] of visitors.entries()) {
    await untilEqual(async () => (await visitor.posts()).map(({ id, text }) => ({ id, text })), said, `visitor ${n}`);
  }
  const newest = said.slice(-3).reverse();
  for (const page of screens) {
    const top = () =>
      page.$$eval("#posts > article.post", (cards) =>
        cards.slice(0, 3).map((card) => ({ id: card.dataset.id ?? "", text: card.querySelector(".post-text")?.textContent ?? "" })),
      );
    await untilEqual(top, newest, "the screen");
    await untilEqual(() => page.$eval("#counts", (counts) => counts.textContent), `${expected} posts`, "the screen's count", 70_000);
  }
}

/** The projection. @param {Server} server @returns {Promise<Line[]>} */
async function wallOf(server) {
  const { events } = await server.posts(WALL);
  return events.map(({ id, data }) => ({ id, text: JSON.parse(data).msg }));
}
