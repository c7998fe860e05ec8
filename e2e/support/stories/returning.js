// @ts-check
// Owns the stories in which the server goes away and comes back: nothing may be lost or doubled.

import assert from "node:assert/strict";

import { Publisher } from "../publisher.js";
import { Reader } from "../reader.js";
import { Server } from "../server.js";
import { beginToStop } from "../stopping.js";
import {
  allHear,
  assertEnds,
  assertSame,
  expected,
  followAll,
  HISTORY,
  judgeEach,
  openAll,
  publishHistory,
  TOPIC,
} from "./common.js";

/**
 * @typedef {import("node:test").TestContext} TestContext
 * @typedef {import("../client.js").Client} Client
 */

const LAST = "the last event";

/**
 * @param {TestContext} t
 * @param {Client[]} clients
 */
export async function afterKills(t, clients) {
  const server = await Server.start(t);
  const readers = await followAll(t, clients, server);
  const publisher = new Publisher(server, TOPIC);
  publisher.begin();
  await publisher.untilAcknowledged(40);
  await server.kill("SIGKILL");
  await publisher.ended();
  await server.restart();
  await publisher.publish(10);
  await allHear(readers, publisher.acknowledged.at(-1) ?? "");

  const before = await lookAtAll(readers);
  await server.kill("SIGKILL");
  // The line breaks once; the next time, a connection was refused.
  await Promise.all(readers.map((reader, index) => reader.untilFailed((before[index]?.breaks ?? 0) + 1)));
  const after = await lookAtAll(readers);
  await server.restart();
  await server.publish(TOPIC, LAST);
  await allHear(readers, LAST);
  const logged = await expected(server);
  await judgeEach(t, readers, async (reader, index) => {
    assertEnds(reader, "refused", after[index]?.over ?? false);
    await assertSame(reader, logged);
  });
}

/**
 * @param {TestContext} t
 * @param {Client[]} clients
 */
export async function afterStops(t, clients) {
  const server = await Server.start(t);
  const readers = await followAll(t, clients, server);
  const publisher = new Publisher(server, TOPIC);
  publisher.begin();
  await publisher.untilAcknowledged(20);
  assert.equal(await server.kill("SIGTERM"), 0);
  await publisher.ended();
  await server.restart();
  await server.publish(TOPIC, LAST);
  await allHear(readers, LAST);
  const logged = await expected(server);
  await judgeEach(t, readers, async (reader) => {
    assertEnds(reader, "stopped", reader.reopened > 0);
    await assertSame(reader, logged);
  });
}

/**
 * @param {TestContext} t
 * @param {Client[]} clients
 */
export async function afterOnlyATick(t, clients) {
  const server = await Server.start(t);
  await server.publish(TOPIC, "not asked for");
  const readers = await Promise.all(
    // An answer that ends with its first events has a tick only if there were none.
    clients.map((client) => Reader.open(t, client, `${server.origin}/topics/${TOPIC}${client.polls ? "?wait=1" : ""}`)),
  );
  await Promise.all(readers.map((reader) => reader.untilControl("eventwall:tick")));
  await server.kill("SIGKILL");
  await server.restart();
  for (const data of ["one", "two", LAST]) await server.publish(TOPIC, data);
  await allHear(readers, LAST);
  const logged = await expected(server);
  await judgeEach(t, readers, (reader) => assertSame(reader, logged));
}

/**
 * @param {TestContext} t
 * @param {Client[]} clients
 */
export async function duringADrain(t, clients) {
  const server = await Server.start(t);
  await publishHistory(server);
  const finish = await beginToStop(server);
  const readers = await openAll(t, clients, () => server.origin);
  await Promise.all(readers.map((reader) => reader.untilFailed(0)));
  const after = await lookAtAll(readers);
  await finish();
  await server.restart();
  // Nobody had an id to come back with, so each begins with the history.
  await allHear(readers, HISTORY);
  await server.publish(TOPIC, LAST);
  await allHear(readers, LAST);
  const logged = await expected(server);
  await judgeEach(t, readers, async (reader, index) => {
    assertEnds(reader, "stopped", after[index]?.over ?? false);
    await assertSame(reader, logged);
  });
}

/** @param {Reader[]} readers */
function lookAtAll(readers) {
  return Promise.all(readers.map((reader) => reader.look()));
}

/**
 * @param {TestContext} t
 * @param {Client[]} clients
 */
export async function afterAGap(t, clients) {
  const server = await Server.start(t);
  const readers = await followAll(t, clients, server);
  const [known] = await expected(server);
  await server.kill("SIGKILL");
  await server.forget();
  await server.restart();
  await server.publish(TOPIC, LAST);
  await allHear(readers, LAST);
  const [fresh] = await server.logged(TOPIC);
  await judgeEach(t, readers, async (reader) => {
    const { arrivals } = await reader.look();
    const shown = arrivals.filter(({ event }) => ["message", "eventwall:gap"].includes(event));
    assert.deepEqual(shown.map(({ event }) => event), ["message", "eventwall:gap", "message"]);
    const { after, reason } = JSON.parse(shown[1]?.data ?? "");
    assert.deepEqual({ after, reason }, { after: known?.id, reason: "replaced" });
    assert.equal(shown[2]?.id, fresh?.id);
  });
}
