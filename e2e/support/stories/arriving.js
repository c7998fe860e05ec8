// @ts-check
// Owns the stories in which nothing goes wrong: what is published is what arrives.

import assert from "node:assert/strict";

import { Server } from "../server.js";
import { allHear, assertSame, expected, followAll, judgeEach, TOPIC } from "./common.js";

/**
 * @typedef {import("node:test").TestContext} TestContext
 * @typedef {import("../client.js").Client} Client
 */

const LAST = "the last event";
/** As large as events may be, in bytes. */
const LARGE = "ö".repeat(2 ** 19);

/** Events by name, and what they say. @type {[string | undefined, string][]} */
const EVENTS = [
  [undefined, "plain"],
  ["failed", "named"],
  ["note", "two\nlines"],
  [undefined, "an empty line\n\nin between"],
  [undefined, "\nan empty line before"],
  [undefined, "an empty line behind\n"],
  [undefined, "  spaces around\t"],
  [undefined, ""],
  [undefined, "Grüße, 日本語, שלום, 👩\u200d💻 and e\u0301"],
  [undefined, "id: 7\nevent: note\ndata: fields\nretry: 1\n: a comment"],
];

/**
 * @param {TestContext} t
 * @param {Client[]} clients
 */
export async function allArrives(t, clients) {
  const server = await Server.start(t);
  const readers = await followAll(t, clients, server);
  for (const [event, data] of EVENTS) await server.publish(TOPIC, data, event);
  await server.publish(TOPIC, LAST);
  await allHear(readers, LAST);
  const logged = await expected(server);
  await judgeEach(t, readers, (reader) => assertSame(reader, logged));

  const large = await server.publish(TOPIC, LARGE);
  await t.test("a large event too", async () => {
    for (const reader of readers.filter(({ client }) => !client.largest)) {
      await reader.untilHeard(LARGE);
      assert.equal((await reader.events()).at(-1)?.id, large);
    }
  });
}
