// @ts-check
// Owns the promise that nothing is lost or doubled when the server goes away and comes back,
// as kept by each browser's stock EventSource and by the wall's page.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { BROWSERS, Browsers } from "./support/browser.js";
import { Follower } from "./support/follower.js";
import { Publisher } from "../support/publisher.js";
import { Server } from "../support/server.js";
import { until, untilEqual } from "../support/until.js";
import { WallPage } from "./support/wall.js";

/** @typedef {import("../support/server.js").Owner} Owner */

const browsers = new Browsers(after);
const TOPIC = "numbers";
const LAST = "the last event";

/**
 * A follower in each browser, at once: they wait for the same server.
 * @param {Owner} owner
 * @param {Server} server
 * @param {string} [query]
 */
async function followers(owner, server, query = "") {
  return Promise.all(
    BROWSERS.map(async (name) => Follower.follow(await browsers.page(owner, name), server, `/topics/${TOPIC}${query}`)),
  );
}

/** @param {Follower[]} all */
async function allConnected(all) {
  const connected = async () => (await Promise.all(all.map((follower) => follower.connected()))).every(Boolean);
  await until("every browser to be connected", connected);
}

/**
 * Publishes one more event as a mark: when it has arrived, all before it must have, once and in order.
 * @param {Follower[]} all
 * @param {Server} server
 * @param {string[]} acknowledged
 * @param {number} [before] how many events were in the log when following began
 */
async function assertAllArrived(all, server, acknowledged, before = 0) {
  await server.publish(TOPIC, LAST);
  const logged = (await server.logged(TOPIC)).slice(before).map(({ id, data }) => ({ id, data }));
  const kept = new Set(logged.map(({ data }) => data));
  assert.deepEqual(acknowledged.filter((number) => !kept.has(number)), [], "acknowledged, but not in the log");
  assert.equal(kept.size, logged.length, "the log has a number twice");
  for (const [i, follower] of all.entries()) {
    await until(`the last event in ${BROWSERS[i]}`, async () => (await follower.data()).includes(LAST));
    assert.deepEqual(await follower.arrivals(), logged, `what arrived in ${BROWSERS[i]} is what is in the log`);
    assert.ok(!(await follower.controls()).includes("eventwall:gap"), `no gap in ${BROWSERS[i]}`);
  }
}

test("a server killed while events are published loses none of those it acknowledged", async (t) => {
  const server = await Server.start(t);
  const all = await followers(t, server);
  const publisher = new Publisher(server, TOPIC);
  for (const round of [1, 2, 3]) {
    await allConnected(all);
    publisher.begin();
    await publisher.untilAcknowledged(40);
    await server.kill("SIGKILL");
    await publisher.ended();
    await server.restart();
    // The browsers are still waiting to come back: these can only come from the log.
    await publisher.publish(20);
    for (const follower of all) assert.ok((await follower.breaks()) >= round, "the line broke in every round");
  }
  await assertAllArrived(all, server, publisher.acknowledged);
  assert.ok(publisher.acknowledged.length >= 180);
});

test("a server that is gone for longer than browsers wait is found again", async (t) => {
  const server = await Server.start(t);
  const all = await followers(t, server);
  const publisher = new Publisher(server, TOPIC);
  await publisher.publish(10);
  await server.kill("SIGKILL");
  // The line breaks once; from the second time on, a connection was refused.
  const refused = async () => (await Promise.all(all.map((follower) => follower.breaks()))).every((breaks) => breaks >= 3);
  await until("every browser to be refused twice", refused, 40_000);
  await server.restart();
  await publisher.publish(10);
  await assertAllArrived(all, server, publisher.acknowledged);
});

for (const before of [0, 5]) {
  test(`a browser that had only heard the first tick misses nothing, after ${before} events`, async (t) => {
    const server = await Server.start(t);
    for (let i = 0; i < before; i += 1) await server.publish(TOPIC, `before ${i}`);
    const all = await followers(t, server);
    for (const follower of all) assert.deepEqual(await follower.arrivals(), []);
    await server.kill("SIGKILL");
    await server.restart();
    const publisher = new Publisher(server, TOPIC);
    await publisher.publish(5);
    for (const follower of all) assert.deepEqual(await follower.arrivals(), [], "it has not come back yet");
    await assertAllArrived(all, server, publisher.acknowledged, before);
  });
}

test("a server that is asked to stop ends its streams, and a new one goes on", async (t) => {
  const server = await Server.start(t);
  const all = await followers(t, server, "?last=3");
  const publisher = new Publisher(server, TOPIC);
  for (const signal of /** @type {const} */ (["SIGTERM", "SIGINT"])) {
    await allConnected(all);
    publisher.begin();
    await publisher.untilAcknowledged(20);
    assert.equal(await server.kill(signal), 0, `exit code after ${signal}`);
    await publisher.ended();
    await server.restart();
    await publisher.publish(10);
  }
  await assertAllArrived(all, server, publisher.acknowledged);
});

test("the wall's page shows each post once and in order, whatever happens to the server", async (t) => {
  const server = await Server.start(t);
  const walls = await Promise.all(BROWSERS.map(async (name) => WallPage.open(await browsers.page(t, name), server)));
  /** @type {string[]} */
  const posted = [];
  /** @param {number} count */
  const post = async (count) => {
    for (let i = 0; i < count; i += 1) {
      posted.push(`post ${posted.length}`);
      const msg = `post ${posted.length - 1}`;
      if (i % 2 === 0) await server.post("lobby", { kind: "status", msg });
      else await server.publish("walls/lobby", msg);
    }
  };
  await post(4);
  for (const signal of /** @type {const} */ (["SIGKILL", "SIGKILL", "SIGTERM"])) {
    await server.kill(signal);
    await Promise.all(walls.map((wall) => wall.untilState("reconnecting")));
    await server.restart();
    await post(6);
    await Promise.all(walls.map((wall) => wall.untilState("live")));
    await post(2);
    await Promise.all(walls.map((wall) => wall.untilTexts(posted)));
  }
  const ids = (await server.logged("walls/lobby")).map(({ id }) => id);
  for (const wall of walls) {
    await untilEqual(() => wall.ids(), ids);
    assert.equal(await wall.page.$(".gap"), null, "no gap is claimed");
    await wall.page.reload();
    await wall.untilTexts(posted);
  }
});
