// @ts-check
// Owns the story of a network that holds streams back for a while: the client goes down to polling in time,
// comes up again, and 1,000 events arrive once each and in order.

import assert from "node:assert/strict";
import { setTimeout as wait } from "node:timers/promises";

import { Publisher } from "./publisher.js";
import { Server } from "./server.js";
import { until } from "./until.js";

/**
 * @typedef {{ data: string[], polling: boolean, errors: number }} Seen
 * @typedef {{ look(): Seen | Promise<Seen>, close(): void | Promise<void> }} Climbing
 */

const TOPIC = "numbers";
const EVENTS = 1_000;
const SOME = 100;
/** Milliseconds between two events while the network changes: 1,000 of them last longer than that. */
const PACE = 20;
/** A client of little patience, so that the test needs none. */
export const OPTIONS = { mute: 1_000, poll: 3, climb: 1_500 };

/**
 * @param {import("node:test").TestContext} t
 * @param {import("./buffering.js").Start} start
 * @param {(origin: string, url: string) => Promise<Climbing>} open
 */
export async function climb(t, start, open) {
  const server = await Server.start(t);
  const proxy = await start(t, server);
  const client = await open(proxy.origin, `${proxy.origin}/topics/${TOPIC}`);
  const publisher = new Publisher(server, TOPIC);
  let going = true;
  try {
    // What is published from here on has to arrive, though no stream ever began for the client.
    const publishing = (async () => {
      while (going) {
        await publisher.publish(1);
        await wait(PACE);
      }
    })();
    await until("it to poll", async () => (await client.look()).polling);
    await until("some events", async () => (await client.look()).data.length >= SOME);
    await proxy.pass();
    await until("it to follow a stream again", async () => !(await client.look()).polling);
    await until("some more events", async () => (await client.look()).data.length >= 2 * SOME);
    going = false;
    await publishing;
    await publisher.publish(EVENTS - publisher.acknowledged.length);
    await until("all events", async () => (await client.look()).data.length >= EVENTS);
    const seen = await client.look();
    assert.deepEqual(seen.data, publisher.acknowledged);
    assert.equal(seen.errors, 0, "neither change is an error to a page");
  } finally {
    going = false;
    await client.close();
  }
}
