// @ts-check
// Owns what the stories have in common: opening every client, and judging each by itself.

import assert from "node:assert/strict";

import { Reader } from "../reader.js";

/**
 * @typedef {import("node:test").TestContext} TestContext
 * @typedef {import("../client.js").Client} Client
 * @typedef {import("../client.js").Trouble} Trouble
 * @typedef {import("../server.js").Logged} Logged
 * @typedef {import("../server.js").Server} Server
 */

export const TOPIC = "numbers";
/** The last event before following begins; the one before it is not asked for. */
export const HISTORY = "the last of the history";

/** @param {Server} server */
export async function publishHistory(server) {
  await server.publish(TOPIC, "too old");
  await server.publish(TOPIC, HISTORY);
}

/**
 * What a reader of [`publishHistory`] ought to have seen.
 * @param {Server} server
 */
export async function expected(server) {
  return (await server.logged(TOPIC)).slice(1);
}

/**
 * All clients follow from the history on.
 * @param {TestContext} t
 * @param {Client[]} clients
 * @param {(index: number) => string} origin
 * @param {Record<string, string>} [headers]
 */
export function openAll(t, clients, origin, headers) {
  const open = (/** @type {Client} */ client, /** @type {number} */ index) =>
    Reader.open(t, client, `${origin(index)}/topics/${TOPIC}?last=1`, headers);
  return Promise.all(clients.map(open));
}

/**
 * All clients follow, and have heard the history.
 * @param {TestContext} t
 * @param {Client[]} clients
 * @param {Server} server
 */
export async function followAll(t, clients, server) {
  await publishHistory(server);
  const readers = await openAll(t, clients, () => server.origin);
  await allHear(readers, HISTORY);
  return readers;
}

/**
 * @param {Reader[]} readers
 * @param {string} data
 */
export async function allHear(readers, data) {
  await Promise.all(readers.map((reader) => reader.untilHeard(data)));
}

/**
 * A subtest for each client.
 * @param {TestContext} t
 * @param {Reader[]} readers
 * @param {(reader: Reader, index: number) => Promise<void>} judge
 */
export async function judgeEach(t, readers, judge) {
  await Promise.all(readers.map((reader, index) => t.test(reader.client.name, () => judge(reader, index))));
}

/**
 * What arrived is what is in the log, once and in order, and no gap was claimed.
 * @param {Reader} reader
 * @param {Logged[]} logged
 */
export async function assertSame(reader, logged) {
  const reads = reader.client.reads ?? ((/** @type {string} */ data) => data);
  const events = logged.map(({ id, event, data }) => ({ id, event, data: reads(data) }));
  assert.deepEqual(await reader.events(), events);
  assert.deepEqual(await reader.controls("eventwall:gap"), []);
}

/**
 * Whether a client gives up is known beforehand.
 * @param {Reader} reader
 * @param {Trouble} trouble
 * @param {boolean} ended
 */
export function assertEnds(reader, trouble, ended) {
  const ends = reader.client.ends?.[trouble];
  if (ends === "sometimes") return;
  assert.equal(ended, ends === "always", `whether it gives up: ${trouble}`);
}
