// @ts-check
// Owns the stories of what lies between: a line that breaks, and a proxy with an answer of its own.

import assert from "node:assert/strict";

import { Server } from "../server.js";
import { Wire } from "../wire.js";
import { allHear, assertEnds, assertSame, expected, HISTORY, judgeEach, openAll, publishHistory, TOPIC } from "./common.js";

/**
 * @typedef {import("node:test").TestContext} TestContext
 * @typedef {import("../client.js").Client} Client
 */

const LAST = "the last event";
const WHOLE = "in one piece";
const BROKEN = "first half\nsecond half";

/**
 * Each client behind a wire of its own.
 * @param {TestContext} t
 * @param {Client[]} clients
 * @param {(wire: Wire) => void} [prepare]
 */
async function behindWires(t, clients, prepare = () => {}) {
  const server = await Server.start(t);
  await publishHistory(server);
  const wires = await Promise.all(clients.map(() => Wire.start(t, server)));
  wires.forEach(prepare);
  const readers = await openAll(t, clients, (index) => wires[index]?.origin ?? "", { "X-Example": "yes" });
  return { server, wires, readers };
}

/**
 * @param {TestContext} t
 * @param {Client[]} clients
 */
export async function brokenInTheMiddle(t, clients) {
  const { server, wires, readers } = await behindWires(t, clients);
  await allHear(readers, HISTORY);
  for (const wire of wires) wire.stopAfter("data: first half");
  for (const data of [WHOLE, BROKEN, LAST]) await server.publish(TOPIC, data);
  await Promise.all(wires.map((wire) => wire.untilStopped()));
  // Both came in one piece, so who has heard the one has had half of the other.
  await allHear(readers.filter(({ client }) => client.losesBroken), WHOLE);
  for (const wire of wires) wire.break();
  await allHear(readers, LAST);
  const logged = await expected(server);
  await judgeEach(t, readers, async (reader, index) => {
    const { losesBroken } = reader.client;
    await assertSame(reader, losesBroken ? logged.filter(({ data }) => data !== BROKEN) : logged);
    assertEnds(reader, "broken", reader.reopened > 0);
    assertAsks(reader.client, /** @type {Wire} */ (wires[index]));
  });
}

/**
 * How it asks: its second request is the first with an id to tell.
 * @param {Client} client
 * @param {Wire} wire
 */
function assertAsks({ tells, headers, polls, ends }, wire) {
  for (const { headers: sent } of wire.asked) {
    assert.equal(sent["x-example"], headers ? "yes" : undefined, "a header of one's own");
    assert.equal(sent["x-requested-with"], polls ? "XMLHttpRequest" : undefined);
  }
  // Without a second request of its own, there is nothing to be seen.
  if (ends?.broken && !polls) return;
  const second = wire.asked[1];
  assert.ok(second);
  const inQuery = new URL(second.target, wire.origin).searchParams.has("lastEventId");
  const inHeader = second.headers["last-event-id"] !== undefined;
  assert.deepEqual({ inQuery, inHeader }, { inQuery: tells === "query", inHeader: tells === "header" });
}

/**
 * @param {TestContext} t
 * @param {Client[]} clients
 */
export async function unavailable(t, clients) {
  const { readers } = await behindWires(t, clients, (wire) => wire.refuseNext());
  await Promise.all(readers.map((reader) => reader.untilFailed(0)));
  await judgeEach(t, readers, async (reader) => {
    const { over } = await reader.look();
    assertEnds(reader, "unavailable", over);
    if (!over) await reader.untilHeard(HISTORY);
    assert.equal(reader.reopened, 0);
  });
}
